"""A second drive through a home: the same rooms on another day, and the first drive as it always was."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_sim import ROOMS, Frame, drive, home_seed, write_bag
from edgevl_sim.another_day import Arrangement, light_of, rearranged
from edgevl_sim.apartment import Room, build_room, furnished, room_order
from edgevl_sim.drive import START_STAMP_NS, light_level
from edgevl_sim.floorplan import floor_plan

pytestmark = pytest.mark.unit

HOME = home_seed(0, "train", 3)
SMALL = (60, 80)
DAY_NS = 86_400 * 10**9
DRIVES = (1, 2)

# Drive 0 of HOME, one frame a room, from before there were other drives: room, light, x, y, yaw, then of every
# sixteenth pixel of the middle row the green and the millimetres of depth.
DRIVE_0 = [
    ("living room", 1.0, 2.425, 1.525, 1.0099, [139, 190, 126, 137, 143], [1314, 1743, 1539, 1849, 1346]),
    ("bedroom", 1.0, 1.325, 0.675, 0.6936, [124, 133, 121, 117, 112], [1230, 1611, 1954, 1494, 1200]),
    ("kitchen", 1.0, 1.125, 2.075, -1.3535, [92, 150, 80, 149, 142], [1247, 1671, 1523, 1413, 1318]),
    ("dining room", 1.0, 3.975, 0.825, 1.9871, [26, 36, 55, 156, 158], [926, 2130, 0, 3071, 0]),
    ("office", 1.0, 1.825, 1.225, -2.4146, [119, 84, 137, 65, 164], [1005, 0, 1418, 1843, 1487]),
    ("bathroom", 1.0, 1.475, 2.025, -1.467, [36, 46, 24, 146, 138], [1419, 1364, 1305, 1965, 1910]),
    ("hallway", 1.0, 1.125, 5.175, -2.0866, [63, 148, 63, 61, 146], [2985, 5024, 1556, 1372, 996]),
    ("laundry room", 1.0, 2.425, 0.775, 1.3189, [145, 60, 60, 124, 148], [1682, 1260, 1375, 1479, 1216]),
]


@pytest.fixture(scope="module")
def drives() -> list[list[Frame]]:
    """Drives 0 to 2 of HOME."""
    return [list(drive(HOME, drive_number=n, frames_per_room=1, size=SMALL)) for n in (0, *DRIVES)]


@pytest.fixture(scope="module")
def arrangements() -> list[tuple[Arrangement, Arrangement]]:
    """Before and after, for every room of three homes and two drives."""
    pairs = []
    for i, name, n in itertools.product(range(3), ROOMS, DRIVES):
        style, before = furnished(home_seed(0, "train", i), name)
        pairs.append((before, rearranged(before, style, np.random.default_rng((i, n)))))
    return pairs


def still_here(before: Arrangement, after: Arrangement) -> list[tuple[int, int]]:
    """The indices, before and after, of the pieces that are there both times."""
    kept = [i for i in range(len(before.layout.placed)) if i != after.gone]
    return list(zip(kept, range(len(kept))))


def moved(before: Arrangement, after: Arrangement) -> list[int]:
    """The indices before of the pieces that stand elsewhere."""
    was, now = before.layout.placed, after.layout.placed
    return [i for i, j in still_here(before, after) if not np.array_equal(was[i].bounds, now[j].bounds)]


def test_drive_0_is_what_it_was(drives: list[list[Frame]]) -> None:
    """Another draw anywhere changes most of these numbers; another processor's rounding at most the last digit."""
    for frame, (room, light, x, y, yaw, green, depth_mm) in zip(drives[0], DRIVE_0, strict=True):
        assert (frame.room, frame.light, frame.home) == (room, light, "train-0003")
        np.testing.assert_allclose(frame.pose, (x, y, yaw), atol=1e-3)
        np.testing.assert_allclose(frame.rgb[30, 8::16, 1].astype(int), green, atol=1)
        np.testing.assert_allclose(frame.depth_mm[30, 8::16].astype(int), depth_mm, atol=1)
    assert [f.stamp_ns for f in drives[0]] == [START_STAMP_NS + 4 * 10**9 * k for k in range(len(ROOMS))]


def test_another_drive_has_the_same_rooms_and_camera_but_another_way_and_light(drives: list[list[Frame]]) -> None:
    orders = [[frame.room for frame in frames] for frames in drives]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == sorted(ROOMS) for order in orders)
    by_room = [{frame.room: frame for frame in frames} for frames in drives]
    for (n, first), (m, second) in itertools.combinations(enumerate(by_room), 2):
        for room in ROOMS:
            a, b = first[room], second[room]
            assert (a.home, a.focal_px, a.camera_height_m) == (b.home, b.focal_px, b.camera_height_m)
            assert a.pose != b.pose
            assert a.light != b.light
            assert 1 <= (b.stamp_ns - a.stamp_ns) / DAY_NS / (m - n) < 1.5


def test_the_light_is_another_one() -> None:
    homes = [home_seed(0, "val", i) for i in range(20)]
    levels = [light_level(h, room, "on", n) for h in homes for room in ROOMS for n in DRIVES]
    assert 0.55 <= min(levels) < 0.6 < 0.95 < max(levels) <= 1
    assert {light_level(h, "office", "on") for h in homes} == {1.0}
    assert {light_level(h, "office", "off", 1) for h in homes} == {0.0}
    mixed = [light_level(h, room, "mixed", 1) for h in homes for room in ROOMS]
    assert mixed != [light_level(h, room, "mixed") for h in homes for room in ROOMS]
    assert np.mean([v < 1 for v in mixed]) == pytest.approx(1 / 3, abs=0.1)
    assert light_of(HOME, 0, 0) == (1.0, 1.0)
    # One sky over the whole home, a lamp in each room.
    lights = [light_of(HOME, number, 1) for number in range(len(ROOMS))]
    assert len({light.window for light in lights}) == 1
    assert len({light.lamp for light in lights}) == len(ROOMS)
    windows = [light_of(h, 0, 1).window for h in homes]
    assert 0.2 <= min(windows) < 0.5 < 1 < max(windows) <= 1.3


def test_halfway_repeats_another_days_drive_in_the_dark() -> None:
    frames = list(drive(HOME, drive_number=1, frames_per_room=1, lights="halfway", size=(30, 40)))
    lit, dark = frames[: len(frames) // 2], frames[len(frames) // 2 :]
    assert [(f.room, f.pose) for f in lit] == [(f.room, f.pose) for f in dark]
    assert {f.light for f in dark} == {0.0}
    assert all(f.light >= 0.55 for f in lit)


def test_some_furniture_is_moved_a_little(arrangements: list[tuple[Arrangement, Arrangement]]) -> None:
    counts = [len(moved(*pair)) for pair in arrangements]
    assert np.mean([count > 0 for count in counts]) > 0.8
    assert np.mean(counts) < 2.5
    for before, after in arrangements:
        was, now = before.layout.placed, after.layout.placed
        for i, j in still_here(before, after):
            assert (was[i].wall, was[i].telling) == (now[j].wall, now[j].telling)
            # A turn moves the middle of a piece that is no rectangle a little, too.
            assert np.abs(was[i].bounds.mean(axis=0) - now[j].bounds.mean(axis=0)).max() < 0.7
            assert [part.materials for part in was[i].parts] == [part.materials for part in now[j].parts]


def test_what_makes_the_room_stays(arrangements: list[tuple[Arrangement, Arrangement]]) -> None:
    """The first piece, doors and windows, and what hangs."""
    for before, after in arrangements:
        first = len(before.layout.keep_free)
        for i in moved(before, after) + ([] if after.gone is None else [after.gone]):
            piece = before.layout.placed[i]
            assert i > first
            assert piece.bounds[0, 2] < 0.1
            assert any(part.solid for part in piece.parts)


def test_small_things_come_and_go(arrangements: list[tuple[Arrangement, Arrangement]]) -> None:
    gone = [before.layout.placed[after.gone] for before, after in arrangements if after.gone is not None]
    new = [
        after.layout.placed[-1]
        for before, after in arrangements
        if len(after.layout.placed) > len(still_here(before, after))
    ]
    assert 0.05 < len(gone) / len(arrangements) < 0.5
    assert 0.1 < len(new) / len(arrangements) < 0.5
    for piece in gone + new:
        assert np.prod((piece.bounds[1] - piece.bounds[0])[:2]) < 0.6
        assert piece.telling <= 0.2


def test_nothing_overlaps_and_the_robot_gets_about(arrangements: list[tuple[Arrangement, Arrangement]]) -> None:
    for _, after in arrangements:
        room = after.layout
        # A door stands in the space that is kept free before it.
        for i in range(len(room.keep_free), len(room.placed)):
            others = replace(room, placed=room.placed[:i] + room.placed[i + 1 :])
            assert others.fits(room.placed[i].bounds)
        free = floor_plan(room)
        assert free is not None
        np.testing.assert_array_equal(free.free, after.floor_plan.free)


def test_what_stays_looks_the_same() -> None:
    """Same size; and each face that did not move has the same part of the same texture, shadows apart."""
    compared = 0
    for name in ROOMS:
        first, second = build_room(HOME, name), build_room(HOME, name, 1)
        assert first.size_m == second.size_m
        assert not np.array_equal(first.lamps[:, 3], second.lamps[:, 3])
        np.testing.assert_array_equal(first.lamps[:, :3], second.lamps[:, :3])
        if len(first.mesh.corners) != len(second.mesh.corners):
            continue  # something came or went: the atlas is another
        compared += 1
        here = (first.mesh.corners == second.mesh.corners).all(axis=(1, 2))
        assert here[:6].all()
        assert 0.5 < here.mean() < 1
        for a, b in ((first.mesh.u, second.mesh.u), (first.mesh.v, second.mesh.v)):
            np.testing.assert_array_equal(a[here], b[here])
        np.testing.assert_array_equal(first.mesh.luma[6:], second.mesh.luma[6:])
        # The baked shadows follow what was moved, and nothing else changes.
        changed = (first.atlas.pixels != second.atlas.pixels).any(axis=2)
        assert 0 < changed.mean() < 0.35
    assert compared >= 2


def test_a_room_without_its_gone_piece_keeps_its_textures() -> None:
    """Walls and furniture, by brightness: the faces that are left are those of drive 0 in the same order."""

    def lumas(room: Room) -> list[float]:
        return np.round(room.mesh.luma[6:], 4).tolist()

    found = 0
    for i, name in itertools.product(range(4), ROOMS):
        home = home_seed(0, "train", i)
        first, second = build_room(home, name), build_room(home, name, 1)
        less = len(first.mesh.corners) - len(second.mesh.corners)
        if less <= 0:
            continue
        found += 1
        a, b = lumas(first), lumas(second)
        assert any(a[:at] + a[at + less :] == b for at in range(len(b) + 1))
    assert found


def test_another_drive_is_the_same_each_time_and_in_a_bag(tmp_path: Path) -> None:
    write_bag(
        tmp_path / "bag", seed=0, split="train", homes=1, first_home=3, drive=2, frames_per_room=1, hz=2.0, workers=2
    )
    frames = list(drive(HOME, drive_number=2, frames_per_room=1, hz=2.0))
    for pair, frame in zip(read_pairs(tmp_path / "bag"), frames, strict=True):
        assert pair.stamp_ns == frame.stamp_ns
        np.testing.assert_array_equal(pair.rgb, frame.rgb)
        assert pair.truth is not None
        assert (pair.truth.room, pair.truth.home) == (frame.room, "train-0003")


def test_a_given_start_is_kept() -> None:
    assert next(drive(HOME, drive_number=3, start_stamp_ns=5, size=SMALL)).stamp_ns == 5
    assert room_order(HOME, 3) != room_order(HOME)


def test_a_negative_drive_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="drive -1 is negative") as refused:
        write_bag(tmp_path / "bag", seed=0, split="val", homes=1, drive=-1)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "bag").exists()
    with pytest.raises(UserError):
        next(drive(HOME, drive_number=-1))
