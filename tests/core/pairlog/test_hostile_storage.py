"""A storage file made by somebody else costs neither all memory nor all time; what is left out is said."""

import os
import signal
import sqlite3
import struct
import threading
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest
import zstandard
from mcap.writer import Writer

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog import mcap_file, reader, sqlite_file
from edgevl_core.pairlog.mcap_walk import MESSAGE
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.segments import Message

pytestmark = pytest.mark.unit

SECOND_NS, CDR_HEAD = 10**9, b"\0\1\0\0"
TOPICS = (
    "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT);"
    "INSERT INTO topics VALUES(1, '/a', 'std_msgs/msg/String', 'cdr');"
)
MESSAGES = "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB);"
ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT i AS id, 1 AS topic_id, i AS timestamp, x'00010000' AS data FROM n;"
)
COMPUTED = {
    "a view": (TOPICS + f"CREATE VIEW messages AS {ENDLESS}", "more than tables: CREATE VIEW messages"),
    "a view of topics": (f"{MESSAGES} CREATE VIEW topics AS {ENDLESS}", "more than tables: CREATE VIEW topics"),
    "a virtual table": (
        TOPICS + "CREATE VIRTUAL TABLE messages USING fts5(id, topic_id, timestamp, data);",
        "more than tables: CREATE VIRTUAL TABLE",
    ),
    "a column": (
        TOPICS + MESSAGES.replace("data BLOB", "data BLOB AS (zeroblob(500000000))"),
        "the table messages has columns that are computed",
    ),
}


def write_sqlite(file: Path, script: str) -> Path:
    connection = sqlite3.connect(file)
    connection.executescript(script)
    connection.close()
    return file


def write_endless(file: Path) -> Path:
    """Six pages of SQLite with 580 ** 4 rows: each page of the tree leads 580 times to the same one below it."""
    write_sqlite(file, f"{TOPICS} {MESSAGES} INSERT INTO messages VALUES(1, 1, 1, x'00010000');")
    with sqlite3.connect(file) as connection:
        ((root,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages'")
    content = bytearray(file.read_bytes())
    size, last = 4096, len(content) // 4096
    pages = [content[(root - 1) * size : root * size], *(fan(number, size) for number in range(last + 1, last + 5))]
    content[(root - 1) * size : root * size] = pages.pop()
    content += b"".join(pages)
    content[28:32] = struct.pack(">I", len(content) // size)
    file.write_bytes(content)
    return file


def fan(child: int, size: int) -> bytes:
    """A page inside the tree of a table, with 580 times the same child."""
    cell, count = struct.pack(">IB", child, 1), 580
    start = size - count * len(cell)
    places = struct.pack(f">{count}H", *range(start, size, len(cell)))
    head = struct.pack(">BHHHBI", 5, 0, count, start, 0, child) + places
    return head.ljust(start, b"\0") + cell * count


def write_mcap(file: Path, messages: Iterable[tuple[int, bytes]], chunk_size: int) -> Path:
    """Messages with their log times; a chunk ends with the message that makes it larger than ``chunk_size``."""
    writer = Writer(str(file), chunk_size=chunk_size)
    writer.start("ros2", "test")
    channel = writer.register_channel("/a", "cdr", writer.register_schema("std_msgs/msg/String", "ros2msg", b"x"))
    for stamp_ns, data in messages:
        writer.add_message(channel, stamp_ns, data, stamp_ns)
    writer.finish()
    return file


def read_all(file: Path) -> tuple[list[Message], list[str]]:
    with BagReader(file) as bag:
        assert bag.losses == []
        return list(bag.messages()), bag.losses


@pytest.mark.parametrize(("script", "said"), COMPUTED.values(), ids=COMPUTED.keys())
def test_rows_that_are_computed_are_refused(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"bag\.db3 cannot be read \(.*{said}"):
        BagReader(write_sqlite(tmp_path / "bag.db3", script))


def test_a_tree_of_pages_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"bag\.db3 cannot be read \(more rows than it has room for\)"):
        BagReader(write_endless(tmp_path / "bag.db3"))


def test_an_interrupt_ends_a_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_STEPS", 10**15)
    file = write_endless(tmp_path / "bag.db3")
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        BagReader(file)
    timer.join()


def test_chunks_that_overlap_are_held_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each begins at once and ends later: all of them would have to be open."""
    overlapping = [message for _ in range(5) for message in ((0, CDR_HEAD), (SECOND_NS, CDR_HEAD + bytes(10**6)))]
    file = write_mcap(tmp_path / "bag.mcap", [*overlapping, (2 * SECOND_NS, CDR_HEAD)], 10**6)
    found, losses = read_all(file)
    assert (len(found), losses) == (11, [])
    monkeypatch.setattr(reader, "MAX_OPEN_BYTES", 2_500_000)
    found, losses = read_all(file)
    assert [message.stamp_ns for message in found] == [0, 0, SECOND_NS, SECOND_NS, 2 * SECOND_NS]
    assert losses == [
        "3 chunks are left out: the messages of chunks that overlap in time take more than 2500000 bytes of memory "
        "(/a: 5 of 11 promised messages could be read)"
    ]


def test_small_messages_count_by_the_memory_that_they_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_mcap(tmp_path / "bag.mcap", [(n, CDR_HEAD) for n in range(1000)], 10**6)
    monkeypatch.setattr(mcap_file, "MAX_OPEN_BYTES", 100_000)
    found, losses = read_all(file)
    assert len(found) == 100_000 // (MESSAGE.size + len(CDR_HEAD) + 200)
    assert len(losses) == 1
    assert "take more than 100000 bytes of memory: 442 of them are read (/a: 442 of 1000 promised" in losses[0]


def test_compressed_messages_are_unpacked_one_at_a_time(tmp_path: Path) -> None:
    packed = zstandard.compress(CDR_HEAD + bytes(5_000_000))
    file = write_mcap(tmp_path / "bag.mcap", [(n, packed) for n in range(20)], 10**9)
    tracemalloc.start()
    with BagReader(file) as bag:
        assert {len(message.data) for message in bag.messages()} == {5_000_004}
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20_000_000
