"""What a bag promises is delivered, or its loss is said: no index, logs beside SQLite, odd names, hostile YAML."""

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zstandard
from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.info import log_info, recover
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import IMAGE, definition
from tests.core.bags import RGB_TOPIC, stamp, write_bag
from tests.core.pairlog.recorded import DEPTH, PAIRS, RGB, assert_whole, messages, read, write_mcap, write_sqlite

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "options",
    [
        {"index_types": IndexType.CHUNK},
        {"index_types": IndexType.MESSAGE},
        {"index_types": IndexType.NONE},
        {"index_types": IndexType.CHUNK | IndexType.METADATA},
        {"use_statistics": False},
        {"use_statistics": False, "index_types": IndexType.CHUNK},
        {"repeat_channels": False},
        {"repeat_schemas": False},
        {"use_summary_offsets": False},
        {"use_statistics": False, "repeat_channels": False, "repeat_schemas": False, "index_types": IndexType.NONE},
        {"use_chunking": False},
        {"use_chunking": False, "use_statistics": False, "repeat_channels": False},
        {"enable_crcs": False, "compression": CompressionType.LZ4},
        {"enable_data_crcs": True, "compression": CompressionType.NONE},
        {"profile": ""},
        {"profile": "x-robot"},
    ],
    ids=str,
)
def test_every_healthy_mcap_is_whole(tmp_path: Path, options: dict[str, Any]) -> None:
    """MCAP leaves indexes, statistics and chunks to the writer."""
    bag = write_mcap(tmp_path / "bag", **options)
    assert_whole(bag)
    summary = recover(bag, tmp_path / "saved")
    assert (summary.messages, summary.losses) == (2 * PAIRS, [])
    assert_whole(tmp_path / "saved")


def test_an_index_that_lies_hides_no_message(tmp_path: Path) -> None:
    """Chunk indexes of half the chunks are overwritten with those of others."""
    bag = write_mcap(tmp_path / "bag")
    file = bag / "bag_0.mcap"
    with file.open("rb") as stream:
        chunks = make_reader(stream).get_summary().chunk_indexes
    data = file.read_bytes()
    first, last = (chunk.chunk_start_offset.to_bytes(8, "little") for chunk in (chunks[0], chunks[-1]))
    assert len(chunks) > 3
    file.write_bytes(data[: -len(data) // 8] + data[-len(data) // 8 :].replace(last, first))
    assert read(bag)[0] == {RGB: PAIRS, DEPTH: PAIRS}


def test_a_damaged_record_head_costs_its_chunk(tmp_path: Path) -> None:
    """The length of a chunk is nonsense: the index says where to go on."""
    bag = write_mcap(tmp_path / "bag")
    file = bag / "bag_0.mcap"
    with file.open("rb") as stream:
        chunks = make_reader(stream).get_summary().chunk_indexes
    data = bytearray(file.read_bytes())
    at = chunks[1].chunk_start_offset + 1
    data[at : at + 8] = b"\xff" * 8
    file.write_bytes(data)
    found, losses = read(bag)
    assert 2 * PAIRS - 4 <= sum(found.values()) < 2 * PAIRS
    assert any("corrupt" in loss for loss in losses)
    assert f"{sum(found.values())} of at least {2 * PAIRS} messages were recovered" in losses[-1]


def test_a_promise_that_is_not_kept_is_said(tmp_path: Path) -> None:
    """The statistics promise more on one topic than the chunks hold."""
    bag = write_mcap(tmp_path / "bag")
    file = bag / "bag_0.mcap"
    data = file.read_bytes()
    for layout, true, false in (
        ("<QHI", (2 * PAIRS, 1, 2), (2 * PAIRS + 3, 1, 2)),  # messages, schemas, channels
        ("<HQ", (1, PAIRS), (1, PAIRS + 3)),  # messages of channel 1
    ):
        at = data.rindex(struct.pack(layout, *true))
        data = data[:at] + struct.pack(layout, *false) + data[at + struct.calcsize(layout) :]
    file.write_bytes(data)
    found, losses = read(bag)
    assert found == {RGB: PAIRS, DEPTH: PAIRS}
    assert losses == [f"{RGB}: {PAIRS} of {PAIRS + 3} promised messages could be read"]


def test_a_corrupt_chunk_says_what_it_cost(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 30, chunk_bytes=10_000, compression="none")
    data = bytearray((bag / "bag_0.mcap").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (bag / "bag_0.mcap").write_bytes(data)
    info = log_info(bag)
    read_of = {topic.name: topic.messages for topic in info.topics}
    assert read_of[RGB_TOPIC] < 30
    assert f"{RGB_TOPIC}: {read_of[RGB_TOPIC]} of 30 promised messages could be read" in info.losses[0]
    assert "corrupt" in info.losses[0]


def test_other_channels_and_attachments_survive(tmp_path: Path) -> None:
    """A JSON channel is no damage; recover keeps it, and what is attached to the file."""
    bag = write_mcap(tmp_path / "bag", json_channel=True, extras=True)
    with BagReader(bag) as reader:
        assert (reader.losses, reader.topics["/battery"].encoding) == ([], "json")
    summary = recover(bag, tmp_path / "saved")
    assert (summary.messages, summary.losses) == (6 * PAIRS, [])
    with (tmp_path / "saved/saved_0.mcap").open("rb") as stream:
        saved = make_reader(stream)
        channels = {c.topic: c.message_encoding for c in saved.get_summary().channels.values()}
        attached = [(a.name, a.media_type, a.data, a.log_time, a.create_time) for a in saved.iter_attachments()]
        site = [m.metadata for m in saved.iter_metadata() if m.name == "site"]
        data = [m.data for _, channel, m in saved.iter_messages(["/battery"])]
    assert channels == {RGB: "cdr", DEPTH: "cdr", "/battery": "json", "/bare": "json"}
    assert attached == [("calibration.yaml", "text/yaml", b"fx: 500", 2, 1)]
    assert site == [{"home": "7"}]
    assert data == [b'{"v": 1}'] * (2 * PAIRS)
    named = yaml.safe_load((tmp_path / "saved/metadata.yaml").read_text())["rosbag2_bagfile_information"]
    topics = {topic["topic_metadata"]["name"] for topic in named["topics_with_message_count"]}
    assert topics == {RGB, DEPTH}  # `ros2 bag play` refuses a mixture of encodings
    assert len(list(read_pairs(tmp_path / "saved"))) == PAIRS


def test_attachments_of_a_cut_file_survive(tmp_path: Path) -> None:
    bag = write_mcap(tmp_path / "bag", extras=True)
    os.truncate(bag / "bag_0.mcap", (bag / "bag_0.mcap").stat().st_size - 30)
    assert recover(bag, tmp_path / "saved").messages == 2 * PAIRS
    with (tmp_path / "saved/saved_0.mcap").open("rb") as stream:
        assert [a.data for a in make_reader(stream).iter_attachments()] == [b"fx: 500"]


def killed_recorder(bag: Path, done: int, commit: bool = True) -> Path:
    """A .db3 with ``done`` pairs in it and the rest in its write-ahead log, left by a process that was killed."""
    write_sqlite(bag, done)
    rows = [(topic, at, data.hex()) for topic, at, data in messages()[2 * done :]]
    program = f"""
        import json, os, sqlite3, sys
        db = sqlite3.connect({str(bag / (bag.name + ".db3"))!r})
        db.execute("PRAGMA journal_mode=WAL"); db.execute("PRAGMA wal_autocheckpoint=0")
        ids = dict(db.execute("select name, id from topics"))
        for topic, at, data in json.load(sys.stdin):
            row = (ids[topic], at, bytes.fromhex(data))
            db.execute("insert into messages(topic_id, timestamp, data) values(?, ?, ?)", row)
        if {commit}:
            db.commit()
        os._exit(9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], input=json.dumps(rows), text=True, timeout=60)
    return bag


@pytest.mark.parametrize("shm", [True, False])
def test_a_write_ahead_log_is_read(tmp_path: Path, shm: bool) -> None:
    """What the recorder wrote last is beside its file; nothing of it is changed, and no file is added."""
    bag = killed_recorder(tmp_path / "bag", 4)
    assert (bag / "bag.db3-wal").stat().st_size
    if not shm:  # the bag was copied without it
        (bag / "bag.db3-shm").unlink()
    assert_whole(bag)
    assert recover(bag, tmp_path / "saved").messages == 2 * PAIRS


def test_a_write_ahead_log_on_a_read_only_disk_is_read(tmp_path: Path) -> None:
    bag = killed_recorder(tmp_path / "bag", 4)
    for file in bag.iterdir():
        file.chmod(0o444)
    bag.chmod(0o555)
    try:
        assert_whole(bag)
    finally:
        bag.chmod(0o755)


def test_a_write_ahead_log_without_its_end_is_said(tmp_path: Path) -> None:
    bag = killed_recorder(tmp_path / "bag", 4)
    wal = bag / "bag.db3-wal"
    os.truncate(wal, wal.stat().st_size - 5000)
    found, losses = read(bag)
    assert found == {RGB: 4, DEPTH: 4}  # one transaction: all of it or nothing
    assert f"bytes in {wal.name}" in losses[0]
    shutil.rmtree(bag)  # a bit in the middle: SQLite stops there, without a word
    killed_recorder(bag, 4)
    data = bytearray(wal.read_bytes())
    data[len(data) // 2] ^= 4
    wal.write_bytes(data)
    found, losses = read(bag)
    assert found == {RGB: 4, DEPTH: 4}
    assert f"bytes in {wal.name}" in losses[0]
    wal.write_bytes(b"no log" * 100)
    found, losses = read(bag)
    assert found == {RGB: 4, DEPTH: 4}
    assert losses[0].startswith(f"600 bytes in {wal.name}")


def test_rows_that_metadata_promises_and_that_are_gone(tmp_path: Path) -> None:
    bag = write_sqlite(tmp_path / "bag")
    with sqlite3.connect(bag / "bag.db3") as db:
        db.execute("delete from messages where id > 5")
    db.close()
    found, losses = read(bag)
    assert sum(found.values()) == 5
    assert losses == [f"bag.db3: 5 of at least {2 * PAIRS} messages that metadata.yaml promises are in it"]


def test_damage_within_sqlite_is_said(tmp_path: Path) -> None:
    bag = write_sqlite(tmp_path / "bag", 60)
    file = bag / "bag.db3"
    os.truncate(file, file.stat().st_size // 2)
    try:
        found, losses = read(bag)
    except UserError as error:
        found, losses = {}, [str(error)]
    assert sum(found.values()) < 120
    assert any("bag.db3" in loss for loss in losses)


@pytest.mark.parametrize("name", ["run#3", "a?b", "100%25 done", "räume 走廊", "two  spaces", "semi;colon&x=1", "[1]*"])
@pytest.mark.parametrize("kind", ["sqlite", "mcap", "wal", "zstd"])
def test_a_path_is_a_path(tmp_path: Path, name: str, kind: str) -> None:
    made = {
        "sqlite": lambda: write_sqlite(tmp_path / "bag"),
        "mcap": lambda: write_mcap(tmp_path / "bag"),
        "wal": lambda: killed_recorder(tmp_path / "bag", 4),
        "zstd": lambda: pack(write_sqlite(tmp_path / "bag")),
    }[kind]()
    assert_whole(made.rename(tmp_path / name))


def pack(bag: Path, keep: bool = False) -> Path:
    """As rosbag2 compresses a bag in mode FILE; ``keep``: it was killed before it removed the plain file."""
    for file in [file for file in bag.iterdir() if file.suffix in (".mcap", ".db3")]:
        packed = zstandard.compress(file.read_bytes())
        file.with_name(f"{file.name}.zstd").write_bytes(packed[: len(packed) // 2] if keep else packed)
        if not keep:
            file.unlink()
    return bag


@pytest.mark.parametrize("write", [write_mcap, write_sqlite])
def test_compressed_files_need_no_metadata(tmp_path: Path, write: Any) -> None:
    bag = pack(write(tmp_path / "bag"))
    (bag / "metadata.yaml").unlink(missing_ok=True)
    assert_whole(bag)
    (packed,) = bag.iterdir()
    with BagReader(packed) as reader:
        assert len(list(reader.messages())) == 2 * PAIRS


def test_a_bag_that_was_being_compressed_is_read_once(tmp_path: Path) -> None:
    assert_whole(pack(write_sqlite(tmp_path / "bag"), keep=True))


def test_half_a_compressed_file_is_said(tmp_path: Path) -> None:
    bag = pack(write_bag(tmp_path / "bag", 200, compression="none"))
    packed = bag / "bag_0.mcap.zstd"
    os.truncate(packed, packed.stat().st_size * 2 // 3)
    found, losses = read(bag)
    assert 0 < sum(found.values()) < 601
    assert f"{sum(found.values())} of at least 601 messages were recovered" in losses[-1]


@pytest.mark.parametrize("changed", [{"storage_identifier": ""}, {"compression_mode": None}, {"version": 99}, {}])
@pytest.mark.parametrize("listed", ["bag.db3", "old_place/bag.db3", "bag.db3.zstd", "C:\\logs\\bag.db3"])
def test_metadata_after_reindexing_and_moving(tmp_path: Path, changed: dict[str, Any], listed: str) -> None:
    bag = pack(write_sqlite(tmp_path / "bag"))
    file = bag / "metadata.yaml"
    metadata = yaml.safe_load(file.read_text())
    information = metadata["rosbag2_bagfile_information"]
    information |= {"compression_format": "zstd", "compression_mode": "FILE", "relative_file_paths": [listed]} | changed
    file.write_text(yaml.safe_dump(metadata))
    assert_whole(bag)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 8, 11, 12, 20])
@pytest.mark.parametrize("stream", ["rgb", "depth"])
def test_a_message_of_a_few_bytes_is_counted(tmp_path: Path, size: int, stream: str) -> None:
    directory = tmp_path / "bag"
    directory.mkdir()
    writer = McapWriter(str(directory / "bag_0.mcap"))
    writer.start("ros2", "test")
    schema = writer.register_schema(IMAGE, "ros2msg", definition(IMAGE).encode())
    channels = {name: writer.register_channel(name, "cdr", schema) for name in (RGB, DEPTH)}
    broken = (RGB if stream == "rgb" else DEPTH, stamp(0))
    for topic, at, data in messages():
        content = (b"\0\1\0\0" + bytes(16))[:size] if (topic, at) == broken else data
        writer.add_message(channels[topic], at, content, at)
    writer.finish()
    pairs = read_pairs(directory)
    assert len(list(pairs)) == PAIRS - 1
    assert pairs.stats["pairs"] == PAIRS - 1
    info = log_info(directory)
    assert info.pairing.pairs == PAIRS - 1
    if size < 12:  # no header, no stamp
        assert pairs.stats[f"{stream} unreadable"] == 1
        assert info.pairing.dropped[f"{stream} unreadable"] == 1
    else:
        assert sum(pairs.stats.values()) > PAIRS - 1


def test_a_chunk_that_unfolds_without_end_is_refused(tmp_path: Path) -> None:
    """A megabyte that claims to be many: said, not allocated."""
    bag = write_mcap(tmp_path / "bag", compression=CompressionType.ZSTD)
    file = bag / "bag_0.mcap"
    with file.open("rb") as stream:
        chunk = make_reader(stream).get_summary().chunk_indexes[0]
    data = bytearray(file.read_bytes())
    at = chunk.chunk_start_offset + 9 + 16
    data[at : at + 8] = (2**40).to_bytes(8, "little")
    file.write_bytes(data)
    found, losses = read(bag)
    assert 0 < sum(found.values()) < 2 * PAIRS
    assert "corrupt" in losses[0]


def test_random_damage_is_never_silent(tmp_path: Path) -> None:
    """Bytes changed and files cut at random: no exception but UserError; fewer messages are always said."""
    rng = np.random.default_rng(5)
    whole = write_mcap(tmp_path / "whole", compression=CompressionType.NONE)
    data = (whole / "whole_0.mcap").read_bytes()
    bag = tmp_path / "bag"
    for trial in range(120):
        shutil.rmtree(bag, ignore_errors=True)
        bag.mkdir()
        changed = bytearray(data)
        if trial % 2:
            changed = changed[: rng.integers(1, len(changed))]
        else:
            for at in rng.integers(0, len(changed), 3):
                changed[at] ^= 1 << rng.integers(0, 8)
        (bag / "bag_0.mcap").write_bytes(changed)
        try:
            found, losses = read(bag)
        except UserError:
            continue
        assert losses or found == {RGB: PAIRS, DEPTH: PAIRS}, trial
