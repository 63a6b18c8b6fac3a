"""Where a camera was, from the transforms of a bag: a simulated drive whose pose only /tf and /tf_static tell."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.place_messages import POSE, stand_of
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import deserialize, header, header_stamp_ns, serialize, typestore
from edgevl_core.pairlog.writer import BagWriter
from edgevl_core.room_map.track import read_track
from edgevl_core.room_map.transforms import MOST_KEPT, TF, LiveTransforms
from edgevl_sim import write_bag

pytestmark = pytest.mark.unit
MOUNTED = (0.2, 0.05, 0.3)  # of the camera on the robot, metres
OPTICAL = (-0.5, 0.5, -0.5, 0.5)  # x ahead, y left, z up -> z ahead, x right, y down (REP 103)
STRAIGHT = (0.0, 0.0, 0.0, 1.0)
CORRECTION, CORRECTION_YAW = (1.5, -0.7), 0.4  # odom on the map
SECOND_NS = 1_000_000_000


def transform(parent: str, child: str, at: Any, turn: tuple[float, ...], stamp_ns: int) -> Any:
    types = typestore().types
    move = types["geometry_msgs/msg/Vector3"](*map(float, at))
    rotation = types["geometry_msgs/msg/Quaternion"](*map(float, turn))
    inner = types["geometry_msgs/msg/Transform"](translation=move, rotation=rotation)
    return types["geometry_msgs/msg/TransformStamped"](header(stamp_ns, parent), child, inner)


def message(*transforms: Any) -> bytes:
    return serialize(typestore().types[TF](list(transforms)))


def about_z(yaw: float) -> tuple[float, float, float, float]:
    return 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)


def rotated(yaw: float, at: Any) -> np.ndarray:
    return np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]) @ np.array(at)


def camera_frame(bag: Path) -> str:
    with BagReader(bag) as reader:
        images = [name for name, topic in reader.topics.items() if "depth/image" in name]
        first = next(iter(reader.messages(images)))
    return str(deserialize(first.data, first.msgtype).header.frame_id)


def with_transforms(drive: Path, out: Path, turn: tuple[float, ...] = OPTICAL, leave_out: str = "") -> Path:
    """The drive without its pose topic: map -> odom -> base_link -> camera say it."""
    frame = camera_frame(drive)
    with BagReader(drive) as reader, BagWriter(out) as writer:
        for topic in reader.topics.values():
            if topic.msgtype != POSE:
                writer.add_topic(topic.name, topic.msgtype)
        for name in ("tf", "tf_static"):
            writer.add_topic(name, TF)
        mounted = False
        for recorded in reader.messages():
            if recorded.msgtype != POSE:
                writer.write(recorded.topic, recorded.data, recorded.stamp_ns)
                continue
            pose = deserialize(recorded.data, recorded.msgtype)
            x, y, yaw = stand_of(pose)
            stamp_ns = header_stamp_ns(pose)
            if not mounted:
                mount = transform("base_link", f"/{frame}", MOUNTED, turn, stamp_ns)
                writer.write("tf_static", message(mount), recorded.stamp_ns)
                mounted = True
            base = np.array([x, y]) - rotated(yaw, MOUNTED[:2])  # the camera is where the pose says
            odom = rotated(-CORRECTION_YAW, base - np.array(CORRECTION))
            parts = [
                transform("map", "odom", (*CORRECTION, 0.0), about_z(CORRECTION_YAW), stamp_ns),
                transform("odom", "base_link", (*odom, 0.0), about_z(yaw - CORRECTION_YAW), stamp_ns),
            ]
            parts = [part for part in parts if part.child_frame_id != leave_out]
            writer.write("tf", message(*parts), recorded.stamp_ns)
    return out


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "home"
    write_bag(path, seed=0, split="val", homes=1, frames_per_room=2)
    return path


@pytest.mark.parametrize("turn", [OPTICAL, STRAIGHT])
def test_the_chain_gives_the_cameras_pose(drive: Path, tmp_path: Path, turn: tuple[float, ...]) -> None:
    bag, true = with_transforms(drive, tmp_path / "bag", turn), read_track(drive, "pose")
    for asked in (None, "/tf"):  # odometry, which drifts, is in the bag as well
        found = read_track(bag, asked, camera_frame(drive))
        assert (found.topic, found.frame_id) == ("tf", "map")
        np.testing.assert_array_equal(found.stamp_ns, true.stamp_ns)
        np.testing.assert_allclose(found.poses[:, :2], true.poses[:, :2], atol=1e-6)
        turns = found.poses[:, 2] - true.poses[:, 2]
        np.testing.assert_allclose(np.sin(turns), 0, atol=1e-6)
        assert np.cos(turns).min() > 0
        assert all(found.at(pair.stamp_ns) is not None for pair in read_pairs(bag))


def test_a_chain_that_ends_is_said_and_odometry_taken_where_nobody_asked(drive: Path, tmp_path: Path) -> None:
    bag, frame = with_transforms(drive, tmp_path / "bag", leave_out="odom"), camera_frame(drive)
    with pytest.raises(UserError, match=r"no transforms lead from map to the camera's frame .*they end at 'odom'"):
        read_track(bag, "tf", frame)
    assert read_track(bag, None, frame).topic == "odom"
    with pytest.raises(UserError, match="no pose topic tf"):
        read_track(drive, "tf", frame)


def test_between_transforms_far_apart_nothing_is_known(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("tf", TF)
        for second in (1, 2, 7, 8):
            stamps = [second * SECOND_NS, second * SECOND_NS + SECOND_NS // 10]
            parts = [transform("odom", "camera_link", (second, 0, 0), STRAIGHT, stamp_ns) for stamp_ns in stamps]
            if second != 8:
                parts.append(transform("map", "odom", (0, 0, 0), STRAIGHT, stamps[0]))
            writer.write("tf", message(*parts), second * SECOND_NS)
    track = read_track(tmp_path / "bag", "tf", "camera_link")
    # Corrections of the map come at 1, 2 and 7 s: nothing is known between 2 and 7, and after 7.
    assert (track.stamp_ns / SECOND_NS).tolist() == [1.0, 1.1, 2.0, 7.0]


def live(robot: LiveTransforms, stamp_ns: int, x: float, ahead_ns: int = 0) -> None:
    """map -> odom, dated ahead, and odom -> camera at the stamp."""
    moving = [transform("map", "odom", (0.0, 0.0, 0.0), STRAIGHT, stamp_ns + ahead_ns)]
    moving.append(transform("odom", "camera", (x, 0.0, 0.0), STRAIGHT, stamp_ns))
    robot.add(moving, static=False)


def test_live_transforms_tell_each_stamp_once_and_begin_anew_with_the_clock() -> None:
    robot = LiveTransforms()
    with pytest.raises(UserError, match="no transforms lead from map"):
        robot.newest("camera")
    told = []
    for first_s in (100, 50):  # the clock is set back
        for number in range(200):
            live(robot, first_s * SECOND_NS + number * SECOND_NS // 10, 0.1 * number, ahead_ns=SECOND_NS // 2)
            told.append(robot.newest("camera"))
            assert robot.newest("camera") is None
    assert told[0] is None  # its correction is dated ahead: what was before is not known
    (stamp_ns, stand) = told[-1]
    assert (stamp_ns, round(stand.x, 6), stand.y) == (50 * SECOND_NS + 199 * SECOND_NS // 10, 19.9, 0.0)
    assert sum(each is not None for each in told) > 380


def test_live_transforms_whose_stamp_stands_still_take_no_memory() -> None:
    robot = LiveTransforms()
    for _ in range(MOST_KEPT + 500):
        live(robot, SECOND_NS, 1.0)
    assert all(len(edge.stamp_ns) == len(edge.rows) == MOST_KEPT for edge in robot._edges.values())


def test_live_transforms_say_which_of_them_leaves_gaps_or_stays_behind() -> None:
    robot = LiveTransforms()
    with pytest.raises(UserError, match="no transforms lead from map"):
        robot.rare("camera")
    live(robot, 10 * SECOND_NS, 0.0, ahead_ns=SECOND_NS)  # localisation may date its transform ahead
    assert robot.rare("camera") == robot.behind("camera") == ""
    live(robot, 11 * SECOND_NS, 0.0, ahead_ns=SECOND_NS // 2)
    assert robot.rare("camera") == ""
    for tenth in range(1, 40):  # localisation has died
        stamp_ns = 11 * SECOND_NS + tenth * SECOND_NS // 10
        robot.add([transform("odom", "camera", (0.0, 0.0, 0.0), STRAIGHT, stamp_ns)], static=False)
    assert robot.behind("camera") == "map -> odom is 3.4 s older than odom -> camera"
    assert robot.rare("camera") == ""
    robot.add([transform("map", "odom", (0.0, 0.0, 0.0), STRAIGHT, 14 * SECOND_NS)], static=False)
    assert robot.rare("camera") == "map -> odom comes only every 2.5 s: once a second is needed"
    assert robot.behind("camera") == ""
