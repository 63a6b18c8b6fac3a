"""A drive: repeatable, smooth, never through furniture, its way the same at every rate."""

import itertools
import math

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_sim import ROOMS, Frame, drive, home_seed
from edgevl_sim.apartment import build_room, camera_of
from edgevl_sim.drive import drive_room, light_level
from edgevl_sim.floorplan import CELL_M
from edgevl_sim.path import SPEED_M_S, TURN_RAD_S, RoomPath
from edgevl_sim.render import focal_px, render

pytestmark = pytest.mark.unit

HOME = home_seed(0, "test", 4)
TINY = (30, 40)


def same(a: Frame, b: Frame) -> bool:
    """Equal to the bit."""
    return all(np.array_equal(x, y) for x, y in zip(a, b))


def path_in(room: str, seed: int = HOME) -> RoomPath:
    """A way through one of the home's rooms."""
    return RoomPath(build_room(seed, room).floor_plan, camera_of(seed).fov_rad, np.random.default_rng(1))


def test_the_same_arguments_give_the_same_frames() -> None:
    first, second = (list(drive(HOME, frames_per_room=1, size=TINY)) for _ in range(2))
    assert all(same(a, b) for a, b in zip(first, second))
    other = list(drive(home_seed(0, "test", 5), frames_per_room=1, size=TINY))
    assert not any(np.array_equal(a.rgb, b.rgb) for a, b in zip(first, other))


def test_a_part_of_a_room_is_what_the_whole_has_there() -> None:
    whole = list(drive_room(HOME, "office", range(5), 1.0, "on", 0, TINY))
    part = list(drive_room(HOME, "office", range(3, 5), 1.0, "on", 0, TINY))
    assert all(same(a, b) for a, b in zip(whole[3:], part))


def test_a_low_rate_samples_the_same_way() -> None:
    fast, slow = path_in("living room"), path_in("living room")
    dense = [fast.pose(k / 10) for k in range(200)]
    assert [slow.pose(float(k)) for k in range(20)] == dense[::10]


def test_motion_is_continuous_and_within_limits() -> None:
    path = path_in("bedroom")
    poses = [path.pose(k / 10) for k in range(600)]
    for a, b in itertools.pairwise(poses):
        assert math.hypot(b.x - a.x, b.y - a.y) <= SPEED_M_S / 10 * 1.001
        assert abs(b.yaw - a.yaw) <= TURN_RAD_S / 10 * 1.001
    assert sum(math.hypot(b.x - a.x, b.y - a.y) for a, b in itertools.pairwise(poses)) > 3


@pytest.mark.parametrize("room", ROOMS)
def test_the_camera_keeps_away_from_everything(room: str) -> None:
    """No surface but the floor, which it drives on, comes nearer than 0.3 m."""
    built, camera, path = build_room(HOME, room), camera_of(HOME), path_in(room)
    # A wide camera looking level all around the way sees whatever is near.
    wide = camera._replace(fov_rad=math.radians(100), pitch_rad=0.0)
    rows, columns = np.mgrid[: TINY[0], : TINY[1]]
    along = np.sqrt(1 + ((columns - 19.5) ** 2 + (rows - 14.5) ** 2) / focal_px(wide, TINY[1]) ** 2)
    for k in range(6):
        pose = path.pose(4.0 * k)
        assert built.floor_plan.free[int(pose.y / CELL_M), int(pose.x / CELL_M)]
        for turn in range(4):
            view = render(built, wide, pose._replace(yaw=turn * math.pi / 2), *TINY)
            distance = view.depth_m * along
            # Face 0 is the floor; a rug on it may be driven over.
            solid = built.mesh.furniture[view.face] | ((view.face > 0) & (view.face < 6))
            assert distance[solid].min() >= 0.3


def test_stamps_rise_evenly_and_halfway_repeats_the_way_in_the_dark() -> None:
    frames = list(drive(HOME, frames_per_room=2, hz=3.0, lights="halfway", size=TINY))
    assert len(frames) == 2 * 2 * len(ROOMS)
    steps = np.diff([f.stamp_ns for f in frames])
    assert steps.min() > 0
    assert abs(steps - 1e9 / 3).max() <= 2
    lit, dark = frames[: len(frames) // 2], frames[len(frames) // 2 :]
    for a, b in zip(lit, dark):
        assert (a.room, a.pose, a.home) == (b.room, b.pose, b.home)
        assert (a.light, b.light) == (1.0, 0.0)
        np.testing.assert_array_equal(a.depth_true_m, b.depth_true_m)


def test_a_third_of_the_rooms_is_dimmed_when_mixed() -> None:
    levels = [light_level(home_seed(0, "train", i), room, "mixed") for i in range(60) for room in ROOMS]
    assert np.mean([v < 1 for v in levels]) == pytest.approx(1 / 3, abs=0.07)


@pytest.mark.parametrize(
    "wrong", [{"lights": "dim"}, {"frames_per_room": 0}, {"hz": 0.0}, {"hz": -1.0}, {"hz": float("nan")}]
)
def test_what_no_drive_can_be_made_of_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError):
        next(drive(HOME, **wrong))  # type: ignore[arg-type]
