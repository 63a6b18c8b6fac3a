"""SUN RGB-D's folders become a bag."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_train.datasets.kinds import import_collection
from edgevl_train.datasets.sunrgbd import ROOMS
from tests.train.datasets.collections_on_disk import depth_mm, millimetres, pairs_of, truths, write_png16, write_rgb

pytestmark = pytest.mark.unit


def stored(values_mm: np.ndarray) -> np.ndarray:
    """The bits of each value rotated left by 3, one by one as text."""
    rotated = [f"{value:016b}"[3:] + f"{value:016b}"[:3] for value in values_mm.ravel()]
    return np.array([int(bits, 2) for bits in rotated], np.uint16).reshape(values_mm.shape)


def pair(folder: Path, scene: str, number: int = 2, filled: bool = True) -> Path:
    """A folder of the collection; the filled depth is one metre more than the raw one."""
    write_rgb(folder / "image" / "0001.jpg")
    write_png16(folder / "depth" / "0001.png", stored(depth_mm(number)))
    if filled:
        write_png16(folder / "depth_bfx" / "0001.png", stored(depth_mm(number + 1)))
    (folder / "intrinsics.txt").write_text("529.5 0 365 0 529.5 265 0 0 1")
    (folder / "scene.txt").write_text(f"{scene}\n")
    write_rgb(folder / "fullres" / "0001.jpg")
    return folder


def test_depth_bits_rooms_and_places(tmp_path: Path) -> None:
    root = tmp_path / "SUNRGBD"
    pair(root / "kv1/NYUdata/NYU0001", "home_office")
    pair(root / "kv2/kinect2data/000002_2014-05-26_14-23-37_260595134347_rgbf000103-resize", "kitchen")
    pair(root / "kv2/kinect2data/000009_2014-05-26_14-23-37_260595134347_rgbf000140-resize", "kitchen")
    pair(root / "xtion/sun3ddata/brown_bm_1/brown_bm_1/0000001-000000000000", "rest_space")
    pair(root / "xtion/sun3ddata/brown_bm_1/brown_bm_1b/0000002-000000000033", "rest_space")
    pair(root / "realsense/sa/2014_10_21-18_10_51", "idk")
    summary = import_collection(root, tmp_path / "bag")
    assert (summary.pairs, summary.left_out) == (5, {"of another scene (idk)": 1})
    assert summary.notes == ["depth of 5 pairs from depth_bfx"]
    pairs = pairs_of(tmp_path / "bag")
    assert truths(pairs) == {
        ("home office", "kv1/NYUdata/NYU0001"),
        ("kitchen", "kv2/kinect2data/2014-05-26_14-23-37_260595134347"),
        ("rest space", "xtion/sun3ddata/brown_bm_1"),
    }
    for found in pairs:
        np.testing.assert_array_equal(millimetres(found), depth_mm(3))


def test_raw_depth_is_taken_and_stated_where_no_other_is(tmp_path: Path) -> None:
    pair(tmp_path / "SUNRGBD/a", "lab", filled=False)
    pair(tmp_path / "SUNRGBD/b", "lab")
    summary = import_collection(tmp_path / "SUNRGBD", tmp_path / "bag")
    assert summary.notes == ["depth of 1 pairs from depth", "depth of 1 pairs from depth_bfx"]
    by_home = {found.truth.home: found for found in pairs_of(tmp_path / "bag") if found.truth}
    np.testing.assert_array_equal(millimetres(by_home["a"]), depth_mm(2))
    np.testing.assert_array_equal(millimetres(by_home["b"]), depth_mm(3))


def test_the_split_lists_folders_or_images_whatever_their_root(tmp_path: Path) -> None:
    for name in ("kv1/NYUdata/NYU0001", "kv1/NYUdata/NYU0002", "kv1/NYUdata/NYU0003"):
        pair(tmp_path / "SUNRGBD" / name, "bathroom")
    lines = "/n/fs/sun3d/data/SUNRGBD/kv1/NYUdata/NYU0003/\nSUNRGBD/kv1/NYUdata/NYU0001/image/0001.jpg\n"
    (tmp_path / "train.txt").write_text(lines)
    for number, source in enumerate((tmp_path / "SUNRGBD", tmp_path / "SUNRGBD" / "kv1")):
        bag = tmp_path / f"bag{number}"
        assert import_collection(source, bag, split=str(tmp_path / "train.txt")).notes[:-1] == []
        assert {home for _, home in truths(pairs_of(bag))} == {"kv1/NYUdata/NYU0001", "kv1/NYUdata/NYU0003"}


def test_unreadable_folders_are_listed_and_more_than_5_percent_refused(tmp_path: Path) -> None:
    root = tmp_path / "SUNRGBD"
    for number in range(40):
        pair(root / f"{number:02d}", ROOMS[number % len(ROOMS)])
    assert len(ROOMS) == 19
    (root / "07/image/0001.jpg").unlink()
    (root / "09/depth_bfx/0001.png").write_bytes(b"no image")
    summary = import_collection(root, tmp_path / "bag")
    assert summary.pairs == 38
    assert "07/image" in summary.unreadable[0]
    assert "09/depth_bfx" in summary.unreadable[1]
    write_rgb(root / "11/depth_bfx/0001.png")
    with pytest.raises(UserError, match=r"3 of 40 pairs of .* cannot be read"):
        import_collection(root, tmp_path / "other")
    assert {path.name for path in tmp_path.iterdir()} == {"SUNRGBD", "bag"}


def test_only_other_scenes_is_an_error(tmp_path: Path) -> None:
    pair(tmp_path / "SUNRGBD/a", "stairs")
    with pytest.raises(UserError, match=r"nothing to import: 1 of another scene \(stairs\)"):
        import_collection(tmp_path / "SUNRGBD", tmp_path / "bag")


def test_the_command_counts_what_it_skips_and_lists_all_of_it(tmp_path: Path) -> None:
    for number in range(160):
        pair(tmp_path / f"SUNRGBD/{number:03d}", "office" if number else "gym")
    for number in range(1, 8):
        (tmp_path / f"SUNRGBD/{number:03d}/image/0001.jpg").write_bytes(b"")
    command = [sys.executable, "-m", "edgevl_cli.main", "import", "SUNRGBD", "--out", "bag", "--json", "summary.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "note: depth of 159 pairs from depth_bfx"
    assert lines[1] == "left out: 1 of another scene (gym)"
    assert sum(line.startswith("skipped: SUNRGBD/0") for line in lines) == 5
    assert lines[-2] == "skipped: 2 more, all of them with --json FILE"
    assert lines[-1].startswith("bag: 152 pairs, 7 unreadable, ")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["pairs"], len(summary["unreadable"])) == (152, 7)
    assert summary["left_out"] == {"of another scene (gym)": 1}
