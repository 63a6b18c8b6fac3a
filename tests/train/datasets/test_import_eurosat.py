"""EuroSAT's 13-band tiles become a bag."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from edgevl_core.base.errors import UserError
from edgevl_train.datasets.eurosat import collect
from edgevl_train.datasets.kinds import import_collection
from tests.train.datasets.collections_on_disk import millimetres, pairs_of, truths

pytestmark = pytest.mark.unit
TRAIN = {"HerbaceousVegetation", "River", "Industrial", "SeaLake", "Forest"}
TEST = {"AnnualCrop", "Highway", "Pasture", "PermanentCrop", "Residential"}


def tile(root: Path, name: str, number: int) -> Path:
    """A (4, 5) tile: band i (from 1, B8A last) is 100 i everywhere but in the first pixels of B4 and B12."""
    bands = np.broadcast_to(np.arange(100, 1400, 100, dtype=np.uint16), (4, 5, 13)).copy()
    bands[0, 0, 3], bands[0, 1, 3] = 3000, 9000  # white, and what is brighter
    bands[0, :3, 11] = 0, 4095, 12000
    file = root / name / f"{name}_{number}.tif"
    file.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(file, bands, planarconfig="contig", photometric="minisblack")
    return file


def test_bands_and_words(tmp_path: Path) -> None:
    for name in TRAIN | TEST:
        tile(tmp_path / "EuroSAT_MS", name, 1)
    summary = import_collection(tmp_path / "EuroSAT_MS", tmp_path / "bag")
    assert (summary.pairs, summary.notes) == (10, [])
    pairs = pairs_of(tmp_path / "bag")
    assert ("herbaceous vegetation", "HerbaceousVegetation_1") in truths(pairs)
    assert ("sea lake", "SeaLake_1") in truths(pairs)
    for pair in pairs:
        expected = np.full((4, 5), 1200, np.uint16)
        expected[0, :3] = 0, 4095, 12000
        np.testing.assert_array_equal(millimetres(pair), expected)
        assert np.isnan(pair.depth_m[0, 0])
        assert tuple(pair.rgb[3, 4]) == (34, 26, 17)  # 400, 300, 200 of 3000
        assert tuple(pair.rgb[0, :2, 0]) == (255, 255)


@pytest.mark.parametrize(("split", "classes"), [("train", TRAIN), ("test", TEST)])
def test_splits_are_by_class_and_the_order_mixes_classes(tmp_path: Path, split: str, classes: set[str]) -> None:
    for name in TRAIN | TEST:
        for number in range(1, 5):
            tile(tmp_path / "EuroSAT_MS", name, number)
    assert import_collection(tmp_path / "EuroSAT_MS", tmp_path / "bag", split=split).pairs == 20
    pairs = pairs_of(tmp_path / "bag")
    homes = [pair.truth.home.partition("_")[0] for pair in pairs if pair.truth]
    assert set(homes) == classes
    assert len(set(homes[-5:])) > 1, "the last block of time is one class: no validation set"
    assert np.diff([pair.stamp_ns for pair in pairs]).min() > 60e9
    # Weeks of stamps are one file, not one every ten minutes.
    assert [file.name for file in (tmp_path / "bag").glob("*.mcap")] == ["bag_0.mcap"]


def test_unreadable_tiles_are_listed_and_more_than_5_percent_refused(tmp_path: Path) -> None:
    root = tmp_path / "EuroSAT_MS"
    files = [tile(root, "River", number) for number in range(60)]
    files[7].write_bytes(b"no image")
    files[8].write_bytes(files[9].read_bytes()[:200])
    tifffile.imwrite(files[10], np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    summary = import_collection(root, tmp_path / "bag", split="train")
    assert summary.pairs == 57
    assert {Path(line.split(":")[0]).name for line in summary.unreadable} == {
        "River_7.tif",
        "River_8.tif",
        "River_10.tif",
    }
    assert "no Forest/*.tif" in summary.notes
    files[11].write_bytes(b"")
    with pytest.raises(UserError, match=r"4 of 60 pairs of .* cannot be read"):
        import_collection(root, tmp_path / "other")
    assert {path.name for path in tmp_path.iterdir()} == {"EuroSAT_MS", "bag"}


@given(start=st.integers(0, 400), noise=st.binary(min_size=4, max_size=12))
def test_damaged_bytes_are_read_or_named(tmp_path_factory: pytest.TempPathFactory, start: int, noise: bytes) -> None:
    """Whatever the TIFF reader makes of it, nothing but a ValueError with the file's name comes out."""
    file = tile(tmp_path_factory.mktemp("tile"), "River", 1)
    with file.open("r+b") as stream:
        stream.seek(start)
        stream.write(noise)
    said = file.name
    try:
        collect(file.parents[1], "train").samples[0].read()
    except ValueError as error:
        said = str(error)
    assert file.name in said


@pytest.mark.parametrize("tag", [256, 257], ids=["width", "length"])
def test_a_header_that_claims_gigabytes_is_named_before_they_are_allocated(tmp_path: Path, tag: int) -> None:
    file = tile(tmp_path, "River", 1)
    with tifffile.TiffFile(file, mode="r+") as tiff:
        tiff.pages.first.tags[tag].overwrite(2**31 - 1)
    with pytest.raises(ValueError, match=rf"River_1\.tif: uint16 .*{2**31 - 1}.* of at most 1048576 pixels"):
        collect(tmp_path, "train").samples[0].read()


def test_another_split_and_a_missing_library_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile(tmp_path, "River", 1)
    with pytest.raises(UserError, match="--split val: EuroSAT has the splits train and test"):
        import_collection(tmp_path, tmp_path / "bag", split="val")
    with pytest.raises(UserError, match="nothing to import"):
        import_collection(tmp_path, tmp_path / "bag", split="test")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(UserError, match=r"needs tifffile.*pip install tifffile"):
        import_collection(tmp_path, tmp_path / "bag")
