"""What goes wrong in a home: nothing is put into the wrong room, what is not known is unknown, drops are counted."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.room_map.evidence import Evidence
from edgevl_core.room_map.floors import is_same, of_map
from edgevl_core.room_map.kept import KeptMap, Sight
from edgevl_core.room_map.live import Account
from edgevl_core.room_map.occupancy import Grid, OccupancyMap, from_message
from edgevl_core.room_map.rooms import UNKNOWN
from edgevl_core.room_map.track import LiveTrack
from edgevl_core.room_map.view import Stand
from edgevl_core.room_map.words import open_dictionary
from edgevl_sim import home_seed
from edgevl_sim.floorplan import CELL_M
from edgevl_sim.home_map import home_map
from tests.core.room_map.homes import CAMERA, two_rooms, upstairs
from tests.core.tiny import colour_bank, write_colour_bundle

pytestmark = pytest.mark.unit
S = 1_000_000_000
RED, GREEN, BLUE = colour_bank().vectors
LEFT, RIGHT = (2.0, 1.7), (6.5, 1.7)


class Robot:
    """Poses and frames at 5 Hz into a kept map, as room_mapper hands them on; it turns on the spot where it stands."""

    def __init__(self, directory: Path, bundle: Path) -> None:
        self.kept = KeptMap(directory)
        self.track = LiveTrack()
        self.account = Account()
        self.stamp_ns = 0
        self.kept.use(open_dictionary(bundle))
        self._sight = Sight(RED, 1.0, True, self.kept.bundle_id, str(bundle))

    def looks(
        self,
        vector: np.ndarray,
        at: tuple[float, float],
        frames: int = 12,
        *,
        says_where: bool = True,
        covered: bool = False,
        reach_m: float = 1.2,
    ) -> None:
        for _ in range(frames):
            self.stamp_ns += S // 5
            stand = Stand(*at, self.stamp_ns / S * 2.5)
            if says_where:
                self.track.add(self.stamp_ns, (stand.x, stand.y, stand.yaw))
            self.account.receive()
            sight = replace(self._sight, embedding=vector, known=not covered)
            depth_m = np.full((60, 80), reach_m, np.float32)
            placed = self.track.at(self.stamp_ns)
            self.account.settle(self.kept.add(sight, placed, lambda depth=depth_m: depth, CAMERA))

    def names(self) -> list[str]:
        """From the left to the right."""
        return [room.label for room in sorted(self.kept.rooms.rooms(), key=lambda room: room.pose_m)]

    def evidence(self) -> Evidence:
        return self.kept.rooms.evidence

    def dropped(self) -> Counter[str]:
        counts, dropped = self.account.counts()
        assert counts["received"] == counts["used"] + sum(dropped.values())
        return Counter(dropped)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_colour_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def robot(tmp_path: Path, bundle: Path) -> Robot:
    """It has seen a red room on the left; of the right one it knows nothing."""
    made = Robot(tmp_path / "kept", bundle)
    made.kept.set_map(two_rooms())
    made.looks(RED, LEFT)
    assert made.names() == ["red", UNKNOWN]
    return made


def test_no_pose_for_a_while(robot: Robot) -> None:
    """It drives into the blue room, and nobody says so: the red room must stay as it is."""
    robot.looks(BLUE, RIGHT, frames=3, says_where=False)
    old = robot.evidence().total.copy()
    robot.looks(BLUE, RIGHT, frames=147, says_where=False)
    np.testing.assert_array_equal(robot.evidence().total, old)
    # A pose counts for half a second, in which two frames come.
    assert robot.dropped() == {"no pose": 148}
    assert robot.names() == ["red", UNKNOWN]
    robot.looks(BLUE, RIGHT)
    assert robot.names() == ["red", "blue"]


def test_a_pose_that_jumps(robot: Robot) -> None:
    """Frames between two poses that are too far apart are put nowhere, not half-way."""
    before = robot.evidence().total.copy()
    for step in range(10):
        x = (LEFT, RIGHT)[step % 2][0]
        robot.stamp_ns += S // 5
        robot.track.add(robot.stamp_ns, (x, 1.7, 0.0))
        assert robot.track.at(robot.stamp_ns - S // 10) is None or step == 0
        robot.account.receive()
        sight = replace(robot._sight, embedding=BLUE)
        between = robot.track.at(robot.stamp_ns - S // 10) if step else None
        robot.account.settle(robot.kept.add(sight, between, lambda: None, CAMERA))
    np.testing.assert_array_equal(robot.evidence().total, before)
    assert robot.dropped() == {"no pose": 10}
    robot.looks(BLUE, RIGHT)  # the place after the jump is believed
    assert robot.names() == ["red", "blue"]


@pytest.mark.parametrize("margin", [(0, 40), (40, 0), (17, 31)], ids=["larger", "shifted", "both"])
def test_a_map_that_is_published_larger_or_shifted(robot: Robot, margin: tuple[int, int]) -> None:
    robot.looks(BLUE, RIGHT)
    before = {room.label: (room.id, room.pose_m) for room in robot.kept.rooms.rooms()}
    old, (low, high) = two_rooms(), margin
    percent = np.pad(old.percent, (low, high), constant_values=-1)
    origin_m = (-low * 0.05, -low * 0.05)
    robot.kept.set_map(OccupancyMap(Grid(percent.shape, 0.05, origin_m), percent))
    after = {room.label: (room.id, room.pose_m) for room in robot.kept.rooms.rooms()}
    assert set(after) == {"red", "blue"}
    for label, (number, place) in before.items():
        assert after[label][0] == number
        np.testing.assert_allclose(after[label][1], place, atol=0.06)
    assert not robot.dropped()


def test_a_lens_that_is_covered_for_a_minute(robot: Robot) -> None:
    before = robot.evidence().total.copy()
    robot.looks(GREEN, RIGHT, frames=300, covered=True)
    np.testing.assert_array_equal(robot.evidence().total, before)
    assert robot.dropped() == {"nothing to see": 300}
    assert robot.names() == ["red", UNKNOWN]
    robot.looks(BLUE, RIGHT)
    assert robot.names() == ["red", "blue"]


def test_doors_that_are_closed(robot: Robot) -> None:
    """The map without the door, then the door's leaf in front of the camera: the rooms stay two, each with its own."""
    robot.looks(BLUE, RIGHT)
    before = {room.label: room.id for room in robot.kept.rooms.rooms()}
    robot.kept.set_map(two_rooms(door_m=0.0))
    assert {room.label: room.id for room in robot.kept.rooms.rooms()} == before
    weights = {room.label: room.weight for room in robot.kept.rooms.rooms()}
    robot.looks(RED, (3.9, 1.6), frames=24, reach_m=0.3)
    after = {room.label: room.weight for room in robot.kept.rooms.rooms()}
    assert after["red"] > weights["red"]
    assert after["blue"] == pytest.approx(weights["blue"], rel=0.05)
    robot.kept.set_map(two_rooms())
    assert {room.label: room.id for room in robot.kept.rooms.rooms()} == before


# -- another floor -------------------------------------------------------------------------------------------


def test_another_floor_on_the_same_map_topic(robot: Robot, tmp_path: Path, bundle: Path) -> None:
    """Carried upstairs and back: two room maps that know nothing of each other, over a restart too."""
    robot.looks(BLUE, RIGHT)
    assert robot.names() == ["red", "blue"]
    robot.kept.rename(1, "workshop")
    assert is_same(of_map(two_rooms()), of_map(upstairs())) is False
    robot.kept.set_map(upstairs())
    assert set(robot.names()) == {UNKNOWN}
    assert not robot.evidence().weight.size
    robot.looks(GREEN, (2.0, 0.9))
    assert "green" in robot.names()
    assert not {"workshop", "blue"} & set(robot.names())
    robot.kept.set_map(two_rooms())
    assert robot.names() == ["workshop", "blue"]
    assert robot.kept.directory == tmp_path / "kept"
    robot.kept.set_map(upstairs())
    assert "green" in robot.names()
    assert robot.kept.directory == tmp_path / "kept/floors/2"

    again = Robot(tmp_path / "kept", bundle)
    again.kept.set_map(upstairs())
    assert "green" in again.names()
    again.kept.set_map(two_rooms(door_m=0.8))
    assert again.names() == ["workshop", "blue"]


def test_another_floor_that_slam_begins_small(robot: Robot, tmp_path: Path) -> None:
    """Its first square metres may be of any floor: nothing is placed until they tell, and the floor before stays."""
    robot.looks(BLUE, RIGHT)
    robot.kept.rename(1, "workshop")
    robot.kept.save()
    whole = upstairs()
    for columns in (20, 30, 45, 60, 90, 130, 171):
        percent = np.full_like(whole.percent, -1)
        percent[:, :columns] = whole.percent[:, :columns]
        robot.kept.set_map(OccupancyMap(whole.grid, percent))
        robot.looks(GREEN, (0.9, 0.9), frames=3)
    assert robot.kept.directory == tmp_path / "kept/floors/2"
    assert "workshop" not in robot.names()
    assert robot.dropped().get("map too small", 0) > 0
    robot.kept.set_map(two_rooms())
    assert robot.names() == ["workshop", "blue"]
    assert robot.kept.directory == tmp_path / "kept"


def test_a_bundle_that_was_refused_is_looked_at_again(robot: Robot, tmp_path: Path, bundle: Path) -> None:
    other = tmp_path / "other"
    sight = replace(robot._sight, bundle_id="another", bundle=str(other))
    assert robot.kept.add(sight, Stand(*LEFT, 0.0), lambda: None, None) == "another bundle"
    assert str(other) in robot.kept.problem
    assert robot.kept.add(robot._sight, Stand(*LEFT, 0.0), lambda: None, None) == ""
    assert robot.kept.problem == ""


def test_a_floor_where_nothing_was_seen_leaves_nothing_behind(robot: Robot, tmp_path: Path) -> None:
    robot.kept.set_map(upstairs())
    robot.kept.set_map(two_rooms())
    assert robot.names() == ["red", UNKNOWN]
    assert sorted(path.name for path in (tmp_path / "kept").rglob("*")) == ["room_map.npz"]


def test_a_kept_floor_that_cannot_be_read_stays_where_it_is(robot: Robot, tmp_path: Path) -> None:
    robot.kept.set_map(upstairs())
    robot.looks(GREEN, (2.0, 0.9))
    (tmp_path / "kept/room_map.npz").write_bytes(b"PK")
    robot.kept.set_map(two_rooms())
    assert robot.names() == [UNKNOWN, UNKNOWN]
    assert robot.kept.directory == tmp_path / "kept/floors/3"
    assert (tmp_path / "kept/room_map.npz").read_bytes() == b"PK"


def test_a_floor_that_cannot_be_saved_gets_nothing_of_the_next(robot: Robot, tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"a file where the directory should be")
    with pytest.raises(UserError, match="kept"):
        robot.kept.set_map(upstairs())
    assert not robot.evidence().weight.size
    robot.looks(GREEN, (2.0, 0.9))
    assert "green" in robot.names()


def test_walls_tell_homes_apart_and_know_another_day_again() -> None:
    def floor(home: int, drive: int = 0, mirrored: bool = False) -> OccupancyMap:
        percent = home_map(home_seed(0, "val", home), drive).percent
        percent = np.ascontiguousarray(percent[:, ::-1]) if mirrored else percent
        return OccupancyMap(Grid(percent.shape, CELL_M, (0.0, 0.0)), percent)

    for home in range(4):
        here = of_map(floor(home))
        assert is_same(here, of_map(floor(home, drive=1)))
        assert is_same(here, of_map(floor((home + 1) % 4))) is False
        assert is_same(here, of_map(floor(home, mirrored=True))) is False
        slid = replace(floor(home), grid=replace(here.grid, origin_m=(0.3, -0.2)))  # SLAM closes a loop
        assert is_same(here, of_map(slid))
        begun = floor(home).percent.copy()
        begun[:, 110:] = -1  # a third of it, then all
        assert is_same(of_map(OccupancyMap(here.grid, begun)), here)
    small = two_rooms().percent[:40, :40]
    assert is_same(here, of_map(OccupancyMap(Grid(small.shape, 0.05, (0.0, 0.0)), small))) is None


@pytest.mark.parametrize(
    ("temperature", "length"),
    [(0.0, 1.0), (np.nan, 1.0), (np.inf, 1.0), (-1.0, 1.0), (1e-20, 1.0), (1.0, 0.0), (1.0, 1e19), (1.0, 0.5)],
)
def test_a_frame_whose_numbers_are_no_embedding(
    robot: Robot, tmp_path: Path, temperature: float, length: float
) -> None:
    """It would be louder than all others together, and what is kept could not be read again."""
    robot.looks(BLUE, RIGHT)
    before = robot.evidence().total.copy()
    sight = Sight(np.float32(length) * RED, temperature, True, robot.kept.bundle_id, "")
    assert robot.kept.add(sight, Stand(*RIGHT, 0.0), lambda: None, CAMERA) == "no embedding"
    np.testing.assert_array_equal(robot.evidence().total, before)
    robot.kept.save()
    robot.kept.load()
    assert robot.names() == ["red", "blue"]
    assert robot.kept.find("blue")[0][0].label == "blue"


def test_a_map_that_cannot_be_kept_is_one_line_and_stays_unsaved(robot: Robot, tmp_path: Path) -> None:
    robot.kept.directory = tmp_path / "file"
    robot.kept.directory.write_text("no folder")
    with pytest.raises(UserError, match=r"room map .*file.room_map\.npz cannot be written"):
        robot.kept.save()
    assert robot.kept.unsaved


def test_an_owners_name_is_a_word(robot: Robot) -> None:
    with pytest.raises(UserError, match="has 20000 characters"):
        robot.kept.rename(1, "a" * 20_000)
    assert robot.kept.rename(1, "  the   den ").label == "the den"
    assert robot.kept.rename(1, " ").label == "red"


@pytest.mark.parametrize(
    "wrong",
    [
        {"position.x": np.nan},
        {"position.y": np.inf},
        {"position.x": 1e300},
        {"orientation.z": np.nan},
        {"resolution": 1e-30},
        {"resolution": np.nan},
    ],
    ids=str,
)
def test_a_map_that_lies_nowhere_is_refused(wrong: dict[str, float]) -> None:
    info = SimpleNamespace(width=2, height=2, resolution=0.05)
    info.origin = SimpleNamespace(
        position=SimpleNamespace(x=0.0, y=0.0), orientation=SimpleNamespace(x=0.0, y=0.0, z=0.0)
    )
    message = SimpleNamespace(info=info, data=[0, 0, 0, 100])
    assert from_message(message).grid.shape == (2, 2)
    for name, value in wrong.items():
        place, _, axis = name.rpartition(".")
        setattr(getattr(info.origin, place) if place else info, axis, value)
    with pytest.raises(UserError, match="are accepted"):
        from_message(message)
