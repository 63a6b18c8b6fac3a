"""A bag exported for other tools and imported again: the same pairs, depth to the bit."""

import json
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.camera.images import encode_jpeg
from edgevl_core.pairlog.pairs import RgbdPair, read_pairs
from edgevl_core.pairlog.types import COMPRESSED_IMAGE, IMAGE, SCENE_TRUTH, compressed_image_msg, image_msg, serialize
from edgevl_core.pairlog.types import truth_msg as truth_of
from edgevl_core.pairlog.writer import BagWriter
from edgevl_train.datasets.export import export_bag
from edgevl_train.datasets.kinds import import_collection
from edgevl_train.datasets.webdataset import pixels_of, write_webdataset
from tests.core.tiny import huge_png

pytestmark = pytest.mark.unit

START_NS = 1_700_000_000_123_456_789


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven pairs in two sequences, JPEG and 16UC1, every depth from 0 to 65535; depth comes 3 ms later."""
    path = tmp_path_factory.mktemp("export") / "drive"
    rng = np.random.default_rng(0)
    with BagWriter(path) as bag:
        bag.add_topic("camera/color/compressed", COMPRESSED_IMAGE)
        bag.add_topic("camera/depth/image_rect_raw", IMAGE)
        bag.add_topic("truth", SCENE_TRUTH)
        for number in range(7):
            stamp_ns = START_NS + number * 500_000_000 + (60_000_000_000 if number > 3 else 0)
            jpeg = encode_jpeg(rng.integers(0, 256, (24, 32, 3), np.uint8), 90)
            depth = rng.integers(0, 65536, (12, 16), np.uint16)
            depth[0, :2] = 0, 65535
            messages = {
                "camera/color/compressed": compressed_image_msg(jpeg, "jpeg", stamp_ns, "camera"),
                "camera/depth/image_rect_raw": image_msg(depth, "16UC1", stamp_ns + 3_000_000, "camera"),
                "truth": truth_of("kitchen", "home-1", 0.25, stamp_ns, "camera"),
            }
            for topic, message in messages.items():
                bag.write(topic, serialize(message), stamp_ns)
    return path


def assert_same(before: list[RgbdPair], after: list[RgbdPair]) -> None:
    assert len(before) == len(after) > 0
    for a, b in zip(before, after, strict=True):
        assert (a.stamp_ns, a.truth) == (b.stamp_ns, b.truth)
        np.testing.assert_array_equal(a.rgb, b.rgb)
        np.testing.assert_array_equal(a.depth, b.depth)
        assert a.depth.dtype == b.depth.dtype == np.uint16


def test_webdataset_and_back(drive: Path, tmp_path: Path) -> None:
    summary = export_bag(drive, tmp_path / "tars", "webdataset")
    assert (summary.pairs, summary.sequences, summary.notes) == (7, 2, [])
    import_collection(tmp_path / "tars", tmp_path / "again")
    assert_same(list(read_pairs(drive)), list(read_pairs(tmp_path / "again")))


def test_a_clock_set_back_within_a_bag_costs_no_pair(tmp_path: Path) -> None:
    """Ten pairs, then ten more of the same stamps."""
    with BagWriter(tmp_path / "drive", min_free_bytes=0) as bag:
        bag.add_topic("rgb", IMAGE)
        bag.add_topic("depth", IMAGE)
        for number in range(20):
            stamp_ns, log_ns = (START_NS + count * 100_000_000 for count in (number % 10, number))
            rgb, depth = np.full((8, 8, 3), number, np.uint8), np.full((8, 8), 1000 + number, np.uint16)
            bag.write("rgb", serialize(image_msg(rgb, "rgb8", stamp_ns, "camera")), log_ns)
            bag.write("depth", serialize(image_msg(depth, "16UC1", stamp_ns, "camera")), log_ns)
    assert export_bag(tmp_path / "drive", tmp_path / "tars", "webdataset").sequences == 2
    import_collection(tmp_path / "tars", tmp_path / "again")
    pairs = list(read_pairs(tmp_path / "again"))
    assert len(pairs) == 20
    assert_same(list(read_pairs(tmp_path / "drive")), pairs)


def test_depth_of_too_many_pixels_is_no_depth() -> None:
    with pytest.raises(ValueError, match=r"a\.tar: depth is no one-channel PNG of 16 bits"):
        pixels_of(b"", "png", huge_png(), "a.tar")


def test_shards_hold_whole_samples_and_are_the_same_each_time(drive: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_webdataset(read_pairs(drive), tmp_path / name, shard_pairs=3)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["dataset.json", "edgevl-000000.tar", "edgevl-000001.tar", "edgevl-000002.tar"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    with tarfile.open(tmp_path / "one" / "edgevl-000001.tar") as tar:
        names = tar.getnames()
        stream = tar.extractfile("0001-00000004.json")
        assert stream is not None
        facts = json.loads(stream.read())
    assert names[:3] == ["0000-00000003.rgb.jpg", "0000-00000003.depth.png", "0000-00000003.json"]
    assert facts["depth_stamp_ns"] - facts["stamp_ns"] == 3_000_000
    assert (facts["room"], facts["sequence"]) == ("kitchen", 1)


def test_lerobot_and_back_or_the_extra_that_it_needs(drive: Path, tmp_path: Path) -> None:
    if find_spec("pyarrow") is None:
        with pytest.raises(UserError, match=r"pip install pyarrow"):
            export_bag(drive, tmp_path / "lerobot", "lerobot")
        assert not (tmp_path / "lerobot").exists()
        return
    summary = export_bag(drive, tmp_path / "lerobot", "lerobot")
    assert (summary.pairs, summary.sequences) == (7, 2)
    info = json.loads((tmp_path / "lerobot/meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["fps"]) == (2, 7, 2)
    import_collection(tmp_path / "lerobot", tmp_path / "again")
    assert_same(list(read_pairs(drive)), list(read_pairs(tmp_path / "again")))


def test_what_is_refused_leaves_nothing_behind(drive: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--to hdf5: accepted are webdataset and lerobot"):
        export_bag(drive, tmp_path / "out", "hdf5")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="exists"):
        export_bag(drive, tmp_path / "out", "webdataset")
    tars = tmp_path / "tars"
    export_bag(drive, tars, "webdataset")
    shard = tars / "edgevl-000000.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"edgevl-000000.tar is damaged"):
        import_collection(tars, tmp_path / "again")


def test_a_name_in_a_tar_cannot_write_to_the_terminal(drive: Path, tmp_path: Path) -> None:
    export_bag(drive, tmp_path / "tars", "webdataset")
    with tarfile.open(tmp_path / "tars/edgevl-000000.tar", "w") as tar:
        entry = tarfile.TarInfo("q\x1b]0;title\x07\n.json")
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    with pytest.raises(UserError) as refused:
        import_collection(tmp_path / "tars", tmp_path / "again")
    said = str(refused.value)
    assert said.isprintable()
    assert "is damaged (q ]0;title .json is no file)" in said
