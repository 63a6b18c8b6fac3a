"""Odometry is set right by the walls that depth sees; where it sees none, odometry is followed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.room_map.correction import Correction
from edgevl_core.room_map.from_bags import camera_of
from edgevl_core.room_map.occupancy import Grid, OccupancyMap
from edgevl_core.room_map.track import read_track
from edgevl_core.room_map.view import Stand
from edgevl_sim import home_seed, write_bag
from edgevl_sim.floorplan import CELL_M
from edgevl_sim.home_map import home_map
from tests.core.room_map.homes import CAMERA, two_rooms


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A drive through a home: its map, and true pose, odometry and depth of each frame."""
    bag = tmp_path_factory.mktemp("drive") / "bag"
    write_bag(bag, seed=0, split="val", homes=1, first_home=1, frames_per_room=6, hz=0.25)
    truth, odometry, pairs = read_track(bag, "pose"), read_track(bag, "odom"), read_pairs(bag)
    percent = home_map(home_seed(0, "val", 1)).percent
    frames = [(truth.at(pair.stamp_ns), odometry.at(pair.stamp_ns), pair.depth_m.copy()) for pair in pairs]
    return OccupancyMap(Grid(percent.shape, CELL_M, (0.0, 0.0)), percent), camera_of(bag, pairs.streams), frames


def apart_m(a: Stand, b: Stand) -> float:
    return math.hypot(a.x - b.x, a.y - b.y)


def test_drift_over_a_home_is_taken_back(drive):
    occupancy, camera, frames = drive
    alone, correction = Correction(occupancy), Correction(occupancy)
    for each in (alone, correction):
        each.begin(frames[0][1], frames[0][0])
    drifted = [apart_m(alone.of(odometry, None, camera), true) for true, odometry, _ in frames]
    corrected = [apart_m(correction.of(odometry, depth, camera), true) for true, odometry, depth in frames]
    assert max(drifted) > 0.5
    assert np.mean(corrected) < 0.15
    assert max(corrected[-8:]) < 0.35
    assert correction.matched > 0.9 * len(frames)


@settings(max_examples=10)
@given(x=st.floats(-50, 50), y=st.floats(-50, 50), yaw=st.floats(-math.pi, math.pi))
def test_where_odometry_begins_and_looks_changes_nothing(drive, x, y, yaw):
    """The frame of odometry is any: turned and moved, the same frames lead to the same places."""
    occupancy, camera, frames = drive
    elsewhere = Stand(x, y, yaw)
    straight, moved = Correction(occupancy), Correction(occupancy)
    straight.begin(frames[0][1], frames[0][0])
    moved.begin(elsewhere.of_camera(frames[0][1]), frames[0][0])
    for _, odometry, depth in frames[:4]:
        a, b = straight.of(odometry, depth, camera), moved.of(elsewhere.of_camera(odometry), depth, camera)
        assert apart_m(a, b) < 1e-6
        assert math.remainder(a.yaw - b.yaw, 2 * math.pi) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "depth",
    [
        np.full((60, 80), np.nan, np.float32),
        np.full((60, 80), 9.0, np.float32),
        np.full((60, 80), 0.1, np.float32),
        None,
    ],
    ids=["nothing measured", "too far", "a covered lens", "no depth"],
)
def test_without_walls_odometry_is_followed(depth):
    correction = Correction(two_rooms())
    correction.begin(Stand(0.0, 0.0, 0.0), Stand(1.0, 1.0, math.pi / 2))
    found = correction.of(Stand(0.5, 0.0, 0.1), depth, CAMERA)
    assert (found.x, found.y, found.yaw) == pytest.approx((1.0, 1.5, math.pi / 2 + 0.1))
    assert correction.matched == 0


def test_what_does_not_fit_the_map_moves_nothing():
    empty = two_rooms()
    nowhere = OccupancyMap(empty.grid, np.zeros_like(empty.percent))
    correction = Correction(nowhere)
    found = correction.of(Stand(2.0, 1.5, 0.0), np.full((60, 80), 1.2, np.float32), CAMERA)
    assert found == Stand(2.0, 1.5, 0.0)
    assert (correction.matched, correction.unmatched) == (0, 1)


def test_a_robot_that_stands_still_is_matched_once():
    """A hundred frames of one place must not wander, nor cost anything."""
    correction = Correction(two_rooms())
    places = {correction.of(Stand(1.0, 1.5, 0.0), np.full((60, 80), 3.0, np.float32), CAMERA) for _ in range(100)}
    assert correction.matched + correction.unmatched == 1
    assert len(places) == 1


def test_a_map_that_grew_and_shifted_changes_no_place(drive):
    occupancy, camera, frames = drive
    rows, columns = occupancy.grid.shape
    percent = np.full((rows + 40, columns + 60), -1, np.int8)
    percent[30 : 30 + rows, 20 : 20 + columns] = occupancy.percent
    wide = OccupancyMap(Grid(percent.shape, CELL_M, (-20 * CELL_M, -30 * CELL_M)), percent)
    as_it_was, grown = Correction(occupancy), Correction(occupancy)
    grown.set_map(wide)
    for each in (as_it_was, grown):
        each.begin(frames[0][1], frames[0][0])
    for _, odometry, depth in frames[:10]:
        assert apart_m(as_it_was.of(odometry, depth, camera), grown.of(odometry, depth, camera)) < 1e-3
