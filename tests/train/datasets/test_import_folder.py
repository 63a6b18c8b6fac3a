"""A folder with pairs.csv becomes a bag, or a clear error and nothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.doubts import bag_doubts
from edgevl_core.pairlog.pairs import RgbdPair, read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import deserialize
from edgevl_train.datasets.kinds import import_collection
from edgevl_train.datasets.writer import DEPTH_TOPIC, RGB_TOPIC
from tests.core.tiny import huge_png

HEADER = "stamp_s,rgb,depth\n"
LABELLED = "stamp_s,rgb,depth,room,sequence\n"
STAMPS = ["1700000000.100000001", "1700000000.2", "1700000001"]


def folder(path: Path, count: int = 3) -> Path:
    """``count`` pairs: depth is the number of the pair in metres."""
    path.mkdir()
    lines = []
    for number in range(count):
        stamp = STAMPS[number] if number < 3 else f"1700000{number:03d}"
        cv2.imwrite(str(path / f"{number}.jpg"), np.full((12, 16, 3), 50 * (number % 5), np.uint8))
        cv2.imwrite(str(path / f"{number}.png"), np.full((6, 8), 1000 * (number % 5 + 1), np.uint16))
        lines.append(f"{stamp},{number}.jpg,{number}.png\n")
    (path / "pairs.csv").write_text(HEADER + "".join(lines))
    return path


@pytest.mark.unit
def test_rgb_is_kept_byte_for_byte_and_depth_is_raw(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    progress = []
    summary = import_collection(
        source, tmp_path / "bag", on_progress=lambda done, total: progress.append((done, total))
    )
    assert (summary.pairs, summary.unreadable) == (3, [])
    assert summary.bytes == (tmp_path / "bag" / "bag_0.mcap").stat().st_size
    assert progress == [(1, 3), (2, 3), (3, 3)]
    with BagReader(tmp_path / "bag") as reader:
        assert set(reader.topics) == {RGB_TOPIC, DEPTH_TOPIC}
        for number, message in enumerate(reader.messages([RGB_TOPIC])):
            image = deserialize(message.data, message.msgtype)
            assert image.format == "jpeg"
            assert image.data.tobytes() == (source / f"{number}.jpg").read_bytes()
    found = list(read_pairs(tmp_path / "bag"))
    assert [p.stamp_ns for p in found] == [
        1_700_000_000_100_000_001,
        1_700_000_000_200_000_000,
        1_700_000_001_000_000_000,
    ]
    np.testing.assert_allclose(found[2].depth_m, 3.0)
    assert not bag_doubts(tmp_path / "bag")  # depth of half the size in the same view is as collections have it


@pytest.mark.unit
@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("stamp_s,rgb\n1,0.jpg\n", "no column depth"),
        ("", "no column stamp_s, rgb, depth"),
        (HEADER, "lists no pairs"),
        (HEADER + "soon,0.jpg,0.png\n", "line 2: stamp_s 'soon' is no number"),
        (HEADER + "-1,0.jpg,0.png\n", "line 2: stamp_s '-1'"),
        (HEADER + "nan,0.jpg,0.png\n", "line 2: stamp_s 'nan'"),
        (HEADER + "1700000000000,0.jpg,0.png\n", "line 2: stamp_s '1700000000000' .*not milliseconds"),
        (HEADER + "1e999999,0.jpg,0.png\n", "line 2: stamp_s '1e999999'"),
        (
            HEADER + "1,0.jpg,0.png\n3,1.jpg,1.png\n2,2.jpg,2.png\n",
            "line 4: stamp_s 2.0 does not come after 3.0",
        ),
        (HEADER + "1,0.jpg,0.png\n1,1.jpg,1.png\n", "line 3"),
        (HEADER + "1,0.bmp,0.png\n", "line 2: rgb '0.bmp'"),
        (HEADER + "1,0.jpg\n", "line 2: depth is empty"),
        (LABELLED + "1,0.jpg,0.png,,a\n2,1.jpg,1.png,,\n", "line 3: sequence is empty"),
        (LABELLED + "1,0.jpg,0.png\n2,1.jpg,1.png,,b\n", "line 2: sequence is empty"),
        (
            LABELLED + "1,0.jpg,0.png,,a\n2,1.jpg,1.png,,b\n3,2.jpg,2.png,,a\n",
            "line 4: sequence 'a' has ended on an earlier line",
        ),
        (
            LABELLED + "1,0.jpg,0.png,Anna's room, left,home\n",
            r"pairs\.csv line 2: 1 more fields than the first line names \('home'\), .* quote a value that has a comma",
        ),
        (HEADER + "1,gone.jpg,0.png\n", "1 of 1 pairs of .* cannot be read.*gone.jpg"),
        (HEADER + "1,0.jpg,0.jpg\n", "cannot be read.*not one channel of 16-bit"),
    ],
)
def test_wrong_tables_are_refused_and_leave_nothing(tmp_path: Path, table: str, reason: str) -> None:
    source = folder(tmp_path / "source")
    (source / "pairs.csv").write_text(table)
    with pytest.raises(UserError, match=reason):
        import_collection(source, tmp_path / "bag")
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


@pytest.mark.unit
def test_a_bag_that_exists_is_kept_and_a_split_is_refused(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="exists already"):
        import_collection(source, tmp_path / "file")
    with pytest.raises(UserError, match=r"pairs\.csv has no splits"):
        import_collection(source, tmp_path / "bag", split="train")


@pytest.mark.unit
def test_a_few_unreadable_pairs_are_listed(tmp_path: Path) -> None:
    source = folder(tmp_path / "source", count=40)
    (source / "7.jpg").write_bytes(huge_png())
    (source / "9.png").write_bytes(huge_png())
    summary = import_collection(source, tmp_path / "bag")
    assert summary.pairs == 38
    assert ["7.jpg" in summary.unreadable[0], "9.png" in summary.unreadable[1]] == [True, True]
    (source / "11.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"3 of 40 pairs of .* cannot be read"):
        import_collection(source, tmp_path / "other")


@pytest.mark.unit
def test_a_picture_that_no_reader_of_bags_takes_is_unreadable_at_once(tmp_path: Path) -> None:
    """OpenCV would decode it; the pair would be lost at each reading of the bag."""
    source = folder(tmp_path / "source", count=40)
    (source / "7.jpg").write_bytes(cv2.imencode(".webp", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    summary = import_collection(source, tmp_path / "bag")
    assert summary.pairs == 39
    [line] = summary.unreadable
    assert "7.jpg" in line
    assert "this is WebP" in line


@pytest.mark.unit
@pytest.mark.parametrize("outside", ["../secret.png", "{tmp_path}/secret.png", "sub/../../secret.png"])
@pytest.mark.parametrize("column", ["rgb", "depth"])
def test_a_table_names_files_below_its_folder_alone(tmp_path: Path, column: str, outside: str) -> None:
    """A data set from elsewhere must not choose which of the user's files go into the bag."""
    source = folder(tmp_path / "source", count=1)
    cv2.imwrite(str(tmp_path / "secret.png"), np.full((6, 8), 1000, np.uint16))
    named = outside.format(tmp_path=tmp_path)
    row = {"rgb": "0.jpg", "depth": "0.png", column: named}
    (source / "pairs.csv").write_text(f"{HEADER}1,{row['rgb']},{row['depth']}\n")
    with pytest.raises(UserError, match=rf"line 2: {column} '{named}' leads out of the folder"):
        import_collection(source, tmp_path / "bag")
    assert not (tmp_path / "bag").exists()


@pytest.mark.unit
def test_a_linked_folder_is_read_and_a_device_is_not(tmp_path: Path) -> None:
    source = folder(tmp_path / "source", count=40)
    (tmp_path / "elsewhere").mkdir()
    (source / "3.png").rename(tmp_path / "elsewhere" / "3.png")
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    table = (source / "pairs.csv").read_text().replace(",3.png", ",linked/3.png")
    (source / "pairs.csv").write_text(table)
    (source / "7.png").unlink()
    (source / "7.png").symlink_to("/dev/zero")
    summary = import_collection(source, tmp_path / "bag")
    assert summary.pairs == 39
    assert summary.unreadable == [f"{source}/7.png: not a plain file of at most 256 MiB"]


def labelled(path: Path, *rows: tuple[float, str, str]) -> Path:
    """A folder of (stamp_s, room, sequence), with a column that nobody knows."""
    source = folder(path, count=len(rows))
    lines = [f"{s},{i}.jpg,{i}.png,{room},{name},rain" for i, (s, room, name) in enumerate(rows)]
    (source / "pairs.csv").write_text("\n".join(["stamp_s,rgb,depth,room,sequence,weather", *lines]))
    return source


def seconds(pairs: list[RgbdPair]) -> list[float]:
    return [pair.stamp_ns / 1e9 for pair in pairs]


@pytest.mark.unit
def test_room_and_sequence_become_the_truth(tmp_path: Path) -> None:
    source = labelled(tmp_path / "source", (1, "kitchen", "a"), (2, "", "a"), (32, "living room", "b"))
    assert import_collection(source, tmp_path / "bag").notes == []
    pairs = list(read_pairs(tmp_path / "bag"))
    assert seconds(pairs) == [1, 2, 32]
    assert [pair.truth and (pair.truth.room, pair.truth.home) for pair in pairs] == [
        ("kitchen", "a"),
        None,
        ("living room", "b"),
    ]


@pytest.mark.unit
def test_stamps_are_changed_where_they_hide_sequences_and_only_there(tmp_path: Path) -> None:
    """What follows too soon moves on, a long pause within shrinks, and both are said; without names, neither."""
    rows = [(1.5, "a"), (2.0, "a"), (3.0, "b"), (32.999, "b"), (62.999, "b"), (92.999, "c"), (93.5, "d")]
    source = labelled(tmp_path / "named", *((at, "kitchen", name) for at, name in rows))
    summary = import_collection(source, tmp_path / "bag")
    said = zip(("2 sequences", "1 pauses", "stamps"), summary.notes, strict=True)
    assert all(words in note for words, note in said)
    pairs = list(read_pairs(tmp_path / "bag"))
    assert np.diff(seconds(pairs)) == pytest.approx([0.5, 60, 29.999, 15, 30, 60], abs=1e-6)
    assert [pair.truth.home for pair in pairs if pair.truth] == [name for _, name in rows]

    source = labelled(tmp_path / "unnamed", *((at, "kitchen", "") for at, _ in rows))
    assert import_collection(source, tmp_path / "other").notes == []
    assert seconds(list(read_pairs(tmp_path / "other"))) == [at for at, _ in rows]


@pytest.mark.real
def test_real_pairs(tmp_path: Path, real_data: Path) -> None:
    summary = import_collection(real_data / "hololens_rgbd", tmp_path / "bag")
    assert (summary.pairs, summary.unreadable) == (187, [])
    pairs = read_pairs(tmp_path / "bag")
    found = list(pairs)
    assert pairs.stats == {"pairs": 187}
    assert found[0].rgb.shape == (360, 540, 3)
    assert (found[-1].stamp_ns - found[0].stamp_ns) / 1e9 == pytest.approx(12.5, abs=0.1)
    valid = np.isfinite(found[0].depth_m)
    assert 0.3 < valid.mean() < 1.0
    assert 0.2 < np.nanmedian(found[0].depth_m) < 10.0
