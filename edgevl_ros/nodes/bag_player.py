"""bag_player: plays a bag's RGB-D streams on the robot's topics, bytes unchanged, and counts them.

Poses, odometry and maps are played on the topics they were recorded on; a map is latched, as map_server's is.

Publishers are reliable: they match reliable and best-effort subscribers alike, and a subscriber that asks for
reliable loses nothing. The recorded stamps stay in the headers, so that live pairing equals offline pairing.
"""

import importlib
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from edgevl.msg import SceneTruth
from rclpy.duration import Duration
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Trigger

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.cdr_header import stamp_ns, with_stamp
from edgevl_core.pairlog.pairs import find_streams
from edgevl_core.pairlog.place_messages import OCCUPANCY_GRID, ODOMETRY, POSE, POSE_WITH_COVARIANCE
from edgevl_core.pairlog.playback import Pace, play
from edgevl_core.pairlog.reader import BagReader
from edgevl_ros.node.diagnostics import ERROR, OK, WARN, Report
from edgevl_ros.node.exit_guard import leave
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.parameters import NodeParameters, parameter
from edgevl_ros.node.qos import LATCHED, result_qos, stream_qos
from edgevl_ros.node.runner import run
from edgevl_ros.node.stamps import to_time

PLACES = (POSE, POSE_WITH_COVARIANCE, ODOMETRY, OCCUPANCY_GRID)
KINDS = {
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/CompressedImage": CompressedImage,
    "sensor_msgs/msg/CameraInfo": CameraInfo,
    "edgevl/msg/SceneTruth": SceneTruth,
}
TOPICS = {
    "rgb": "camera/rgb/image_raw",
    "depth": "camera/depth/image_raw",
    "camera_info": "camera/rgb/camera_info",
    "depth_camera_info": "camera/depth/camera_info",
    "truth": "truth",
}
ACKNOWLEDGED_S = 5.0


@dataclass(frozen=True)
class PlayerParameters(NodeParameters):
    """bag_player's parameters."""

    bag: str = parameter("", "directory of the rosbag2 to play")
    rgb_topic: str = parameter("", "the bag's RGB topic; empty: found by type")
    depth_topic: str = parameter("", "the bag's depth topic; empty: found by type")
    places: bool = parameter(True, "play poses, odometry and maps as well, on the topics they were recorded on")
    rate: float = parameter(1.0, "recorded seconds per second", low=0.01, high=100.0)
    loop: bool = parameter(False, "start again at the end; stamps of later rounds are shifted onwards")
    clock: bool = parameter(False, "publish the recorded time on /clock")
    restamp: bool = parameter(False, "replace the headers' stamps by the time of sending")
    start_paused: bool = parameter(False, "wait for ~/resume before the first message")
    start_delay_s: float = parameter(
        1.0, "wait after the subscribers are there, which may not see this node yet", low=0.0, high=600.0
    )
    wait_rgb_subscribers: int = parameter(0, "subscribers of RGB to wait for", low=0, high=100)
    wait_depth_subscribers: int = parameter(0, "subscribers of depth to wait for", low=0, high=100)
    wait_camera_info_subscribers: int = parameter(0, "subscribers of camera_info to wait for", low=0, high=100)
    wait_depth_camera_info_subscribers: int = parameter(0, "subscribers of depth's camera_info", low=0, high=100)
    wait_truth_subscribers: int = parameter(0, "subscribers of truth to wait for", low=0, high=100)
    wait_timeout_s: float = parameter(30.0, "patience with missing subscribers", low=0.0, high=3600.0)
    qos_depth: int = parameter(20, "messages kept for slow reliable subscribers", low=1, high=1000)
    exit_at_end: bool = parameter(True, "leave with exit code 0 after the last message")


def topic_for(stream: str, name: str, msgtype: str) -> str:
    """The robot's topic of a stream: image_transport's suffix is kept for compressed images, all of a place's name."""
    if stream not in TOPICS:
        return name
    if msgtype != "sensor_msgs/msg/CompressedImage":
        return TOPICS[stream]
    return TOPICS[stream] + ("/compressedDepth" if name.endswith("/compressedDepth") else "/compressed")


def place_type(msgtype: str) -> Any:
    """The ROS type of a pose, odometry or map. Raises UserError where its package is not installed."""
    package, _, name = msgtype.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except ImportError:
        raise UserError(
            f"the bag holds {msgtype}, and the package {package} is not installed: apt install "
            f"ros-$ROS_DISTRO-{package.replace('_', '-')}, or set places to false"
        ) from None


class BagPlayer(ManagedNode[PlayerParameters]):
    """~/status: phase, finished, and sent_<stream> for rgb, depth, camera_info, depth_camera_info, truth.

    Poses, odometry and maps are counted by their recorded topics.
    """

    def __init__(self) -> None:
        super().__init__("bag_player", PlayerParameters, stats_topic="~/status")
        self.sent: Counter[str] = Counter()
        self.phase = "idle"
        self._streams: dict[str, str] = {}
        self._publishers_of: dict[str, Any] = {}
        self._total = self._stamps_kept = 0
        self._losses: list[str] = []
        self._pace = Pace(1.0)

    def setup(self) -> None:
        if not self.parameters.bag:
            raise UserError("parameter bag is empty: give a rosbag2 directory, e.g. -p bag:=/data/drive")
        self._bag = self.parameters.path("bag")
        with BagReader(self._bag) as reader:
            found = find_streams(
                reader, rgb=self.parameters.rgb_topic or None, depth=self.parameters.depth_topic or None
            )
            names = {stream: getattr(found, stream) for stream in TOPICS}
            self._streams = {name: stream for stream, name in names.items() if name}
            if self.parameters.places:
                self._streams |= {name: name for name, topic in reader.topics.items() if topic.msgtype in PLACES}
            topics = {name: reader.topics[name] for name in self._streams}
        qos = stream_qos("reliable", self.parameters.qos_depth)
        self._publishers_of, self._losses = {}, []  # cleanup has destroyed those of an earlier bag
        for name, stream in self._streams.items():
            kind = KINDS.get(topics[name].msgtype) or place_type(topics[name].msgtype)
            topic = topic_for(stream, name, topics[name].msgtype)
            self._publishers_of[stream] = self.add_publisher(
                kind, topic, LATCHED if topics[name].msgtype == OCCUPANCY_GRID else qos
            )
        self._total = sum(topic.count for topic in topics.values())
        self._clock_publisher = self.add_publisher(Clock, "/clock", result_qos()) if self.parameters.clock else None
        self.add_service(Trigger, "~/pause", self._on_pause)
        self.add_service(Trigger, "~/resume", self._on_resume)

    def start(self) -> None:
        self.sent.clear()
        self._stamps_kept = 0
        self.phase = "waiting"
        self._pace = Pace(self.parameters.rate, paused=self.parameters.start_paused)
        self._stop = threading.Event()
        thread = threading.Thread(target=self._play_guarded, name="playback", daemon=True)
        self.until_deactivate.callback(thread.join)
        self.until_deactivate.callback(self._stop.set)
        thread.start()

    def report(self) -> Report:
        phase = self.phase  # before the counts: one that is finished has sent all of them
        total = sum(self.sent.values())
        values: dict[str, object] = {
            f"sent_{stream}": self.sent[stream] for stream in {**TOPICS, **self._publishers_of}
        }
        values.update(
            {f"subscribers_{stream}": end.get_subscription_count() for stream, end in self._publishers_of.items()}
        )
        values.update(
            stamps_kept=self._stamps_kept,
            phase="paused" if phase == "playing" and self._pace.paused else phase,
            finished=phase == "finished",
            sent=total,
            in_bag=self._total,
            late_max_s=self._pace.late_max_s,
            bag=self.parameters.bag,
        )
        if self._losses:
            values["bag_losses"] = "; ".join(self._losses)
        message = f"{phase}, {total} of {self._total} messages sent"
        if self._losses:
            message += f"; the bag has lost some: {'; '.join(self._losses)}"
        if self._stamps_kept:
            message += f"; {self._stamps_kept} kept the stamp they had, for another cannot be written into them"
        level = WARN if self._losses or self._stamps_kept else OK
        return Report(ERROR if phase == "failed" else level, message, values)

    # -- the playback thread ----------------------------------------------------------------------------

    def _play_guarded(self) -> None:
        exit_code = 0
        try:
            self._wait_for_subscribers()
            self._play()
        except UserError as error:
            self.phase, exit_code = "failed", 2
            self.add_error("playback", error)
        except Exception as error:
            self.phase, exit_code = "failed", 1
            self.add_error("playback", error)
        if self._stop.is_set():
            self.phase = self.phase if self.phase in ("finished", "failed") else "stopped"
            return
        self.publish_stats()
        report = self.report()
        if report.level == OK:  # two calls: rclpy's logger refuses one that changes its severity
            self.get_logger().info(report.message)
        else:
            self.get_logger().warning(report.message)
        if self.parameters.exit_at_end:
            self.finish(exit_code)

    def _wait_for_subscribers(self) -> None:
        deadline_s = time.monotonic() + self.parameters.wait_timeout_s
        for stream, publisher in self._publishers_of.items():
            wanted = getattr(self.parameters, f"wait_{stream}_subscribers", 0)
            while publisher.get_subscription_count() < wanted:
                if time.monotonic() > deadline_s:
                    raise UserError(
                        f"{publisher.topic_name} has {publisher.get_subscription_count()} subscribers after "
                        f"{self.parameters.wait_timeout_s:g} s, wait_{stream}_subscribers asks for {wanted}: "
                        "start the subscribers first, or ask for fewer"
                    )
                if self._stop.wait(0.02):
                    return
        self._stop.wait(self.parameters.start_delay_s)

    def _play(self) -> None:
        offset_ns = 0
        while (span_ns := self._play_once(offset_ns)) is not None and self.parameters.loop:
            offset_ns += span_ns
        if span_ns is None:
            return
        deadline_s = time.monotonic() + ACKNOWLEDGED_S
        for publisher in self._publishers_of.values():
            publisher.wait_for_all_acked(Duration(seconds=max(0.0, deadline_s - time.monotonic())))
        self.phase = "finished"

    def _play_once(self, offset_ns: int) -> int | None:
        """Play the bag with all times shifted by ``offset_ns``; returns its length, None when stopped."""
        self.phase = "playing"
        times: list[int] = []

        def publish(message: Any) -> None:
            times[:] = [times[0] if times else message.stamp_ns, message.stamp_ns]
            self._publish(message, offset_ns)

        # Each round has a pace of its own that keeps the paused state.
        pace = self._pace if offset_ns == 0 else Pace(self.parameters.rate, paused=self._pace.paused)
        self._pace = pace
        with BagReader(self._bag) as reader:
            complete = play(reader.messages(list(self._streams)), publish, pace, self._stop)
            self._losses = list(reader.losses)
        if not complete:
            return None
        if not times:
            raise UserError(f"{self.parameters.bag} is empty: no message on {', '.join(self._streams)}")
        # One mean period between the last message of a round and the first of the next.
        return times[1] - times[0] + max(1, (times[1] - times[0]) // max(1, self._total - 1))

    def _publish(self, message: Any, offset_ns: int) -> None:
        stream = self._streams[message.topic]
        data = bytes(message.data)
        try:
            if self.parameters.restamp:
                data = with_stamp(data, self.get_clock().now().nanoseconds)
            elif offset_ns:
                data = with_stamp(data, stamp_ns(data) + offset_ns)
        except ValueError:  # sent as it is, as without a new stamp
            self._stamps_kept += 1
        if self._clock_publisher is not None:
            self._clock_publisher.publish(Clock(clock=to_time(message.stamp_ns + offset_ns)))
        self._publishers_of[stream].publish(data)
        self.sent[stream] += 1

    # -- services ---------------------------------------------------------------------------------------

    def _must_play(self) -> None:
        if self.state_label != "active" or self.phase not in ("waiting", "playing"):
            doing = self.state_label if self.state_label != "active" else self.phase
            raise UserError(f"bag_player is {doing}: nothing is being played; activate it anew to play the bag")

    def _on_pause(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._must_play()
        self._pace.pause()
        response.success, response.message = True, "paused"
        return response

    def _on_resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._must_play()
        self._pace.resume()
        response.success, response.message = True, "playing"
        return response


def main() -> int:
    """Console script; returns the exit code."""
    return run(BagPlayer, PlayerParameters, __doc__ or "")


if __name__ == "__main__":
    leave(main())
