"""What every home must be: all rooms, varied, seen by a low robot, not to be told by colour."""

import numpy as np
import pytest

from edgevl_sim import ROOMS, Frame, home_seed
from edgevl_sim.apartment import build_room, camera_of, room_order

pytestmark = pytest.mark.unit

Homes = dict[str, list[list[Frame]]]


def test_every_home_has_all_rooms_once_in_an_order_of_its_own(small_homes: Homes) -> None:
    for home in small_homes["train"]:
        visited = list(dict.fromkeys(frame.room for frame in home))
        assert sorted(visited) == sorted(ROOMS)
        assert len(home) == 3 * len(ROOMS)
    assert len({tuple(room_order(home_seed(0, "train", i))) for i in range(20)}) > 15


def test_the_camera_is_a_cleaning_robots() -> None:
    cameras = [camera_of(home_seed(0, "train", i)) for i in range(200)]
    heights = [c.height_m for c in cameras]
    fields = np.degrees([c.fov_rad for c in cameras])
    assert min(heights) >= 0.15
    assert max(heights) <= 0.4
    assert max(heights) - min(heights) > 0.2
    assert fields.min() >= 70
    assert fields.max() <= 90


def test_mean_colour_does_not_tell_the_room(small_homes: Homes) -> None:
    """The nearest mean of the training homes' mean colours names at most 40 % of other homes' frames."""

    def colours(split: str) -> tuple[np.ndarray, np.ndarray]:
        frames = [frame for home in small_homes[split] for frame in home]
        return np.array([f.rgb.mean(axis=(0, 1)) for f in frames]), np.array([ROOMS.index(f.room) for f in frames])

    x, y = colours("train")
    means = np.array([x[y == room].mean(axis=0) for room in range(len(ROOMS))])
    x, y = colours("test")
    nearest = np.argmin(((x[:, None] - means) ** 2).sum(axis=2), axis=1)
    assert (nearest == y).mean() <= 0.4


def test_most_frames_show_furniture(small_homes: Homes) -> None:
    fractions = np.array([f.furniture_fraction for homes in small_homes.values() for home in homes for f in home])
    assert fractions.min() >= 0
    assert fractions.max() <= 1
    assert (fractions >= 0.05).mean() >= 0.8
    assert (fractions < 0.6).mean() >= 0.6  # and not only furniture


def test_rooms_of_a_kind_differ_in_shape_and_colour() -> None:
    rooms = [build_room(home_seed(0, "val", i), "kitchen") for i in range(5)]
    assert len({len(room.mesh.corners) for room in rooms}) == 5
    assert len({room.size_m for room in rooms}) == 5
    assert np.std([room.mesh.luma[room.mesh.furniture].mean() for room in rooms]) > 0.01


def test_every_room_has_several_pieces() -> None:
    for name in ROOMS:
        assert build_room(home_seed(0, "val", 9), name).mesh.furniture.sum() > 60
