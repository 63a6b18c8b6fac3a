"""A room map from recorded drives: pairs are classified, and put where the camera stood when they were taken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.student_bundle import Bundle
from edgevl_core.classify.classifier import Classifier
from edgevl_core.pairlog.pairs import PairSettings, Streams
from edgevl_core.pairlog.place_messages import OCCUPANCY_GRID
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import CAMERA_INFO, deserialize
from edgevl_core.room_map.correction import Correction
from edgevl_core.room_map.occupancy import Grid, OccupancyMap, from_message
from edgevl_core.room_map.room_map import RoomMap
from edgevl_core.room_map.track import read_track
from edgevl_core.room_map.view import Intrinsics, Stand, intrinsics
from edgevl_core.room_map.words import words_of


@dataclass
class Drive:
    """What was made of the bags.

    Attributes:
        rooms: the room map.
        occupancy: the map that it lies on.
        way: (N, 2) x, y of the frames that were used, metres.
        frames: pairs in the bags.
        notes: what a person should know, one sentence each.
    """

    rooms: RoomMap
    occupancy: OccupancyMap
    way: list[tuple[float, float]] = field(default_factory=list)
    frames: int = 0
    notes: list[str] = field(default_factory=list)


def map_of_bags(
    bags: Sequence[Path],
    bundle: Bundle,
    occupancy: OccupancyMap | None = None,
    pose_topic: str | None = None,
    starts: Sequence[Stand] = (),
    on_progress: Callable[[int], None] = lambda pairs: None,
    settings: PairSettings = PairSettings(),  # noqa: B008  (frozen)
) -> Drive:
    """Classify every pair of ``bags`` and put what it says onto the map.

    Args:
        occupancy: the map; None: the bags hold it (nav_msgs/OccupancyGrid).
        pose_topic: PoseStamped, PoseWithCovarianceStamped or Odometry in the frame of the map, or ``tf``; None: found,
            see :func:`edgevl_core.room_map.track.read_track`.
        starts: where each bag's drive begins on the map, one for each bag or one for all: its poses are odometry, and
            are set right by the walls that depth sees. Empty: poses are believed.
        on_progress: called with the number of pairs done.
        settings: which pairs of the bags.

    Raises:
        UserError: no pairs, no pose, no map or several, a pose topic of another type, as many starts as bags not there.
    """
    if len(starts) not in (0, 1, len(bags)):
        raise UserError(f"{len(starts)} starts for {len(bags)} bags: give one for all, or one for each in their order")
    occupancy = occupancy or _map_in(bags)
    drive, classifier = Drive(RoomMap(words_of(bundle.manifest, bundle.label_bank)), occupancy), Classifier(bundle)
    drive.rooms.set_map(occupancy)
    for number, bag in enumerate(bags):
        pairs = settings.read(bag)
        track = read_track(bag, pose_topic, _camera_frame(bag, pairs.streams))
        correction = Correction(occupancy) if starts else None
        if correction is not None:
            correction.begin(Stand(*map(float, track.poses[0])), starts[number % len(starts)])
        elif track.frame_id not in ("map", ""):
            drive.notes.append(
                f"{bag}: {track.topic} is in the frame {track.frame_id}, not in map: it may drift; say where the drive "
                "begins on the map, and walls set it right: --start X,Y,YAW"
            )
        camera = camera_of(bag, pairs.streams)
        if camera is not None:
            camera = replace(camera, rotation_deg=bundle.manifest.preprocess.rotation_deg)
        for pair in pairs:
            scene, stand = classifier.classify(pair.rgb, pair.depth), track.at(pair.stamp_ns)
            warmth = bundle.manifest.temperature.of(scene.modality)
            if correction is not None and stand is not None and scene.known:
                stand = correction.of(stand, pair.depth, camera)
            refused = drive.rooms.add_frame(
                stand, scene.embedding, warmth, known=scene.known, depth=pair.depth, camera=camera
            )
            if stand is not None and not refused:
                drive.way.append((stand.x, stand.y))
            drive.frames += 1
            on_progress(drive.frames)
        if correction is not None:
            lost = correction.unmatched > correction.matched
            drive.notes.append(
                f"{bag}: {track.topic} was set right by walls in {correction.matched} frames; "
                f"{correction.unmatched} did not fit the map"
                + ("; most did not: see that --start is where the drive begins" if lost else "")
            )
        drive.notes += [f"{bag}: {loss}" for loss in pairs.losses]
    if not drive.frames:
        raise UserError(f"{', '.join(map(str, bags))}: no RGB-D pairs to make a map of")
    drive.notes += [f"{count} frames not used: {reason}" for reason, count in sorted(drive.rooms.dropped.items())]
    return drive


def _map_in(bags: Sequence[Path]) -> OccupancyMap:
    """The newest map in the bags; all must lie on one grid, for a bag of two homes is no map of either."""
    newest: OccupancyMap | None = None
    grids: set[Grid] = set()
    newest_ns = -1
    for bag in bags:
        with BagReader(bag) as reader:
            topics = [name for name, topic in reader.topics.items() if topic.msgtype == OCCUPANCY_GRID and topic.count]
            for message in reader.messages(topics) if topics else ():
                occupancy = from_message(deserialize(message.data, message.msgtype))
                grids.add(occupancy.grid)
                if message.stamp_ns >= newest_ns:  # bags may be given in any order
                    newest, newest_ns = occupancy, message.stamp_ns
    where = ", ".join(map(str, bags))
    if newest is None:
        raise UserError(f"{where}: no {OCCUPANCY_GRID} in it: record the map as well, or pass --map FILE.yaml")
    if len(grids) > 1:
        raise UserError(
            f"{where}: it holds maps of {len(grids)} different sizes or places: give bags of one home, or the map that "
            "holds for all with --map FILE.yaml"
        )
    return newest


def _camera_frame(bag: Path, streams: Streams) -> str:
    """Of the depth images."""
    with BagReader(bag) as reader:
        first = next(iter(reader.messages([streams.depth])), None)
    return "" if first is None else str(deserialize(first.data, first.msgtype).header.frame_id)


def camera_of(bag: Path, streams: Streams) -> Intrinsics | None:
    """The depth camera of a bag; None where no calibrated camera_info is there."""
    topic = streams.depth_camera_info or streams.camera_info
    if topic is None:
        return None
    with BagReader(bag) as reader:
        for message in reader.messages([topic]):
            if (camera := intrinsics(deserialize(message.data, CAMERA_INFO))) is not None:
                return camera
    return None
