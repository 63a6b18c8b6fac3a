"""room_mapper: puts what scene_classifier sees onto the robot's map, as rooms with names.

Embeddings wait until pose and depth of their moment have come. Depth is kept as bytes, by its stamp, and only that of a
frame that is used is decoded, to know which part of the floor it shows. All work on the map is done by one thread.
Nothing is kept of a frame that cannot be placed: it is dropped, and counted by the reason.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from edgevl.msg import Embedding, RoomMap
from edgevl.srv import FindRoom, RenameRoom, RoomAt
from nav_msgs.msg import OccupancyGrid
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.signature import trusted_keys
from edgevl_core.camera.depth import MeasuredDepth
from edgevl_core.camera.images import ImageFormatError
from edgevl_core.pairlog.types import CAMERA_INFO, deserialize
from edgevl_core.room_map.kept import KeptMap, LabelSet, Sight
from edgevl_core.room_map.live import Account, Awaiting, RecentDepth
from edgevl_core.room_map.occupancy import from_message
from edgevl_core.room_map.track import LiveTrack
from edgevl_core.room_map.view import Intrinsics, Stand, intrinsics
from edgevl_core.room_map.words import open_dictionary
from edgevl_ros.node.diagnostics import OK, WARN, Report
from edgevl_ros.node.images import cv_bridge, to_depth
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.parameters import TRUST, Parameter
from edgevl_ros.node.qos import LATCHED, SUBSCRIPTION_QOS
from edgevl_ros.node.runner import run
from edgevl_ros.node.streams import RawStream, image_type, view
from edgevl_ros.node.worker import QueueWorker
from edgevl_ros.room_map.messages import to_markers, to_picture, to_room
from edgevl_ros.room_map.poses import POSES, Poses

PARAMETERS = (
    Parameter("bundle", "", "student bundle whose words name rooms; empty: the one that scene_classifier runs"),
    TRUST,
    Parameter("directory", "~/.ros/edgevl/room_map", "where the map is kept: one directory for each floor"),
    Parameter("embedding_topic", "scene_classifier/embedding", "edgevl/Embedding"),
    Parameter("labels_topic", "scene_classifier/labels", "the label set in force, JSON"),
    Parameter("map_topic", "map", "nav_msgs/OccupancyGrid, transient local as map_server and SLAM publish it"),
    *POSES,
    Parameter(
        "depth_topic", "camera/depth/image_raw", "as scene_classifier's; empty: a frame shows where it was taken"
    ),
    Parameter("camera_info_topic", "camera/rgb/camera_info", "of the camera that depth is aligned to"),
    Parameter("depth_camera_info_topic", "", "of the depth camera, where depth is not aligned; empty: it is"),
    Parameter("max_skew_s", 0.02, "largest difference of stamps of a frame and its depth", low=0.0, high=1.0),
    Parameter("wait_s", 0.5, "how long a frame waits for pose and depth of its moment", low=0.0, high=10.0),
    Parameter("depth_buffer_length", 30, "depth images that may wait for their frame", low=1, high=1000),
    Parameter("queue_length", 100, "frames and requests that may wait for the map", low=1, high=10_000),
    Parameter("publish_period_s", 3.0, "rooms are published at most so often, when changed", low=0.1, high=3600.0),
    Parameter("save_period_s", 60.0, "the map is saved at most so often, when changed", low=1.0, high=86_400.0),
    *SUBSCRIPTION_QOS,
)
POLL_S = 0.05


class RoomMapper(ManagedNode):
    """See the module's text. Publishes ~/rooms (edgevl/RoomMap), ~/image and ~/markers, all latched.

    Services: ~/find_room, ~/room_at, ~/rename_room, ~/save, ~/load.

    ``~/stats`` accounts for every frame: received = used + the sum of "dropped ..." + waiting. "without_view": frames
    without depth or camera_info, which show the place where they were taken and no more.
    """

    def __init__(self) -> None:
        super().__init__("room_mapper", PARAMETERS)
        self._kept: KeptMap | None = None
        self._worker: QueueWorker | None = None
        self._account = Account()
        self._streams: dict[str, RawStream] = {}
        self._poses: Poses | None = None
        self._camera: Intrinsics | None = None
        self._map_frame = ""
        self._maps_received = self._found = self._without_view = 0

    def setup(self) -> None:
        cv_bridge()  # refuses a broken one now, not at the first image
        trusted = trusted_keys(self.values["trust"])
        self._kept = KeptMap(Path(self.values["directory"]).expanduser(), trusted)
        if self.values["bundle"]:
            self._kept.use(open_dictionary(Path(self.values["bundle"]).expanduser(), trusted))
        self._rooms = self.add_publisher(RoomMap, "~/rooms", LATCHED)
        self._image = self.add_publisher(Image, "~/image", LATCHED)
        self._markers = self.add_publisher(MarkerArray, "~/markers", LATCHED)
        self.add_service(FindRoom, "~/find_room", partial(self._in_worker, self._find_room))
        self.add_service(RoomAt, "~/room_at", partial(self._in_worker, self._room_at))
        self.add_service(RenameRoom, "~/rename_room", partial(self._in_worker, self._rename_room))
        self.add_service(Trigger, "~/save", partial(self._in_worker, self._save))
        self.add_service(Trigger, "~/load", partial(self._in_worker, self._load))

    def start(self) -> None:
        values = self.values
        self._account, self._camera, self._without_view = Account(), None, 0
        self._track = LiveTrack()
        self._frames: Awaiting[Embedding] = Awaiting(self._heard_until_ns, values["wait_s"])
        self._depth = RecentDepth(values["depth_buffer_length"], round(values["max_skew_s"] * 1e9))
        self._worker = QueueWorker(self, partial(self.add_error, "room map"), values["queue_length"])
        self.until_deactivate.callback(self._end_work)
        self._poses = Poses(self, self._track)
        info_topic = values["depth_camera_info_topic"] or values["camera_info_topic"]
        self._streams = {
            "embedding": RawStream(self, Embedding, values["embedding_topic"], self._on_embedding),
            "pose": self._poses.stream,
        }
        if depth_topic := values["depth_topic"]:
            self._streams["depth"] = RawStream(self, image_type(depth_topic), depth_topic, self._depth.put)
            self._streams["camera_info"] = RawStream(self, CameraInfo, info_topic, self._on_info)
        latched = (
            (String, values["labels_topic"], self._on_labels),
            (OccupancyGrid, values["map_topic"], self._on_map),
        )
        for kind, topic, callback in latched:
            subscription = self.create_subscription(kind, topic, self.guarded(callback), LATCHED)
            self.subscriptions_end.callback(self.destroy_subscription, subscription)
        self.add_timer(POLL_S, self._place_frames)
        self.add_timer(values["publish_period_s"], lambda: self._worker.offer(self._publish))
        self.add_timer(values["save_period_s"], lambda: self._worker.offer(self._save_if_changed))

    def _end_work(self) -> None:
        self._place_frames()
        saved = self._worker.call(self._save_if_changed)
        self._worker.close()
        saved.result()  # raises what saving raised

    # -- what comes in ----------------------------------------------------------------------------------

    def _on_embedding(self, stamp_ns: int, cdr: bytes) -> None:
        self._account.receive()
        self._frames.put(stamp_ns, deserialize_message(cdr, Embedding), time.monotonic())
        self._place_frames()

    def _place_frames(self) -> None:
        """Hand on the frames whose pose and depth are known, or will not be."""
        for stamp_ns, message in self._frames.ready(time.monotonic()):
            stand, depth = self._track.at(stamp_ns), self._depth.take(stamp_ns)
            self._without_view += depth is None or self._camera is None
            if not self._worker.offer(partial(self._add, message, stand, depth, self._camera)):
                self._account.settle("queue full")

    def _heard_until_ns(self) -> int:
        """Up to which stamp poses have come, and depth with its camera where a frame's view is asked for."""
        if not self.values["depth_topic"]:
            return self._track.newest_ns
        seen_ns = -1 if self._camera is None else self._depth.newest_ns + round(self.values["max_skew_s"] * 1e9)
        return min(self._track.newest_ns, seen_ns)

    def _on_info(self, stamp_ns: int, cdr: bytes) -> None:
        if self._camera is None:
            self._camera = intrinsics(deserialize(cdr, CAMERA_INFO))

    def _on_map(self, message: OccupancyGrid) -> None:
        self._maps_received += 1
        self._worker.call(partial(self._guarded_job, partial(self._take_map, message)))

    def _on_labels(self, message: String) -> None:
        told = json.loads(message.data)
        labels = LabelSet(str(told["bundle_id"]), tuple(map(str, told["labels"])), int(told["version"]))
        self._worker.call(partial(self._guarded_job, partial(self._kept.use_labels, labels)))

    def _guarded_job(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            self.add_error("room map", error)

    # -- the map; these run in the worker's thread --------------------------------------------------------

    def _add(self, message: Embedding, stand: Stand | None, depth: bytes | None, camera: Intrinsics | None) -> None:
        embedding = np.frombuffer(message.embedding, np.float32)
        sight = Sight(embedding, message.temperature, message.known, message.bundle_id, message.bundle)
        reason = "failed"
        try:
            reason = self._kept.add(sight, stand, partial(self._decoded, depth), camera)
        except ImageFormatError:
            reason = "depth unreadable"
            raise
        finally:
            self._account.settle(reason)

    def _decoded(self, cdr: bytes | None) -> MeasuredDepth | None:
        return None if cdr is None else to_depth(view(cdr, self.values["depth_topic"]))

    def _take_map(self, message: OccupancyGrid) -> None:
        self._kept.set_map(from_message(message))
        self._map_frame = message.header.frame_id

    def _publish(self) -> None:
        kept = self._kept
        if not kept.changed or not kept.ready:
            return
        kept.changed = False
        found = kept.rooms.rooms()
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._map_frame)
        counts, dropped = self._account.counts()
        self._found = len(found)
        self._rooms.publish(
            RoomMap(
                header=header,
                rooms=[to_room(room) for room in found],
                bundle_id=kept.bundle_id,
                label_set_version=kept.version,
                frames_used=counts["used"],
                dropped_reasons=list(dropped),
                dropped_counts=list(dropped.values()),
            )
        )
        self._markers.publish(to_markers(found, header))
        self._image.publish(to_picture(kept.rooms, header))

    def _save_if_changed(self) -> None:
        if self._kept.unsaved:
            self._kept.save()

    # -- services ---------------------------------------------------------------------------------------

    async def _in_worker(self, job: Callable[[Any, Any], None], request: Any, response: Any) -> Any:
        if self.state_label != "active":
            raise UserError(f"room_mapper is {self.state_label}: activate it first")
        await self._worker.call(partial(job, request, response))
        setattr(response, "ok" if hasattr(response, "ok") else "success", True)
        return response

    def _find_room(self, request: FindRoom.Request, response: FindRoom.Response) -> None:
        found = self._kept.find(request.word)
        response.rooms, response.scores = [to_room(room) for room, _ in found], [score for _, score in found]
        response.message = f"{found[0][0].label}, {found[0][1]:.2f}" if found else "no room was seen well enough yet"

    def _room_at(self, request: RoomAt.Request, response: RoomAt.Response) -> None:
        if (room := self._kept.rooms.room_at(request.x, request.y)) is None:
            raise UserError(f"no room within half a metre of x {request.x:g}, y {request.y:g}")
        response.room, response.message = to_room(room), room.label

    def _rename_room(self, request: RenameRoom.Request, response: RenameRoom.Response) -> None:
        room = self._kept.rename(request.id, request.name)
        response.room, response.message = to_room(room), f"room {room.id} is {room.label}"
        self._kept.save()
        self._publish()

    def _save(self, request: Trigger.Request, response: Trigger.Response) -> None:
        response.message = f"saved {self._kept.save()}"

    def _load(self, request: Trigger.Request, response: Trigger.Response) -> None:
        response.message = f"loaded {self._kept.load()}"
        self._publish()

    # -- diagnostics ------------------------------------------------------------------------------------

    def report(self) -> Report:
        counts, dropped = self._account.counts()
        values: dict[str, object] = dict(counts)
        values.update({f"dropped {reason}": count for reason, count in sorted(dropped.items())})
        for name, stream in self._streams.items():
            values.update(stream.values(name))
        kept, poses = self._kept, self._poses
        values.update(maps_received=self._maps_received, rooms=self._found, bundle_id=kept.bundle_id)
        values.update(label_set_version=kept.version, directory=kept.directory, unsaved=kept.unsaved)
        problems = [kept.problem] if kept.problem else []
        if poses is not None:
            values.update(unsure_poses=poses.unsure, without_view=self._without_view)
            # Any may fall silent, when the robot stands still.
            problems += [stream.problem() for stream in self._streams.values() if not stream.count.received]
            if poses.frame_id and self._map_frame and poses.frame_id != self._map_frame:
                problems.append(f"poses are in frame {poses.frame_id}, the map in {self._map_frame}: they may drift")
        if not self._maps_received:
            problems.append(f"{self.values['map_topic']}: no map yet; it must come transient local")
        doing = f"{self._found} rooms from {counts['used']} frames"
        return Report(WARN if problems else OK, "; ".join(problems) or doing, values)


def main() -> int:
    """Console script; returns the exit code."""
    return run(RoomMapper, PARAMETERS, __doc__ or "")


if __name__ == "__main__":
    raise SystemExit(main())
