"""ScanNet's exported frames become a bag."""

from pathlib import Path

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_train.datasets.kinds import import_collection
from edgevl_train.datasets.scannet import ROOMS
from tests.train.datasets.collections_on_disk import (
    RED,
    depth_mm,
    millimetres,
    pairs_of,
    truths,
    write_png16,
    write_rgb,
)

pytestmark = pytest.mark.unit
INFO = "axisAlignment = 1.0 0.0\ncolorHeight = 968\nnumDepthFrames = 1912\n"


def scan(root: Path, name: str, scene_type: str, numbers: range) -> Path:
    """A scan as the exporter of .sens files leaves it, frame N at N / 100 metres."""
    for number in numbers:
        write_rgb(root / name / "color" / f"{number}.jpg")
        write_png16(root / name / "depth" / f"{number}.png", depth_mm(number // 100))
        (root / name / "pose").mkdir(exist_ok=True)
        (root / name / "pose" / f"{number}.txt").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    (root / name / f"{name}.txt").write_text(f"{INFO}sceneType = {scene_type}\n")
    return root / name


def test_every_100th_frame_with_its_room(tmp_path: Path) -> None:
    source = tmp_path / "scannet"
    scan(source / "scans", "scene0000_00", "Bedroom / Hotel", range(0, 401, 50))
    scan(source / "scans", "scene0007_01", "ComputerCluster", range(0, 201, 100))
    assert import_collection(source, tmp_path / "bag").pairs == 8
    pairs = pairs_of(tmp_path / "bag")
    assert truths(pairs) == {("bedroom/hotel", "scene0000"), ("computer cluster", "scene0007")}
    bedroom = [pair for pair in pairs if pair.truth and pair.truth.home == "scene0000"]
    for number, pair in enumerate(bedroom):
        np.testing.assert_array_equal(millimetres(pair), depth_mm(number))
        np.testing.assert_allclose(pair.rgb.mean((0, 1)), RED, atol=4)


@pytest.mark.parametrize(
    ("written", "room"),
    [
        ("Living room / Lounge", "living room/lounge"),
        ("Copy/Mail Room", "copy/mail room"),
        ("Storage/Basement/Garage", "storage/basement/garage"),
        ("Misc.", "misc"),
        ("Game room", "game room"),
    ],
)
def test_scene_types_as_scannet_writes_them(tmp_path: Path, written: str, room: str) -> None:
    scan(tmp_path / "scannet", "scene0001_00", written, range(1))
    import_collection(tmp_path / "scannet", tmp_path / "bag")
    assert truths(pairs_of(tmp_path / "bag")) == {(room, "scene0001")}
    assert room in ROOMS
    assert len(ROOMS) == 21


def test_scans_of_one_place_stay_together(tmp_path: Path) -> None:
    for number in range(6):
        scan(tmp_path / "scannet", f"scene000{number % 3}_0{number // 3}", "Office", range(0, 101, 100))
    import_collection(tmp_path / "scannet", tmp_path / "bag")
    pairs = pairs_of(tmp_path / "bag")
    homes = [pair.truth.home for pair in pairs if pair.truth]
    assert sorted(homes) == [f"scene000{place}" for place in range(3) for _ in range(4)]
    stamps_s = np.array([pair.stamp_ns for pair in pairs]) / 1e9
    for number, step_s in enumerate(np.diff(stamps_s)):
        assert step_s > 60 if homes[number] != homes[number + 1] else 0 < step_s < 1


def test_the_split_is_a_list_or_a_list_by_its_name(tmp_path: Path) -> None:
    source = tmp_path / "data" / "scans"
    for place in range(3):
        scan(source, f"scene000{place}_00", "Kitchen", range(1))
    (tmp_path / "data" / "scannetv2_val.txt").write_text("scene0001_00\n\nscene0009_00\n")
    summary = import_collection(source, tmp_path / "val", split="val")
    assert truths(pairs_of(tmp_path / "val")) == {("kitchen", "scene0001")}
    assert "1 of the 2 names" in summary.notes[0]
    assert "scene0009_00" in summary.notes[0]
    (tmp_path / "mine.txt").write_text("scene0002_00\nscene0000_00")
    assert import_collection(source, tmp_path / "mine", split=str(tmp_path / "mine.txt")).pairs == 2
    with pytest.raises(UserError, match=r"no scannetv2_train\.txt in"):
        import_collection(source, tmp_path / "bag", split="train")
    with pytest.raises(UserError, match="absent cannot be read"):
        import_collection(source, tmp_path / "bag", split=str(tmp_path / "absent"))
    (tmp_path / "mine.txt").write_text("scene0100_00\n")
    with pytest.raises(UserError, match=r"none of its 1 names.*scene0100_00"):
        import_collection(source, tmp_path / "bag", split=str(tmp_path / "mine.txt"))


def test_unreadable_frames_are_listed_and_more_than_5_percent_refused(tmp_path: Path) -> None:
    source = tmp_path / "scannet"
    for place in range(10):
        scan(source, f"scene000{place}_00", "Gym", range(0, 301, 100))
    (source / "scene0004_00" / "color" / "100.jpg").write_bytes(b"no image")
    (source / "scene0005_00" / "depth" / "0.png").unlink()
    summary = import_collection(source, tmp_path / "bag")
    assert summary.pairs == 38
    assert any("scene0004_00/color/100.jpg" in line for line in summary.unreadable)
    assert any("scene0005_00/depth/0.png" in line for line in summary.unreadable)
    (source / "scene0006_00" / "scene0006_00.txt").write_text(INFO)
    with pytest.raises(UserError, match=r"4 of 40 pairs.*scene0006_00\.txt has no line sceneType"):
        import_collection(source, tmp_path / "other")
    assert {path.name for path in tmp_path.iterdir()} == {"scannet", "bag"}


def test_what_is_not_exported_yet_is_said(tmp_path: Path) -> None:
    (tmp_path / "scans" / "scene0000_00").mkdir(parents=True)
    (tmp_path / "scans" / "scene0000_00" / "scene0000_00.txt").write_text("sceneType = Office\n")
    with pytest.raises(UserError, match=r"export the frames of its \.sens"):
        import_collection(tmp_path, tmp_path / "bag")
