"""One SQLite file of a bag (.db3), read without a change to it or to what lies beside it.

A recorder that was cut off leaves its last messages in a write-ahead log, ``<file>-wal``: SQLite reads it together with
the file. That is done with the log's index in memory and without locks, so that nothing is written anywhere.
"""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from edgevl_core.pairlog.chunks import unpacked
from edgevl_core.pairlog.segments import CDR, Block, Message, Segment, Topic
from edgevl_core.pairlog.write_ahead_log import lost_bytes


def open_sqlite(path: Path, stack: ExitStack) -> Segment:
    """The file's content; its connection is closed with ``stack``.

    Raises:
        sqlite3.Error: the file is no bag, or is damaged where its topics stand.
    """
    losses: list[str] = []
    connection = stack.enter_context(closing(_connect(path, losses)))
    connection.text_factory = lambda text: text.decode(errors="replace")
    definitions = _definitions(connection)
    counts, start_ns = {}, []
    for topic_id, count, first_ns in connection.execute(
        "SELECT topic_id, count(*), min(timestamp) FROM messages GROUP BY topic_id"
    ):
        counts[topic_id] = count
        start_ns.append(first_ns)
    topics = {
        number: Topic(str(name), str(kind), counts.pop(number, 0), definitions.get(kind), str(encoding or CDR))
        for number, name, kind, encoding in connection.execute(
            "SELECT id, name, type, serialization_format FROM topics ORDER BY id"
        )
    }
    if counts:
        losses.append(f"{path.name}: {sum(counts.values())} messages belong to topics whose description is lost")
    faults: list[str] = []
    state = _state(path)

    def read(names: Collection[str]) -> Iterator[Message]:
        wanted = {number: topic for number, topic in topics.items() if topic.name in names}
        if not wanted:
            return
        marks, misfits = ", ".join("?" * len(wanted)), 0
        query = f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp"
        try:
            for number, stamp_ns, data in connection.execute(query, list(wanted)):
                if not isinstance(stamp_ns, int) or not isinstance(data, bytes):
                    misfits += 1
                    continue
                topic = wanted[number]
                yield Message(topic.name, topic.msgtype, stamp_ns, unpacked(data) if topic.encoding == CDR else data)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            faults.append(f"{path.name}: the file is damaged ({error}): what comes after that place is not read")
        if misfits:
            faults.append(f"{path.name}: {misfits} rows hold no message")
        if _state(path) != state:
            faults.append(f"{path.name} was written to while it was read: read it again when nothing writes to it")

    first_ns = min((first for first in start_ns if isinstance(first, int)), default=0)
    merged: dict[str, Topic] = {}
    for topic in topics.values():
        if topic.name in merged:
            merged[topic.name].count += topic.count
        else:
            merged[topic.name] = Topic(topic.name, topic.msgtype, topic.count, topic.schema, topic.encoding)
    return Segment(list(merged.values()), [Block(first_ns, read)], losses, faults)


def _connect(path: Path, losses: list[str]) -> sqlite3.Connection:
    address = path.resolve().as_uri()  # with # ? and % in it escaped
    wal, journal = path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")
    if journal.is_file() and journal.stat().st_size:
        losses.append(f"{path.name}: its recorder was cut off ({journal.name} is there): the last messages may be torn")
    if wal.is_file() and (size := wal.stat().st_size):
        try:
            # Without locks nothing can be changed by accident, and no index file appears beside the log.
            connection = sqlite3.connect(f"{address}?mode=ro&vfs=unix-none", uri=True, check_same_thread=False)
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            losses.append(f"{size} bytes in {wal.name} cannot be read ({error})")
        else:
            if lost := lost_bytes(wal):
                losses.append(f"{lost} bytes in {wal.name}: the log is damaged, or its recorder was cut off there")
            return connection
    return sqlite3.connect(f"{address}?immutable=1", uri=True, check_same_thread=False)


def _definitions(connection: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    """Encoding and text by message type; bags before 2023 have none."""
    try:
        rows = connection.execute("SELECT topic_type, encoding, encoded_message_definition FROM message_definitions")
        return {str(kind): (str(encoding), str(text)) for kind, encoding, text in rows if encoding and text}
    except sqlite3.OperationalError:
        return {}


def _state(path: Path) -> list[tuple[int, int]]:
    """Size and time of the last change of the file and of its log."""
    found = [file.stat() for file in (path, path.with_name(f"{path.name}-wal")) if file.is_file()]
    return [(stat.st_size, stat.st_mtime_ns) for stat in found]
