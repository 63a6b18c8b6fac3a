"""Any rosbag2 is read, a damaged one as far as it goes, and what is lost is said."""

import os
from pathlib import Path

import numpy as np
import pytest
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.info import recover
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.segments import Block
from edgevl_core.pairlog.types import IMAGE, definition, image_msg, serialize, typestore
from edgevl_core.pairlog.writer import BagWriter
from tests.core.bags import DEPTH_TOPIC, RGB_TOPIC, START_NS, add_pair, add_topics, stamp, write_bag

pytestmark = pytest.mark.unit


def stamps(bag: Path, topic: str | None = None) -> list[int]:
    with BagReader(bag) as reader:
        return [m.stamp_ns for m in reader.messages([topic] if topic else None)]


def test_messages_of_all_segments_in_time_order(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 30, max_segment_s=0.5)
    assert stamps(bag) == sorted(stamps(bag))
    assert stamps(bag, RGB_TOPIC) == [stamp(i) for i in range(30)]


def test_overlapping_segments_and_chunks_are_merged(tmp_path: Path) -> None:
    """Depth logged after later RGB: log times go back from chunk to chunk and from file to file."""
    with BagWriter(tmp_path / "bag", max_segment_bytes=30_000, chunk_bytes=3_000, compression="none") as bag:
        add_topics(bag)
        for number in range(40):
            add_pair(bag, number, depth_offset_ns=-250_000_000)
    assert len(list((tmp_path / "bag").glob("*.mcap"))) > 2
    found = stamps(tmp_path / "bag")
    assert len(found) == 120
    assert found == sorted(found)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    cut(tmp_path / "bag" / "bag_1.mcap", 100)
    assert stamps(tmp_path / "bag") == found


def test_equal_log_times_open_one_block_at_a_time(tmp_path: Path) -> None:
    """A recorder whose clock stands still, as a simulation's: the bag is not read into memory as a whole."""
    with BagWriter(tmp_path / "bag", chunk_bytes=3_000, compression="none", min_free_bytes=0) as bag:
        bag.add_topic("image", IMAGE)
        for number in range(40):
            image = image_msg(np.full((40, 40), number, np.uint8), "mono8", stamp(number), "c")
            bag.write("image", serialize(image), START_NS)
    with BagReader(tmp_path / "bag") as reader:
        (segment,) = reader._segments
        opened: list[int] = []

        def counted(block: Block) -> Block:
            return Block(block.start_ns, lambda names: opened.append(1) or block.read(names))  # type: ignore[func-returns-value]

        segment.blocks[:] = map(counted, segment.blocks)
        ahead, pixels = [], []
        for number, message in enumerate(reader.messages()):
            pixels.append(message.data[-1])
            ahead.append(len(opened) - number * len(segment.blocks) // 40)
    assert len(segment.blocks) > 10
    assert pixels == list(range(40))
    assert max(ahead) <= 2


@pytest.mark.parametrize("plugin", [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
@pytest.mark.parametrize("mode", [CompressionMode.NONE, CompressionMode.MESSAGE, CompressionMode.FILE])
@pytest.mark.parametrize("version", [8, 9])
def test_other_writers_bags(tmp_path: Path, plugin: StoragePlugin, mode: CompressionMode, version: int) -> None:
    writer = Writer(tmp_path / "other", version=version, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/image", IMAGE, typestore=typestore())
        for number in range(4):
            message = image_msg(np.full((4, 4), number, np.uint8), "mono8", stamp(number), "c")
            writer.write(connection, stamp(number), serialize(message))
    with BagReader(tmp_path / "other") as reader:
        assert reader.losses == []
        assert (reader.topics["/image"].msgtype, reader.topics["/image"].count) == (IMAGE, 4)
        messages = list(reader.messages())
    assert [m.stamp_ns for m in messages] == [stamp(i) for i in range(4)]
    assert all(isinstance(m.data, bytes) for m in messages)


def test_a_single_file_is_a_bag(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 3)
    assert stamps(bag / "bag_0.mcap", RGB_TOPIC) == [stamp(i) for i in range(3)]


def test_missing_metadata_is_said(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 12, max_segment_s=0.4)
    whole = stamps(bag)
    (bag / "metadata.yaml").unlink()
    assert stamps(bag) == whole
    with BagReader(bag) as reader:
        assert reader.losses == ["metadata.yaml is missing: the storage files were read without it"]
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: [")
    with BagReader(bag) as reader:
        assert "unreadable" in reader.losses[0]


def test_a_missing_segment_is_said(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 6, max_segment_s=0.25)
    (bag / "bag_1.mcap").unlink()
    with BagReader(bag) as reader:
        assert reader.losses == ["bag_1.mcap is missing, although metadata.yaml names it"]
        assert reader.topics[RGB_TOPIC].count == 3


def cut(file: Path, left_out: int) -> None:
    os.truncate(file, file.stat().st_size - left_out)


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("share", [0.1, 0.35, 0.7, 0.99])
def test_a_cut_segment_is_read_up_to_the_cut(tmp_path: Path, compression: str, share: float) -> None:
    bag = write_bag(tmp_path / "bag", 50, compression=compression, chunk_bytes=10_000)
    whole = stamps(bag)
    file = bag / "bag_0.mcap"
    cut(file, round(file.stat().st_size * (1 - share)))
    with BagReader(bag) as reader:
        found = [m.stamp_ns for m in reader.messages()]
        assert sum(t.count for t in reader.topics.values()) == len(found)
        of = f" of at least {len(whole)}" if len(found) < len(whole) else ""
        if of:
            assert "cut at byte" in reader.losses[0] or "without an index" in reader.losses[0]
        assert reader.losses[-1] == f"bag_0.mcap: {len(found)}{of} messages were recovered from it"
    assert found == whole[: len(found)]
    assert len(found) >= share * len(whole) - 8 if compression == "none" else len(found) > 0


def test_messages_of_a_torn_chunk_are_whole(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 20, compression="none", chunk_bytes=10**6)
    with BagReader(bag) as reader:
        whole = list(reader.messages())
    cut(bag / "bag_0.mcap", (bag / "bag_0.mcap").stat().st_size // 2)
    with BagReader(bag) as reader:
        found = list(reader.messages())
    assert 20 < len(found) < 40
    assert found == whole[: len(found)]


def test_a_corrupt_chunk_is_left_out_and_said(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 50, chunk_bytes=10_000, compression="none")
    file = bag / "bag_0.mcap"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4] = b"\xff\x00\xff\x00"
    file.write_bytes(content[:-40])
    with BagReader(bag) as reader:
        assert any("corrupt" in loss for loss in reader.losses)
        assert 120 <= len(list(reader.messages())) < 151


def test_damage_under_a_whole_index_costs_a_chunk_only(tmp_path: Path) -> None:
    """The file looks healthy when it is opened; reading goes on behind the damage and says so."""
    bag = write_bag(tmp_path / "bag", 50, chunk_bytes=10_000, compression="none")
    file = bag / "bag_0.mcap"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with BagReader(bag) as reader:
        assert reader.losses == []
        found = [m.stamp_ns for m in reader.messages([RGB_TOPIC])]
        assert [("corrupt" in loss) for loss in reader.losses] == [True]
    assert 40 < len(found) < 50
    assert found == sorted(set(found))
    assert found[-1] == stamp(49)
    assert recover(bag, tmp_path / "saved").losses


def test_zeros_after_a_power_cut_are_no_records(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 10, compression="none")
    file = bag / "bag_0.mcap"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] + bytes(5_000_000))
    with BagReader(bag) as reader:
        assert len(list(reader.messages())) > 10
        assert "zeros: lost in a power cut" in reader.losses[0]


def test_an_empty_last_segment_costs_only_itself(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 6, max_segment_s=0.25)
    (bag / "bag_1.mcap").write_bytes(b"")
    with BagReader(bag) as reader:
        assert reader.topics[RGB_TOPIC].count == 3
        assert "0 of at least" in reader.losses[-1]


def test_unchunked_files_are_salvaged(tmp_path: Path) -> None:
    """rosbag2's "fastwrite" preset writes no chunks."""
    file = tmp_path / "fast.mcap"
    writer = McapWriter(str(file), use_chunking=False, compression=CompressionType.NONE)
    writer.start("ros2")
    schema = writer.register_schema(IMAGE, "ros2msg", definition(IMAGE).encode())
    channel = writer.register_channel("/image", "cdr", schema)
    for number in range(5):
        data = serialize(image_msg(np.zeros((4, 4), np.uint8), "mono8", stamp(number), ""))
        writer.add_message(channel, stamp(number), data, stamp(number))
    writer.finish()
    whole = stamps(file)
    cut(file, 100)
    assert len(whole) == 5
    assert stamps(file)[:4] == whole[:4]


def test_topics_are_checked(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 1)
    with BagReader(bag) as reader, pytest.raises(KeyError, match="nothing"):
        list(reader.messages(["nothing"]))
    with BagReader(bag) as reader:
        assert reader.topics[DEPTH_TOPIC].schema is not None
        assert list(reader.messages([])) == []


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such bag"):
        BagReader(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="is no bag"):
        BagReader(tmp_path / "folder")
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(UserError, match="is no bag"):
        BagReader(tmp_path / "text.txt")
    (tmp_path / "fake.mcap").write_bytes(b"hello" * 100)
    with pytest.raises(UserError, match="does not begin as MCAP"):
        BagReader(tmp_path / "fake.mcap")
    (tmp_path / "fake.db3").write_bytes(b"hello" * 100)
    with pytest.raises(UserError, match="cannot be read"):
        BagReader(tmp_path / "fake.db3")
    BagWriter(tmp_path / "empty").close()
    with pytest.raises(UserError, match="no messages"):
        BagReader(tmp_path / "empty")


def test_start_is_the_bags(tmp_path: Path) -> None:
    assert stamps(write_bag(tmp_path / "bag", 2))[0] == START_NS
