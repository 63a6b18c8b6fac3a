"""One SQLite file of a bag (.db3), read without a change to it or to what lies beside it.

A recorder that was cut off leaves its last messages in a write-ahead log, ``<file>-wal``: SQLite reads it together with
the file. That is done with the log's index in memory and without locks, so that nothing is written anywhere.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from edgevl_core.base.errors import one_line
from edgevl_core.pairlog.segments import CDR, Block, Message, Segment, Topic
from edgevl_core.pairlog.write_ahead_log import lost_bytes

_PLAIN = ("CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX ", "CREATE TRIGGER ")
# Of SQLite's machine: a row takes 16, and at least 14 bytes of the file.
_STEPS, _STEPS_A_BYTE = 1_000_000, 20
_STEPS_BETWEEN = 10_000


def open_sqlite(path: Path, stack: ExitStack) -> Segment:
    """The file's content; its connection is closed with ``stack``.

    Raises:
        sqlite3.Error: the file is no bag, is damaged where its topics stand, or computes what it holds.
    """
    losses: list[str] = []
    connection = stack.enter_context(closing(_connect(path, losses)))
    connection.text_factory = lambda text: text.decode(errors="replace")
    queries = _Queries(connection, path)
    _check_schema(queries)
    definitions = _definitions(queries)
    counts, start_ns = {}, []
    for topic_id, count, first_ns in queries.rows(
        "SELECT topic_id, count(*), min(timestamp) FROM messages GROUP BY topic_id"
    ):
        counts[topic_id] = count
        start_ns.append(first_ns)
    topics = {
        number: Topic(str(name), str(kind), counts.pop(number, 0), definitions.get(kind), str(encoding or CDR))
        for number, name, kind, encoding in queries.rows(
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
            for number, stamp_ns, data in queries.rows(query, list(wanted)):
                if not isinstance(stamp_ns, int) or not isinstance(data, bytes):
                    misfits += 1
                    continue
                topic = wanted[number]
                yield Message(topic.name, topic.msgtype, stamp_ns, data)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            faults.append(f"{path.name}: the file is damaged ({error}): what comes after that place is not read")
        if misfits:
            faults.append(f"{path.name}: {misfits} rows hold no message")
        if _state(path) != state:
            faults.append(f"{path.name} was written to while it was read: read it again when nothing writes to it")

    first_ns = min((first for first in start_ns if isinstance(first, int)), default=0)
    return Segment(list(topics.values()), [Block(first_ns, lambda names: (read(names), 0))], losses, faults)


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
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.Error as error:
            losses.append(f"{size} bytes in {wal.name} cannot be read ({error})")
        else:
            if lost := lost_bytes(wal):
                losses.append(f"{lost} bytes in {wal.name}: the log is damaged, or its recorder was cut off there")
            return connection
    return sqlite3.connect(f"{address}?immutable=1", uri=True, check_same_thread=False)


class _Queries:
    """Queries of a file that may hold anything. None goes on for ever, and signals arrive while SQLite is at work."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._steps = self._most = 0
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.set_progress_handler(self._is_too_long, _STEPS_BETWEEN)

    def rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """The rows, as they are found.

        Raises:
            sqlite3.Error: the file is damaged, or there are more rows than it has room for.
        """
        self._steps, self._most = 0, _STEPS + _STEPS_A_BYTE * sum(size for size, _ in _state(self._path))
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.OperationalError as error:
            if str(error) != "interrupted":
                raise
            if self._steps <= self._most:  # what a signal has raised in _is_too_long comes here as this error
                raise KeyboardInterrupt from None
            raise sqlite3.DatabaseError("more rows than it has room for") from None

    def _is_too_long(self) -> bool:
        self._steps += _STEPS_BETWEEN
        return self._steps > self._most


def _check_schema(queries: _Queries) -> None:
    """Refuse views, virtual tables and generated columns: their rows are computed, and may be without end.

    What SQLite makes of a table is its ``sql``; type and name beside it may be others.
    """
    for (text,) in queries.rows("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"):
        if not str(text).startswith(_PLAIN):
            raise sqlite3.DatabaseError(f"it holds more than tables: {one_line(str(text), 60)}")
    for table in ("topics", "messages", "message_definitions"):
        if any(hidden for *_, hidden in queries.rows(f"PRAGMA table_xinfo({table})")):
            raise sqlite3.DatabaseError(f"the table {table} has columns that are computed")


def _definitions(queries: _Queries) -> dict[str, tuple[str, str]]:
    """Encoding and text by message type; bags before 2023 have none."""
    try:
        rows = queries.rows("SELECT topic_type, encoding, encoded_message_definition FROM message_definitions")
        return {str(kind): (str(encoding), str(text)) for kind, encoding, text in rows if encoding and text}
    except sqlite3.OperationalError:
        return {}


def _state(path: Path) -> list[tuple[int, int]]:
    """Size and time of the last change of the file and of its log."""
    found = [file.stat() for file in (path, path.with_name(f"{path.name}-wal")) if file.is_file()]
    return [(stat.st_size, stat.st_mtime_ns) for stat in found]
