"""room_mapper: puts what scene_classifier sees onto the robot's map, as rooms with names.

Embeddings wait until pose and depth of their moment have come. Depth is kept as bytes, by its stamp, and only that of a
frame that is used is decoded, to know which part of the floor it shows. All work on the map is done by one thread.
Nothing is kept of a frame that cannot be placed: it is dropped, and counted by the reason.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from edgevl.msg import Embedding, RoomMap
from edgevl.msg import LabelSet as LabelSetMessage
from edgevl.srv import FindRoom, RenameRoom, RoomAt
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.labels import repeated
from edgevl_core.bundle.signature import trusted_keys
from edgevl_core.camera.depth import MeasuredDepth
from edgevl_core.camera.images import ImageFormatError
from edgevl_core.room_map.kept import KeptMap, LabelSet, Sight
from edgevl_core.room_map.live import Account
from edgevl_core.room_map.occupancy import from_message
from edgevl_core.room_map.rooms import Room, room_around
from edgevl_core.room_map.view import Intrinsics, Stand
from edgevl_core.room_map.words import open_dictionary
from edgevl_ros.node.diagnostics import OK, WARN, Report
from edgevl_ros.node.exit_guard import leave
from edgevl_ros.node.images import cv_bridge, to_depth
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.own_directory import hold_directory
from edgevl_ros.node.qos import LATCHED, result_qos
from edgevl_ros.node.runner import run
from edgevl_ros.node.streams import view
from edgevl_ros.node.transforms import TRANSFORMS
from edgevl_ros.node.worker import QueueWorker
from edgevl_ros.room_map.intake import Intake
from edgevl_ros.room_map.messages import to_markers, to_picture, to_room
from edgevl_ros.room_map.parameters import MapperParameters


class RoomMapper(ManagedNode[MapperParameters]):
    """See the module's text. Publishes ~/rooms (edgevl/RoomMap), ~/image and ~/markers, all latched.

    Services: ~/find_room, ~/room_at, ~/rename_room, ~/save, ~/load.

    The image is drawn only while somebody subscribes: that takes longer than all other work on the map.

    ``~/stats`` accounts for every frame: received = used + the sum of "dropped ..." + waiting. "without_view": frames
    without depth or camera_info, which show the place where they were taken and no more. "room": the name of the one
    where the camera was last known to be.
    """

    def __init__(self) -> None:
        super().__init__("room_mapper", MapperParameters)

    def setup(self) -> None:
        cv_bridge()  # refuses a broken one now, not at the first image
        self._intake: Intake | None = None
        self._account = Account()
        self._map_frame = ""
        self._maps_received = self._maps_superseded = 0
        self._newest_map: deque[OccupancyGrid] = deque(maxlen=1)  # maps are large, and only the newest counts
        self._found: tuple[Room, ...] = ()  # published last
        self._undrawn: Header | None = None  # of rooms of which no image was published yet
        trusted = trusted_keys(self.parameters.trust)
        correct, pose_type = self.parameters.correct_poses, self.parameters.pose_type
        if correct and (pose_type == TRANSFORMS or not self.parameters.depth_topic):
            raise UserError(
                f"correct_poses with pose_type {pose_type}, depth_topic {self.parameters.depth_topic!r}: it takes an "
                "Odometry, and a depth image to look at walls; name both, or set correct_poses to false"
            )
        directory = self.parameters.path("directory")
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"parameter directory = {str(directory)!r} cannot be made ({error.strerror}): give a folder for the map"
            ) from error
        hold_directory(self, directory, "directory")
        self._kept = KeptMap(directory, trusted, correct_poses=correct)
        if self.parameters.bundle:
            self._kept.use(open_dictionary(self.parameters.path("bundle"), trusted))
        self._rooms = self.add_publisher(RoomMap, "~/rooms", LATCHED)
        self._image = self.add_publisher(Image, "~/image", LATCHED)
        self._markers = self.add_publisher(MarkerArray, "~/markers", LATCHED)
        self.add_service(FindRoom, "~/find_room", partial(self._in_worker, self._find_room))
        self.add_service(RoomAt, "~/room_at", partial(self._in_worker, self._room_at))
        self.add_service(RenameRoom, "~/rename_room", partial(self._in_worker, self._rename_room))
        self.add_service(Trigger, "~/save", partial(self._in_worker, self._save))
        self.add_service(Trigger, "~/load", partial(self._in_worker, self._load))

    def start(self) -> None:
        self._account = Account()
        on_error = partial(self.add_error, "room map")
        self._worker = QueueWorker(self, on_error, self.parameters.queue_length, self.parameters.queue_mb * 1e6)
        self.until_deactivate.callback(self._end_work)
        self._intake = Intake(self, self._account, self._on_frame)
        self.add_subscription(LabelSetMessage, self.parameters.labels_topic, self._on_labels, LATCHED)
        self.add_subscription(OccupancyGrid, self.parameters.map_topic, self._on_map, LATCHED)
        if self.parameters.correct_poses:
            self.add_subscription(
                PoseWithCovarianceStamped, self.parameters.initialpose_topic, self._on_initialpose, result_qos()
            )
        self.add_timer(self.parameters.publish_period_s, lambda: self._worker.offer(self._publish))
        self.add_timer(self.parameters.save_period_s, lambda: self._worker.offer(self._save_if_changed))

    def _end_work(self) -> None:
        saved = self._worker.call(self._save_if_changed)
        self._worker.close()
        saved.result()  # raises what saving raised

    # -- what comes in ----------------------------------------------------------------------------------

    def _on_frame(
        self, message: Embedding, stand: Stand | None, depth: bytes | None, camera: Intrinsics | None
    ) -> None:
        if not self._worker.offer(partial(self._add, message, stand, depth, camera), len(depth or b"")):
            self._account.settle("queue full")

    def _on_map(self, message: OccupancyGrid) -> None:
        self._maps_received += 1
        self._maps_superseded += len(self._newest_map)
        self._newest_map.append(message)
        self._worker.call(partial(self._guarded_job, self._take_map))

    def _on_labels(self, message: LabelSetMessage) -> None:
        if twice := repeated(message.labels):
            raise UserError(
                f"{self.parameters.labels_topic}: {', '.join(map(repr, twice))} occurs more than once; every word may "
                "occur once only; the words stay as they are"
            )
        labels = LabelSet(message.bundle_id, tuple(message.labels), message.version)
        self._worker.call(partial(self._guarded_job, partial(self._kept.use_labels, labels)))

    def _on_initialpose(self, message: PoseWithCovarianceStamped) -> None:
        assert self._intake is not None
        odometry, on_map = self._intake.begin(message)
        self._worker.call(partial(self._guarded_job, partial(self._kept.begin, odometry, on_map)))

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
        return None if cdr is None else to_depth(view(cdr, self.parameters.depth_topic))

    def _take_map(self) -> None:
        if not self._newest_map:
            return  # a job before has taken a newer one than its own
        message = self._newest_map.pop()
        self._kept.set_map(from_message(message))
        self._map_frame = message.header.frame_id

    def _publish(self) -> None:
        kept = self._kept
        if not kept.ready:
            return
        if kept.changed:
            self._publish_rooms()
        if self._undrawn is not None and self._image.get_subscription_count():
            self._image.publish(to_picture(kept.rooms, self._undrawn))
            self._undrawn = None

    def _publish_rooms(self) -> None:
        kept = self._kept
        kept.changed = False
        found = kept.rooms.rooms()
        header = self._undrawn = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._map_frame)
        counts, dropped = self._account.counts()
        self._found = found
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
        self._publish()
        try:
            self._kept.save()
        except UserError as error:
            raise UserError(f"room {room.id} is {room.label}, but only until this node ends: {error}") from error

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
        kept, intake, found = self._kept, self._intake, self._found
        here = None if kept.stand is None else room_around(found, kept.stand.x, kept.stand.y)
        values.update(room="" if here is None else here.label)
        values.update(maps_received=self._maps_received, maps_superseded=self._maps_superseded)
        values.update(rooms=len(found), bundle_id=kept.bundle_id)
        values.update(label_set_version=kept.version, directory=kept.directory, unsaved=kept.unsaved)
        problems = [kept.problem] if kept.problem else []
        if intake is not None:
            values.update(intake.values())
            correction = kept.correction
            if correction is not None:
                values.update(correction.values())
            problems += intake.problems(self._map_frame)
        if not self._maps_received:
            problems.append(f"{self.parameters.map_topic}: no map yet; it must come transient local")
        doing = f"{len(found)} rooms from {counts['used']} frames"
        return Report(WARN if problems else OK, "; ".join(problems) or doing, values)


def main() -> int:
    """Console script; returns the exit code."""
    return run(RoomMapper, MapperParameters, __doc__ or "")


if __name__ == "__main__":
    leave(main())
