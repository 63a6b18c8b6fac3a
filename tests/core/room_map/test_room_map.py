"""Rooms on the map: split at doors, named by what was seen there, known again, renamed, kept and exported."""

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevl_core.base.errors import UserError
from edgevl_core.room_map.files import export, load, save
from edgevl_core.room_map.occupancy import Grid, OccupancyMap, read_map
from edgevl_core.room_map.room_map import RoomMap
from edgevl_core.room_map.rooms import LEAST_WEIGHT
from edgevl_core.room_map.segmentation import segment
from edgevl_core.room_map.view import Intrinsics, Stand, cells_in, outline
from tests.core.room_map.homes import CAMERA, DIM, labels, looked_at, two_rooms, unit, words

pytestmark = pytest.mark.unit


def home(**kitchen: object) -> RoomMap:
    """Two rooms, a kitchen on the left and a bedroom on the right."""
    rooms = RoomMap(words())
    rooms.set_map(two_rooms())
    looked_at(rooms, "kitchen", 2.0, 1.7, **kitchen)  # type: ignore[arg-type]
    looked_at(rooms, "bedroom", 6.5, 1.7)
    return rooms


@pytest.mark.parametrize("resolution_m", [0.025, 0.05, 0.1])
def test_free_space_is_split_at_a_door_and_not_elsewhere(resolution_m: float) -> None:
    occupancy = two_rooms(resolution_m)
    regions = segment(occupancy.free, occupancy.occupied, resolution_m)
    assert set(np.unique(regions)) == {0, 1, 2}
    middle = round(4.27 / resolution_m)
    left, right = regions[:, : middle - 4], regions[:, middle + 4 :]
    assert len(np.unique(left[left > 0])) == len(np.unique(right[right > 0])) == 1
    assert not regions[~occupancy.free].any()
    wide = two_rooms(resolution_m, door_m=1.8)
    assert segment(wide.free, wide.occupied, resolution_m).max() == 1  # an opening of 1.8 m is no door


def test_a_table_in_the_middle_parts_no_room() -> None:
    occupancy = two_rooms()
    percent = occupancy.percent.copy()
    percent[24:44, 30:60] = 100  # 1.5 x 1 m
    assert segment(replace(occupancy, percent=percent).free, percent >= 65, 0.05).max() == 2


def test_rooms_get_the_word_that_their_frames_say() -> None:
    rooms = home()
    found = {room.label: room for room in rooms.rooms()}
    assert set(found) == {"kitchen", "bedroom"}
    assert found["kitchen"].area_m2 == pytest.approx(12.0, abs=0.5)
    assert found["kitchen"].pose_m[0] < 4.2 < found["bedroom"].pose_m[0]
    assert all(room.probability > 0.9 for room in found.values())
    at = rooms.room_at(1.0, 1.0), rooms.room_at(8.0, 3.0), rooms.room_at(20.0, 1.0)
    assert [room and room.label for room in at] == ["kitchen", "bedroom", None]
    vectors = dict(zip(rooms.words.names, rooms.words.vectors, strict=True))
    best, cosine = rooms.find_room(vectors["bedroom"])[0]
    assert (best.label, round(cosine, 2)) == ("bedroom", 1.0)


def test_a_third_of_wrong_frames_changes_no_name() -> None:
    assert sorted(labels(home(frames=9, wrong="office"))) == ["bedroom", "kitchen"]


def test_what_nobody_looked_at_is_unknown() -> None:
    rooms = RoomMap(words())
    rooms.set_map(two_rooms())
    looked_at(rooms, "kitchen", 2.0, 1.7)
    assert labels(rooms) == ["kitchen", "unknown"]
    assert rooms.rooms()[1].probability == 0


def test_a_thousand_frames_of_one_view_are_not_a_thousand_witnesses() -> None:
    rooms = RoomMap(words())
    rooms.set_map(two_rooms())
    vectors = dict(zip(rooms.words.names, rooms.words.vectors, strict=True))
    for _ in range(1000):
        rooms.add_frame(Stand(1.0, 1.0, 0.0), vectors["office"], 1.0)
    looked_at(rooms, "kitchen", 2.5, 2.2, frames=24)
    assert labels(rooms)[0] == "kitchen"


def test_other_words_name_the_same_sights() -> None:
    rooms = home()
    mixed = words()
    study = (mixed.vectors[0] + 0.1 * mixed.vectors[3]) / np.float32(np.hypot(1, 0.1))
    rooms.set_words(replace(mixed, names=("cooking place", "loft"), vectors=np.stack([study, mixed.vectors[1]])))
    assert labels(rooms) == ["cooking place", "loft"]
    with pytest.raises(UserError, match="8 dimensions, the evidence 16"):
        rooms.set_words(replace(mixed, vectors=mixed.vectors[:, :8]))


def test_what_was_seen_while_one_word_was_in_force_is_known_by_later_words() -> None:
    """One word tells no frame from another, so that none has a voice of its own."""
    rooms = RoomMap(words(("office",)))
    rooms.set_map(two_rooms())
    known = words()
    for number in range(12):
        for word, x in ((0, 2.0), (1, 6.5)):
            rooms.add_frame(Stand(x + 0.5 * (number % 4), 1.2 + 0.4 * (number // 4), 0.0), known.vectors[word], 1.0)
    assert set(labels(rooms)) == {"office"}
    rooms.set_words(known)
    assert sorted(labels(rooms)) == ["bedroom", "kitchen"]


def test_the_owners_word_wins_and_stays(tmp_path: Path) -> None:
    rooms = home()
    kitchen = next(room for room in rooms.rooms() if room.label == "kitchen")
    rooms.rename(kitchen.id, "Anna's lab")
    looked_at(rooms, "bedroom", 2.0, 1.0)
    found = next(room for room in rooms.rooms() if room.id == kitchen.id)
    assert (found.label, found.probability, found.named_by_owner) == ("Anna's lab", 1.0, True)
    assert rooms.find_room(rooms.words.vectors[1], "anna's lab")[0][0].id == kitchen.id
    save(rooms, tmp_path / "kept")
    again = load(tmp_path / "kept", words())
    again.set_map(two_rooms())
    assert [(r.id, r.label) for r in again.rooms()] == [(r.id, r.label) for r in rooms.rooms()]
    rooms.rename(kitchen.id, "")
    assert "kitchen" in labels(rooms)
    with pytest.raises(UserError, match="room 77: there is no such room"):
        rooms.rename(77, "x")


def test_rooms_are_known_again_on_a_map_that_grew_and_shifted() -> None:
    rooms = home()
    before = {room.label: room.id for room in rooms.rooms()}
    small = two_rooms()
    percent = np.full((small.grid.shape[0] + 40, small.grid.shape[1] + 60), -1, np.int8)
    percent[17:-23, 31:-29] = small.percent
    grid = Grid(percent.shape, 0.05, (-31 * 0.05, -17 * 0.05))
    rooms.set_map(OccupancyMap(grid, percent))
    assert {room.label: room.id for room in rooms.rooms()} == before
    rooms.set_map(two_rooms(resolution_m=0.1))
    assert {room.label: room.id for room in rooms.rooms()} == before


@pytest.mark.parametrize(
    ("stand", "changed", "reason"),
    [
        (None, {}, "no pose"),
        (Stand(math.nan, 1.0, 0.0), {}, "no pose"),
        (Stand(50.0, 1.0, 0.0), {}, "off the map"),
        (Stand(1.0, 1.0, 0.0), {"known": False}, "nothing to see"),
    ],
)
def test_a_frame_that_cannot_be_placed_is_counted_and_changes_nothing(
    stand: Stand | None, changed: dict[str, bool], reason: str
) -> None:
    rooms = home()
    before = rooms.evidence.total.copy()
    assert rooms.add_frame(stand, rooms.words.vectors[2], 1.0, **changed) == reason
    assert rooms.dropped == {reason: 1}
    np.testing.assert_array_equal(rooms.evidence.total, before)
    assert rooms.add_frame(Stand(1, 1, 0), np.full(DIM, np.nan, np.float32), 1.0) == "no embedding"


def test_without_a_map_frames_are_kept_and_rooms_are_refused() -> None:
    rooms = RoomMap(words())
    looked_at(rooms, "kitchen", 2.0, 1.7)
    with pytest.raises(UserError, match="there is none yet"):
        rooms.rooms()
    rooms.set_map(two_rooms())
    assert labels(rooms)[0] == "kitchen"


def test_a_camera_in_one_room_says_nothing_of_the_next() -> None:
    """It looks at the wall from 1 m; its view ends there."""
    rooms = RoomMap(words())
    rooms.set_map(two_rooms())
    depth_m = np.full((60, 80), 1.0, np.float32)
    for y in (0.6, 0.9, 2.6, 2.9):
        rooms.add_frame(Stand(3.15, y, 0.0), rooms.words.vectors[0], 1.0, depth=depth_m, camera=CAMERA)
    right = next(room for room in rooms.rooms() if room.pose_m[0] > 4.3)
    assert right.weight < 0.2 * LEAST_WEIGHT


def test_the_view_is_as_wide_as_the_camera_and_as_deep_as_its_depth() -> None:
    polygon = outline(Stand(1.0, 2.0, math.pi / 2), np.full((60, 80), 2.0, np.float32), CAMERA)
    np.testing.assert_allclose(polygon[0], [1.0, 2.0])
    np.testing.assert_allclose(polygon[1:, 1], 4.0, atol=0.05)  # depth is along the axis: a wall is a straight line
    assert np.ptp(polygon[:, 0]) == pytest.approx(4.0, abs=0.2)  # 45 degrees to each side at 2 m
    assert polygon[1, 0] < polygon[-1, 0]  # the image's left is the robot's left: smaller x, looking along y
    depth_m = np.full((60, 80), np.nan, np.float32)
    assert len(cells_in(outline(Stand(1.0, 2.0, 0.0), depth_m, CAMERA), Grid((100, 100), 0.05, (0.0, 0.0)))) <= 1
    rotated = {
        0: CAMERA,
        90: Intrinsics(160.0, 119.5, 240, 160.0, 159.5, 320, 90),
        180: replace(CAMERA, rotation_deg=180),
        270: Intrinsics(160.0, 119.5, 240, 160.0, 159.5, 320, 270),
    }
    scene_m = np.linspace(1.0, 4.0, 80, dtype=np.float32) * np.ones((60, 1), np.float32)  # nearer on its left
    upright = outline(Stand(1.0, 2.0, 0.3), scene_m, CAMERA)
    for rotation_deg, camera in rotated.items():  # turned back as preprocess.rotation_deg says
        turned_m = np.rot90(scene_m, rotation_deg // 90)
        np.testing.assert_allclose(outline(Stand(1.0, 2.0, 0.3), turned_m, camera), upright)
    round_about = outline(Stand(1.0, 2.0, 0.0), None, None)
    np.testing.assert_allclose(np.hypot(*(round_about - [1.0, 2.0]).T), 0.8)


@settings(max_examples=40)
@given(
    st.floats(-100, 100),
    st.floats(-100, 100),
    st.floats(-10, 10),
    st.floats(0.05, 30),
    st.integers(1, 400),
    st.integers(1, 300),
)
def test_any_view_is_finite_and_near(x: float, y: float, yaw: float, depth: float, width: int, height: int) -> None:
    camera = Intrinsics(200.0, 160.0, 320, 200.0, 120.0, 240)
    polygon = outline(Stand(x, y, yaw), np.full((height, width), depth, np.float32), camera)
    assert np.isfinite(polygon).all()
    assert np.hypot(*(polygon - [x, y]).T).max() <= 5.0 + 1e-6


def test_masks_polygons_and_goals_for_nav2(tmp_path: Path) -> None:
    rooms = home()
    files = {file.name for file in export(rooms, tmp_path / "nav2")}
    assert {"rooms.json", "rooms.geojson", "01_kitchen.pgm", "01_kitchen.yaml"} <= files
    kitchen = next(
        room for room in json.loads((tmp_path / "nav2/rooms.json").read_text()) if room["label"] == "kitchen"
    )
    mask = read_map(tmp_path / "nav2" / kitchen["mask"])
    assert mask.grid == two_rooms().grid
    numbers, grid = rooms.numbers()
    np.testing.assert_array_equal(mask.occupied, numbers == kitchen["id"])
    cell = grid.cells(np.array([kitchen["goal"]["x"], kitchen["goal"]["y"]]))
    assert numbers[cell[0], cell[1]] == kitchen["id"]
    features = json.loads((tmp_path / "nav2/rooms.geojson").read_text())["features"]
    ring = np.array(features[0]["geometry"]["coordinates"][0])
    assert (ring[0] == ring[-1]).all()
    area_m2 = cv2.contourArea(ring.astype(np.float32))
    assert area_m2 == pytest.approx(features[0]["properties"]["area_m2"], rel=0.1)
    with pytest.raises(UserError, match="exists already"):
        export(rooms, tmp_path / "nav2")


def test_a_map_of_map_saver_is_read(tmp_path: Path) -> None:
    picture = np.full((4, 6), 205, np.uint8)
    picture[0, 0], picture[3, 5] = 0, 254  # the first row of the picture is the largest y
    cv2.imwrite(str(tmp_path / "home.pgm"), picture)
    (tmp_path / "home.yaml").write_text("image: home.pgm\nresolution: 0.05\norigin: [-1.0, 2.0, 0.0]\nnegate: 0\n")
    found = read_map(tmp_path / "home.yaml")
    assert (found.percent[3, 0], found.percent[0, 5], found.percent[1, 1]) == (100, 0, -1)
    assert found.grid == Grid((4, 6), 0.05, (-1.0, 2.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image: none.pgm\nresolution: 0.05\norigin: [0, 0, 0]\n", "missing, or no picture"),
        ("- a list", "cannot be read"),
        ("image: home.pgm\nresolution: much\norigin: [0, 0, 0]\n", "cannot be read"),
        ("image: home.pgm\nresolution: -1\norigin: [0, 0, 0]\n", "without rotation are accepted"),
        ("image: home.pgm\nresolution: 0.05\norigin: [0, 0, 1.57]\n", "without rotation are accepted"),
        ("image: home.pgm\nresolution: .nan\norigin: [0, 0, 0]\n", "without rotation are accepted"),
        ("image: home.pgm\nresolution: 0.05\norigin: [.inf, 0, .nan]\n", "without rotation are accepted"),
        ("a: [\n", "cannot be read"),
    ],
)
def test_a_map_that_is_something_else_is_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "home.pgm"), np.full((4, 6), 205, np.uint8))
    (tmp_path / "home.yaml").write_text(text)
    with pytest.raises(UserError, match=said) as error:
        read_map(tmp_path / "home.yaml")
    assert "\n" not in str(error.value)


def test_a_kept_map_that_is_damaged_or_of_another_teacher_is_refused(tmp_path: Path) -> None:
    save(home(), tmp_path)
    other = replace(words(), vectors=words().vectors[:, :8])
    with pytest.raises(UserError, match="of another teacher"):
        load(tmp_path, other)
    (tmp_path / "room_map.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path, words())
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "nowhere", words())


def test_a_frame_that_shouts_counts_no_more_than_others():
    """Three unsure frames outvote one that is surer than all of them together; and in whichever order they come."""
    names = words()
    kitchen, bedroom = names.vectors[0], names.vectors[1]
    unsure = unit(0.3 * kitchen + 0.95 * words(("study",)).vectors[0])
    for shout_at in (1, 2, 3):
        rooms = RoomMap(names)
        rooms.set_map(two_rooms())
        frames = [unsure, unsure, unsure]
        frames.insert(shout_at, bedroom)
        for number, embedding in enumerate(frames):
            rooms.add_frame(Stand(1.0 + 0.6 * number, 1.5, 0.0), embedding, 1.0)
        assert rooms.room_at(1.0, 1.5).label == "kitchen"


def test_a_damaged_map_is_refused_wherever_the_damage_is(tmp_path: Path) -> None:
    """One byte at a time, over the whole file: zip, zlib, numpy and JSON each have errors of their own."""
    save(home(), tmp_path)
    file = next(tmp_path.glob("*.npz"))
    whole, refused = file.read_bytes(), 0
    for place in range(0, len(whole), max(1, len(whole) // 200)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            load(tmp_path, words())
        except UserError:
            refused += 1
    assert refused > 100
