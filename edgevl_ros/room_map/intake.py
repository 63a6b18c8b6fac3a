"""The frames that scene_classifier looked at, each with where the camera stood and the depth of that moment."""

import time
from collections.abc import Callable

from edgevl.msg import Embedding
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo

from edgevl_core.room_map.live import Account, Awaiting, LiveCamera, Placed, RecentDepth
from edgevl_core.room_map.track import LiveTrack
from edgevl_core.room_map.view import Intrinsics, Stand
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.streams import RawStream, image_type, values_of
from edgevl_ros.room_map.parameters import MapperParameters
from edgevl_ros.room_map.poses import Poses

# How often frames are looked at whose pose or depth has not come: each wake of rclpy's executor costs some 2 ms.
PATIENCE_CHECK_S = 0.25
UNPLACED_S = 5.0


class Intake:
    """Listens until the node is deactivated; its counts can be asked for afterwards too.

    Args:
        node: its parameters name the topics.
        account: told of each frame that comes.
        take: called with a frame, where the camera stood (None: not known), the bytes of its depth image (None: there
            is none) and the depth camera's intrinsics (None: not known), once no more will be known of its moment.
    """

    def __init__(
        self,
        node: ManagedNode[MapperParameters],
        account: Account,
        take: Callable[[Embedding, Stand | None, bytes | None, Intrinsics | None], None],
    ) -> None:
        parameters = node.parameters
        self._account, self._take = account, take
        self._camera = LiveCamera()
        self._placed = Placed()
        self._newest_ns = -1  # stamp of the newest frame
        self._without_view = 0
        self._max_skew_ns = round(parameters.max_skew_s * 1e9)
        self._track = LiveTrack()
        self._poses = Poses(node, self._track, self.hand_on)
        self._depth = RecentDepth(parameters.depth_buffer_length, self._max_skew_ns)
        self._depth_topic = parameters.depth_topic
        self._poses_corrected = parameters.correct_poses
        self._frames: Awaiting[Embedding] = Awaiting(self._heard_until_ns, parameters.wait_s)
        self._streams = {
            "embedding": RawStream(node, Embedding, parameters.embedding_topic, self._on_embedding),
            "pose": self._poses.stream,
        }
        if self._depth_topic:
            info_topic = parameters.depth_camera_info_topic or parameters.camera_info_topic
            self._streams["depth"] = RawStream(node, image_type(self._depth_topic), self._depth_topic, self._on_depth)
            self._streams["camera_info"] = RawStream(node, CameraInfo, info_topic, self._on_info)
        node.until_deactivate.callback(self.hand_on)
        node.add_timer(PATIENCE_CHECK_S, self.hand_on)

    def hand_on(self) -> None:
        """Hand on the frames whose pose and depth are known, or will not be."""
        for stamp_ns, message in self._frames.ready(time.monotonic()):
            stand, depth = self._track.at(stamp_ns), self._depth.take(stamp_ns)
            self._placed.see(time.monotonic(), placed=stand is not None)
            self._without_view += depth is None or self._camera.intrinsics is None
            self._take(message, stand, depth, self._camera.intrinsics)

    def begin(self, told: PoseWithCovarianceStamped) -> tuple[Stand | None, Stand]:
        """Where odometry has the camera now, None: not known; and where it is on the map by what a person told."""
        return self._track.newest, self._poses.of_robot(told)

    def values(self) -> dict[str, object]:
        """For diagnostics."""
        own = {"unsure_poses": self._poses.unsure, "without_view": self._without_view}
        return {**values_of(self._streams), **own}

    def problems(self, map_frame: str) -> list[str]:
        """What is silent, and whether poses are of another map than that of ``map_frame`` (empty: not known yet)."""
        # Any may fall silent, when the robot stands still.
        found = [stream.problem() for stream in self._streams.values() if not stream.count.received]
        if no_pose := self._poses.problem() or self._unplaced():
            found.append(no_pose)
        frame_id = self._poses.frame_id
        if frame_id and map_frame and frame_id != map_frame and not self._poses_corrected:
            found.append(f"poses are in frame {frame_id}, the map in {map_frame}: they may drift; see correct_poses")
        return found

    def _unplaced(self) -> str:
        """Why poses come, or came, but none of the moments of the frames that come; empty: all is well."""
        now_s, poses = time.monotonic(), self._poses.stream
        for_s = self._placed.none_for_s(now_s)
        if not poses.count.received or for_s <= UNPLACED_S:
            return ""
        silent_s = poses.count.age_s(now_s)
        if silent_s > UNPLACED_S:
            why = "" if self._poses.rest_is_silent else f"silent for {silent_s:.0f} s"
        elif self._track.newest is None:
            why = "all poses are unsure (max_pose_sigma_m), or no numbers"
        else:
            apart_s = (self._newest_ns - self._track.newest_ns) * 1e-9
            why = f"the newest pose is {abs(apart_s):.1f} s {'older' if apart_s > 0 else 'newer'} than the newest frame"
        return f"{poses.topic}: no pose of any frame for {for_s:.0f} s: {why}" if why else ""

    def _on_embedding(self, stamp_ns: int, cdr: bytes) -> None:
        self._account.receive()
        self._newest_ns = stamp_ns
        message = deserialize_message(cdr, Embedding)
        self._poses.of_camera(message.header.frame_id)
        self._frames.put(stamp_ns, message, time.monotonic())
        self.hand_on()

    def _on_depth(self, stamp_ns: int, cdr: bytes) -> None:
        self._depth.put(stamp_ns, cdr)
        self.hand_on()

    def _heard_until_ns(self) -> int:
        """Up to which stamp poses have come, and depth with its camera where a frame's view is asked for."""
        if not self._depth_topic:
            return self._track.newest_ns
        seen_ns = -1 if self._camera.intrinsics is None else self._depth.newest_ns + self._max_skew_ns
        return min(self._track.newest_ns, seen_ns)

    def _on_info(self, stamp_ns: int, cdr: bytes) -> None:
        self._camera.put(cdr)
