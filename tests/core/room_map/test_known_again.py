"""Rooms keep their numbers and their owner's names: when a map shows less for a while, and when words are fewer."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevl_core.room_map.files import load, save
from edgevl_core.room_map.occupancy import Grid, OccupancyMap
from edgevl_core.room_map.places import known_again, places, remembered
from edgevl_core.room_map.room_map import RoomMap
from tests.core.room_map.homes import looked_at, three_rooms, two_rooms, words

pytestmark = pytest.mark.unit


def owned() -> RoomMap:
    """Three rooms that look like a kitchen, a bedroom and an office, and have an owner's names."""
    rooms = RoomMap(words())
    rooms.set_map(three_rooms())
    for word, x in zip(("kitchen", "bedroom", "office"), (2.0, 6.5, 10.5), strict=True):
        looked_at(rooms, word, x, 1.7)
    for room in rooms.rooms():
        rooms.rename(room.id, f"the {room.label}")
    return rooms


def named(rooms: RoomMap) -> list[tuple[int, str]]:
    return [(room.id, room.label) for room in rooms.rooms()]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_map_that_grows_back_has_the_rooms_of_before(restarted: bool, tmp_path: Path) -> None:
    rooms = owned()
    before = named(rooms)
    assert before == [(1, "the kitchen"), (2, "the bedroom"), (3, "the office")]
    for shown in (1, 2, 3):
        rooms.set_map(three_rooms(shown))
        assert named(rooms) == before[:shown]
        if restarted:
            save(rooms, tmp_path)
            rooms = load(tmp_path, words())
            rooms.set_map(three_rooms(shown))
            assert named(rooms) == before[:shown]


def test_rooms_without_an_owners_name_come_back_under_their_numbers_too() -> None:
    rooms = RoomMap(words())
    rooms.set_map(three_rooms())
    looked_at(rooms, "office", 10.5, 1.7)
    before = named(rooms)
    rooms.set_map(three_rooms(shown=1))
    assert named(rooms) == before[:1]
    rooms.set_map(three_rooms())
    assert named(rooms) == before == [(1, "unknown"), (2, "unknown"), (3, "office")]


def test_fewer_words_join_no_rooms_that_the_owner_named() -> None:
    rooms = owned()
    before = named(rooms)
    rooms.set_words(words(("loo",)))  # all three look alike by this one
    assert named(rooms) == before
    rooms.set_words(words())
    assert named(rooms) == before


def test_a_room_that_is_joined_to_one_with_an_owners_name_takes_that_name() -> None:
    rooms = RoomMap(words())
    rooms.set_map(two_rooms())
    looked_at(rooms, "kitchen", 2.0, 1.7)
    looked_at(rooms, "bedroom", 6.5, 1.7)
    right = rooms.room_at(6.5, 1.7)
    assert right is not None
    rooms.rename(right.id, "Anna's")
    rooms.set_words(words(("loo",)))
    assert named(rooms) == [(right.id, "Anna's")]


def test_a_door_that_a_map_does_not_show_for_a_while_takes_no_name() -> None:
    rooms = owned()
    before = named(rooms)
    open_wall = three_rooms().percent.copy()
    open_wall[4:64, 84:87] = 0  # two rooms are one region
    rooms.set_map(OccupancyMap(three_rooms().grid, open_wall))
    assert len(named(rooms)) == 2
    rooms.set_map(three_rooms())
    assert named(rooms) == before


def test_a_room_without_a_name_is_forgotten_once_others_lie_there() -> None:
    numbers = np.full((10, 20), 1, np.int32)
    grid = Grid(numbers.shape, 0.1, (0.0, 0.0))
    halves = numbers.copy()
    halves[:, 10:] = 2
    assert set(remembered(places(halves, grid), numbers, grid, named=())) == {1}
    assert set(remembered(places(halves, grid), numbers, grid, named=(2,))) == {1, 2}


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.1, 0.2]))
def test_numbers_are_the_same_on_a_grid_of_another_origin_and_resolution(seed: int, resolution_m: float) -> None:
    """Rooms of at least 0.8 m a side on a grid of 0.05 m, seen again on another one: the same numbers, each once."""
    rng = np.random.default_rng(seed)
    numbers = np.kron(rng.permutation(12).reshape(3, 4) + 1, np.ones((16, 16), int)).astype(np.int32)
    grid = Grid(numbers.shape, 0.05, (0.0, 0.0))
    shift = tuple((rng.integers(0, 5, 2) * 0.2).tolist())
    size = tuple(round(cells * 0.05 / resolution_m) + 30 for cells in numbers.shape)
    other = Grid(size, resolution_m, (-shift[0], -shift[1]))
    rows, columns = grid.rows_columns(other)
    regions = np.where((rows >= 0)[:, None] & (columns >= 0), numbers[rows[:, None], columns], 0)
    mixed = np.concatenate([[0], rng.permutation(12) + 1]).astype(np.int32)[regions]
    again, next_id = known_again(mixed, other, places(numbers, grid), (), 13)
    np.testing.assert_array_equal(again, regions)
    assert next_id == 13
