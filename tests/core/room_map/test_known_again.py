"""Rooms keep their numbers and their owner's names: when a map shows less for a while, and when words are fewer."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevl_core.base.errors import UserError
from edgevl_core.room_map.files import load, save
from edgevl_core.room_map.kept import KeptMap, LabelSet, Sight
from edgevl_core.room_map.occupancy import Grid, OccupancyMap
from edgevl_core.room_map.places import known_again, laid_out, remembered
from edgevl_core.room_map.room_map import RoomMap
from edgevl_core.room_map.view import Stand
from edgevl_core.room_map.words import open_dictionary
from tests.core.room_map.homes import CAMERA, looked_at, three_rooms, two_rooms, words
from tests.core.tiny import colour_bank, write_colour_bundle

pytestmark = pytest.mark.unit


def unnamed() -> RoomMap:
    """Three rooms that look like a kitchen, a bedroom and an office."""
    rooms = RoomMap(words())
    rooms.set_map(three_rooms())
    for word, x in zip(("kitchen", "bedroom", "office"), (2.0, 6.5, 10.5), strict=True):
        looked_at(rooms, word, x, 1.7)
    return rooms


def owned() -> RoomMap:
    """The same with an owner's names."""
    rooms = unnamed()
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


def test_a_name_stays_on_the_floor_that_the_owner_named() -> None:
    """Wrong frames make the next room look like it for a while: it is neither joined, nor does it take the name."""
    rooms = RoomMap(words())
    rooms.set_map(two_rooms())
    looked_at(rooms, "kitchen", 2.0, 1.7)
    rooms.rename(1, "Anna's")
    looked_at(rooms, "kitchen", 6.5, 1.7, frames=2)
    assert named(rooms) == [(1, "Anna's"), (2, "kitchen")]
    looked_at(rooms, "bedroom", 6.5, 1.7, frames=12)
    assert named(rooms) == [(1, "Anna's"), (2, "bedroom")]
    assert rooms.rooms()[0].pose_m[0] < 4.2


def test_a_name_that_is_taken_back_joins_the_room_to_its_neighbour_of_the_same_kind() -> None:
    rooms = owned()
    rooms.set_words(words(("loo",)))
    assert rooms.rename(2, "").label == "loo"
    assert rooms.rename(1, "").label == "loo"  # one with the second by this word, whichever number that has
    assert [label for _, label in named(rooms)] == ["loo", "the office"]


def without_walls(*walls: int, shown: int = 3) -> OccupancyMap:
    """A map that for a while shows no wall after the first, or the second room."""
    occupancy = three_rooms(shown)
    for wall in walls:
        left = 84 + wall * 83
        occupancy.percent[4:64, left : left + 3] = np.where(occupancy.percent[4:64, left : left + 3] < 0, -1, 0)
    return occupancy


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sets(st.sampled_from([0, 1])), st.integers(1, 3)), min_size=1, max_size=5), st.booleans())
def test_after_maps_that_show_less_the_whole_map_brings_back_all_rooms(maps: list, by_owner: bool) -> None:
    rooms = owned() if by_owner else unnamed()
    before = named(rooms)
    for walls, shown in maps:
        rooms.set_map(without_walls(*walls, shown=shown))
        assert named(rooms)
    rooms.set_map(three_rooms())
    assert named(rooms) == before
    assert rooms.next_id == 4


def test_a_room_that_took_in_another_leaves_it_its_place() -> None:
    grid = Grid((10, 20), 0.1, (0.0, 0.0))
    halves = np.repeat([[1, 2]], 10, axis=1).repeat(10, axis=0).astype(np.int32)
    both = np.full_like(halves, 2)
    found = remembered(remembered({}, halves, grid), both, grid)
    assert {number: round(place.area_m2, 6) for number, place in found.items()} == {1: 1.0, 2: 1.0}
    laid = laid_out(found)
    assert laid is not None
    np.testing.assert_array_equal(laid[0], halves)


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
    again, next_id = known_again(mixed, other, remembered({}, numbers, grid), (), 13)
    np.testing.assert_array_equal(again, regions)
    assert next_id == 13


# -- the kept map --------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> KeptMap:
    """Three rooms, red, green and blue, which their owner calls Ann, Bob and blue."""
    write_colour_bundle(tmp_path / "bundle")
    made = opened(tmp_path)
    made.set_map(three_rooms())
    for vector, x in zip(colour_bank().vectors, (2.0, 6.5, 10.5), strict=True):
        for number in range(6):
            seen(made, vector, Stand(x, 1.7, number * np.pi / 3), str(tmp_path / "bundle"))
    for number, name in ((1, "Ann"), (2, "Bob"), (3, "blue")):
        made.rename(number, name)
    return made


def opened(tmp_path: Path) -> KeptMap:
    made = KeptMap(tmp_path / "kept")
    made.use(open_dictionary(tmp_path / "bundle"))
    return made


def seen(kept: KeptMap, vector: np.ndarray, stand: Stand, bundle: str) -> None:
    depth = np.full((60, 80), 1.2, np.float32)
    assert kept.add(Sight(vector, 1.0, True, kept.bundle_id, bundle), stand, lambda: depth, CAMERA) == ""


def only_the_last() -> OccupancyMap:
    percent = three_rooms().percent.copy()
    percent[:, :168] = -1
    return OccupancyMap(three_rooms().grid, percent)


@pytest.mark.parametrize("restarted", [False, True])
def test_two_parts_of_a_floor_without_a_common_wall_are_of_one_floor(
    kept: KeptMap, restarted: bool, tmp_path: Path
) -> None:
    kept.set_map(three_rooms(shown=1))
    assert named(kept.rooms) == [(1, "Ann")]
    if restarted:
        kept.save()
        kept = opened(tmp_path)
    kept.set_map(only_the_last())
    assert named(kept.rooms) == [(3, "blue")]
    kept.set_map(three_rooms())
    assert named(kept.rooms) == [(1, "Ann"), (2, "Bob"), (3, "blue")]
    assert kept.directory == tmp_path / "kept"


def test_a_room_is_found_by_its_kind_whatever_its_owner_calls_it(kept: KeptMap) -> None:
    """Ann's is a red room still; the owner's "blue" says what the third one is, and so it is not green."""
    scores = {
        word: {room.label: round(score, 1) for room, score in kept.find(word)} for word in ("red", "Ann", "green")
    }
    assert list(scores["red"]) == ["Ann", "Bob", "blue"]
    assert scores["red"]["Ann"] == scores["green"]["Bob"] == 1.0
    assert scores["red"]["blue"] == scores["green"]["blue"] == -1.0
    assert scores["Ann"] == {"Ann": 1.0}


def test_a_name_that_the_map_does_not_show_is_said_and_hides_no_word(kept: KeptMap) -> None:
    kept.use_labels(LabelSet(kept.bundle_id, ("red", "green"), 2))
    kept.set_map(three_rooms(shown=2))
    assert [room.label for room, _ in kept.find("blue")] == ["Ann", "Bob"]  # by the bundle's word, in neither name
    kept.set_map(only_the_last())
    with pytest.raises(UserError, match="word 'Ann': the map does not show the room of this name now"):
        kept.find("Ann")
    with pytest.raises(UserError, match="room 1: the map does not show it now; rooms are 3"):
        kept.rename(1, "")


def test_numbers_that_were_told_are_kept_without_a_frame(kept: KeptMap) -> None:
    kept.save()
    kept.set_map(three_rooms(shown=2))
    assert kept.unsaved


@pytest.mark.parametrize(
    "changes",
    [
        {"next_id": 3},
        {"hidden": [[2, 0, 0.05]]},
        {"hidden": [[7, 1, 0.05]]},
        {"grid": {"resolution_m": 0.0, "origin_m": [0, 0]}},
    ],
)
def test_a_kept_map_whose_parts_contradict_each_other_is_refused(
    kept: KeptMap, changes: dict[str, object], tmp_path: Path
) -> None:
    file = kept.save()
    with np.load(file) as arrays:
        parts = dict(arrays)
    state = json.loads(parts["state"].tobytes()) | changes
    np.savez(file, **parts | {"state": np.frombuffer(json.dumps(state).encode(), np.uint8)})
    with pytest.raises(UserError, match="cannot be read"):
        load(file.parent, kept.rooms.words)
