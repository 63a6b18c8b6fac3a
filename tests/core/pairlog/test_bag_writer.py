"""The written bag is an ordinary rosbag2, at every moment, and stops in time."""

import itertools
import os
import threading
from pathlib import Path

import pytest
import yaml
import zstandard
from mcap.reader import make_reader
from mcap.records import Chunk
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader

from edgevl_core.base.errors import UserError
from edgevl_core.camera.images import decode
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.segment_writer import ZSTD_LEVEL
from edgevl_core.pairlog.staging import staged_bag
from edgevl_core.pairlog.types import IMAGE, SCENE_TRUTH, definition, typestore
from edgevl_core.pairlog.writer import BagWriter, DiskFloorReached
from tests.core.bags import (
    DEPTH_TOPIC,
    PERIOD_NS,
    RGB_TOPIC,
    add_pair,
    add_topics,
    depth_image,
    rgb_image,
    stamp,
    write_bag,
)

pytestmark = pytest.mark.unit


def information(bag: Path) -> dict:
    return yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]


def test_chunks_are_compressed_at_the_level_that_costs_little(tmp_path: Path) -> None:
    """The mcap package is told so through its module: a release that asks zstandard in another way must be noticed."""
    write_bag(tmp_path / "bag", 3)
    with (tmp_path / "bag/bag_0.mcap").open("rb") as file:
        chunks = [record for record in StreamReader(file, emit_chunks=True).records if isinstance(record, Chunk)]
    assert chunks
    for chunk in chunks:
        assert chunk.data == zstandard.compress(zstandard.decompress(chunk.data), level=ZSTD_LEVEL)


@pytest.mark.parametrize("compression", ["zstd", "lz4", "none"])
def test_rosbags_reads_it(tmp_path: Path, compression: str) -> None:
    write_bag(tmp_path / "bag", 5, compression=compression)
    with AnyReader([tmp_path / "bag"], default_typestore=typestore()) as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
        assert counts == {RGB_TOPIC: 5, DEPTH_TOPIC: 5, "camera/rgb/camera_info": 1, "truth": 5}
        [connection] = [c for c in reader.connections if c.topic == RGB_TOPIC]
        [qos] = connection.ext.offered_qos_profiles
        assert (qos.reliability.name, qos.durability.name, qos.depth) == ("BEST_EFFORT", "VOLATILE", 5)
        messages = list(reader.messages([connection]))
        assert [at for _, at, _ in messages] == [stamp(i) for i in range(5)]
        for number, (_, _, data) in enumerate(messages):
            assert (decode(reader.deserialize(data, IMAGE)) == rgb_image(number)).all()


def test_mcap_reads_it(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", 5)
    with (tmp_path / "bag" / "bag_0.mcap").open("rb") as stream:
        reader = make_reader(stream)
        assert reader.get_header().profile == "ros2"
        found = [(channel.topic, schema.name) for schema, channel, _ in reader.iter_messages()]
        schemas = {s.name: s for s in reader.get_summary().schemas.values()}
    assert found.count((DEPTH_TOPIC, IMAGE)) == 5
    assert schemas[SCENE_TRUTH].encoding == "ros2msg"
    assert schemas[SCENE_TRUTH].data.decode() == definition(SCENE_TRUTH)


def test_metadata_counts_and_times(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", 10, max_segment_s=0.45)
    info = information(tmp_path / "bag")
    assert info["version"] == 5
    assert info["storage_identifier"] == "mcap"
    assert info["message_count"] == 31
    assert info["starting_time"]["nanoseconds_since_epoch"] == stamp(0)
    assert info["duration"]["nanoseconds"] == 9 * PERIOD_NS
    assert info["relative_file_paths"] == ["bag_0.mcap", "bag_1.mcap"]
    assert [f["message_count"] for f in info["files"]] == [16, 15]
    assert [f["starting_time"]["nanoseconds_since_epoch"] for f in info["files"]] == [stamp(0), stamp(5)]
    counts = {t["topic_metadata"]["name"]: t["message_count"] for t in info["topics_with_message_count"]}
    assert counts["truth"] == 10


def test_segments_roll_by_size(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", 40, max_segment_bytes=20_000, chunk_bytes=4_000, compression="none")
    sizes = [f.stat().st_size for f in (tmp_path / "bag").glob("*.mcap")]
    assert len(sizes) > 4
    assert max(sizes) < 32_000
    with BagReader(tmp_path / "bag") as reader:
        assert reader.losses == []
        assert reader.topics[RGB_TOPIC].count == 40


def test_the_bag_is_valid_while_it_is_written(tmp_path: Path) -> None:
    """After each sync the messages so far are on the disk, and metadata.yaml tells their number."""
    clock = [0.0]
    with BagWriter(tmp_path / "bag", monotonic_s=lambda: clock[0], sync_interval_s=1.0) as bag:
        add_topics(bag)
        assert information(tmp_path / "bag")["message_count"] == 0
        for number in range(10):
            clock[0] += 0.4
            add_pair(bag, number)
        bag.sync()
        assert information(tmp_path / "bag")["message_count"] == 30
        with BagReader(tmp_path / "bag") as reader:
            assert sum(t.count for t in reader.topics.values()) == 30
            [first, *_] = reader.losses
            assert "still being written" in first


def test_a_power_cut_costs_no_more_than_the_interval(tmp_path: Path) -> None:
    """What is on the disk after each message never lags the clock by more than the interval."""
    clock = [0.0]
    copies = tmp_path / "copies"
    copies.mkdir()
    with BagWriter(tmp_path / "bag", monotonic_s=lambda: clock[0], sync_interval_s=0.5) as bag:
        add_topics(bag)
        for number in range(20):
            clock[0] += 0.1
            add_pair(bag, number)
            bag._syncing.wait()  # it runs beside; a disk slower than the interval is another matter
            on_disk = (tmp_path / "bag" / "bag_0.mcap").read_bytes()
            (copies / f"{number}.mcap").write_bytes(on_disk)
    for number in range(6, 20):
        with BagReader(copies / f"{number}.mcap") as reader:
            newest = max(m.stamp_ns for m in reader.messages())
        assert newest >= stamp(number - 6)


def test_an_exception_in_the_block_leaves_a_whole_bag(tmp_path: Path) -> None:
    bag = BagWriter(tmp_path / "bag")
    add_topics(bag)
    add_pair(bag, 0)
    with pytest.raises(KeyError), bag:
        bag.write("nowhere", b"", 0)
    with BagReader(tmp_path / "bag") as reader:
        assert reader.losses == []
        assert reader.topics[DEPTH_TOPIC].count == 1


def test_the_disk_floor_stops_before_the_disk_is_full(tmp_path: Path) -> None:
    def free(path: Path) -> int:
        return 3_000_000 - sum(f.stat().st_size for f in path.iterdir())

    written = itertools.count()

    def write_for_ever(bag: BagWriter) -> None:
        while True:
            add_pair(bag, next(written))

    with BagWriter(
        tmp_path / "bag", free=free, min_free_bytes=2_000_000, chunk_bytes=10_000, compression="none"
    ) as bag:
        add_topics(bag)
        with pytest.raises(DiskFloorReached, match="floor is 2 MB"):
            write_for_ever(bag)
    pairs = next(written) - 1
    assert 200 < pairs < 400
    assert free(tmp_path / "bag") > 1_900_000
    with BagReader(tmp_path / "bag") as reader:
        assert reader.losses == []
        assert reader.topics["truth"].count >= pairs - 1


def test_a_failing_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    bag = BagWriter(tmp_path / "bag", sync_interval_s=3600.0)  # not by itself, with the disk still whole
    add_topics(bag)
    add_pair(bag, 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="Input/output"):
            bag.sync()
    bag.close()
    with BagReader(tmp_path / "bag") as reader:
        assert reader.topics["truth"].count == 1


@pytest.mark.parametrize("at_ns", [-1, -(10**18), 1 << 63, 1 << 70])
def test_a_stamp_that_no_bag_can_hold_spoils_nothing(tmp_path: Path, at_ns: int) -> None:
    with BagWriter(tmp_path / "bag", min_free_bytes=0) as bag:
        add_topics(bag)
        with pytest.raises(ValueError, match="none that a bag can hold"):
            bag.write("truth", b"", at_ns)
        for number in range(5):
            add_pair(bag, number)
    with BagReader(tmp_path / "bag") as reader:
        assert reader.losses == []
        assert sum(1 for _ in reader.messages(["truth"])) == 5


def test_no_thread_is_left(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", 3, sync_interval_s=0.0)
    assert not [t for t in threading.enumerate() if t.name.startswith("bag-sync")]


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        with pytest.raises(UserError, match="exists already"):
            BagWriter(tmp_path / "bag")
        with pytest.raises(KeyError):
            bag.write("nowhere", b"", 0)
        bag.add_topic("x", IMAGE)
        bag.add_topic("x", IMAGE)
        with pytest.raises(ValueError, match="holds"):
            bag.add_topic("x", SCENE_TRUTH)
        with pytest.raises(ValueError, match="pass its schema"):
            bag.add_topic("y", "nobody_msgs/msg/Nothing")
        with pytest.raises(ValueError, match="qos"):
            bag.add_topic("y", IMAGE, qos="best")
    bag.close()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be made"):
        BagWriter(tmp_path / "file" / "bag")
    with pytest.raises(ValueError, match="compression"):
        BagWriter(tmp_path / "other", compression="rar")


def test_depth_arrives_unchanged(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", 2)
    with AnyReader([tmp_path / "bag"]) as reader:  # by the definitions that the bag itself carries
        connections = [c for c in reader.connections if c.topic == DEPTH_TOPIC]
        images = [decode(reader.deserialize(data, c.msgtype)) for c, _, data in reader.messages(connections)]
    assert (images[1] == depth_image(1)).all()


def test_of_two_bags_of_one_name_the_first_is_kept(tmp_path: Path) -> None:
    def late() -> None:
        with staged_bag(tmp_path / "bag"):
            with staged_bag(tmp_path / "bag"):
                pass
            first.extend(sorted((tmp_path / "bag").iterdir()))

    first: list[Path] = []
    with pytest.raises(UserError, match=r"bag cannot be written \(Directory not empty\)"):
        late()
    assert sorted((tmp_path / "bag").iterdir()) == first
    assert list(tmp_path.iterdir()) == [tmp_path / "bag"]
