"""One MCAP file being written. When the disk fails it ends at its last whole record, and says what is in it."""

import contextlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import mcap.writer
import zstandard
from mcap.data_stream import RecordBuilder
from mcap.records import Attachment, DataEnd, Footer
from mcap.writer import CompressionType, Writer

from edgevl_core.pairlog.metadata import QOS_PROFILES, SegmentInfo
from edgevl_core.pairlog.segments import CDR
from edgevl_core.pairlog.types import definition

COMPRESSIONS = {"zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4, "none": CompressionType.NONE}
MAX_STAMP_NS = (1 << 63) - 1  # rosbag2 keeps log times as signed 64-bit nanoseconds
_MAGIC = b"\x89MCAP0\r\n"
# The library cannot be told a level, and takes 3: three times level 1's work for raw images that are a tenth smaller.
ZSTD_LEVEL = 1
mcap.writer.zstandard = SimpleNamespace(compress=partial(zstandard.compress, level=ZSTD_LEVEL))  # type: ignore[attr-defined, assignment]


class Announced(NamedTuple):
    """What is said of a topic at its start; ``schema``: its encoding and text; ``encoding``: of the messages."""

    msgtype: str
    qos: str
    schema: tuple[str, bytes] | None
    encoding: str


def announced(msgtype: str, qos: str, schema: tuple[str, str] | None, encoding: str) -> Announced:
    """What is to be said of a topic; see :meth:`edgevl_core.pairlog.writer.BagWriter.add_topic`.

    Raises:
        ValueError: the type needs a schema, or ``qos`` is unknown.
    """
    if qos not in QOS_PROFILES:
        raise ValueError(f"qos {qos!r} is not one of {sorted(QOS_PROFILES)}")
    if schema is None and encoding == CDR:
        try:
            schema = ("ros2msg", definition(msgtype))
        except KeyError:
            raise ValueError(f"message type {msgtype!r} is unknown here: pass its schema") from None
    text = None if schema is None else (schema[0], schema[1].encode())
    return Announced(msgtype, QOS_PROFILES[qos], text, encoding)


class _RecordFile:
    """A file that is written in whole records; without a buffer, which would try a failed write again."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)
        self._whole = 0

    def write(self, records: bytes) -> None:
        left = memoryview(records)
        while left:
            left = left[self._file.write(left) :]
        self._whole += len(records)

    def tell(self) -> int:
        return self._whole

    def flush(self) -> None:
        """Nothing waits."""

    def cut(self, at: int) -> None:
        """Take off everything from byte ``at`` on."""
        os.ftruncate(self.fileno(), at)
        self._whole = self._file.seek(at)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()


class SegmentWriter:
    """See the module's text.

    Args:
        path: of the new file.
        chunk_bytes: size at which a chunk is closed, uncompressed.
        compression: a key of COMPRESSIONS.

    Attributes:
        info: what the file holds, without what waits for its chunk to be written.
        first_ns: log time of the first message; None: there is none yet.

    Raises:
        OSError: from every method that writes. Then only ``end_whole`` and ``close`` are of use.
    """

    def __init__(self, path: Path, chunk_bytes: int, compression: str) -> None:
        self.info = SegmentInfo(path.name)
        self.first_ns: int | None = None
        self._file = _RecordFile(path)
        self._data_bytes: int | None = None  # known once the data is complete, and the summary is written
        self._waiting: list[tuple[str, int]] = []
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._writer = Writer(self._file, chunk_size=chunk_bytes, compression=COMPRESSIONS[compression])  # type: ignore[arg-type]
        try:
            self._writer.start(profile="ros2", library="edgevl")
        except OSError:
            self.close()
            path.unlink()
            raise

    @property
    def size(self) -> int:
        """Bytes in the file, without the chunk in progress."""
        return self._file.tell()

    @property
    def removed(self) -> bool:
        """Whether somebody has deleted the file."""
        return os.fstat(self.fileno()).st_nlink == 0

    def describe(self, name: str, facts: Mapping[str, str]) -> None:
        """An MCAP metadata record."""
        self._writer.add_metadata(name, dict(facts))

    def attach(self, record: Attachment) -> None:
        """A file within the file."""
        self._writer.add_attachment(record.create_time, record.log_time, record.name, record.media_type, record.data)

    def register(self, topic: str, said: Announced) -> None:
        """Announce a topic."""
        msgtype, qos, schema, encoding = said

        def announce() -> None:
            if schema is not None and msgtype not in self._schemas:
                self._schemas[msgtype] = self._writer.register_schema(msgtype, *schema)
            schema_id = 0 if schema is None else self._schemas[msgtype]
            self._channels[topic] = self._writer.register_channel(
                topic, encoding, schema_id, {"offered_qos_profiles": qos}
            )

        self._chunking(announce)

    def check(self, topic: str, stamp_ns: int) -> None:
        """Refuse a message before anything of it is written. Raises KeyError, ValueError."""
        if topic not in self._channels:
            raise KeyError(topic)
        if not 0 <= stamp_ns <= MAX_STAMP_NS:
            raise ValueError(f"a log time of {stamp_ns} ns is none that a bag can hold: 0 to {MAX_STAMP_NS}")

    def add(self, topic: str, data: Any, stamp_ns: int) -> None:
        """Append one message, which ``check`` has passed."""
        channel = self._channels[topic]
        self.first_ns = stamp_ns if self.first_ns is None else self.first_ns
        self._waiting.append((topic, stamp_ns))
        self._chunking(lambda: self._writer.add_message(channel, stamp_ns, data, stamp_ns))

    def flush(self) -> None:
        """Write the chunk in progress."""
        self._chunking(self._writer.flush)  # type: ignore[no-untyped-call]

    def finish(self) -> None:
        """Write the chunk in progress, the summary and the end."""
        self.flush()
        self._data_bytes = self._file.tell()
        self._writer.finish()  # type: ignore[no-untyped-call]
        os.fsync(self.fileno())

    def end_whole(self) -> None:
        """After a failure: cut off what is not whole, and end the file without a summary if there is room for that."""
        at = self._file.tell() if self._data_bytes is None else self._data_bytes
        end = RecordBuilder()
        DataEnd(0).write(end)
        Footer(0, 0, 0).write(end)
        ending = bytes(end.end()) + _MAGIC  # type: ignore[no-untyped-call]
        with contextlib.suppress(OSError):
            self._file.cut(at)
            try:
                self._file.write(ending)
            except OSError:
                self._file.cut(at)
            os.fsync(self.fileno())

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()

    def _chunking(self, action: Callable[[], Any]) -> None:
        """Do what may write a chunk, which is written before all else, and note what has come into the file by it."""
        before = self._file.tell()
        try:
            action()
        finally:
            if self._file.tell() != before:
                for topic, stamp_ns in self._waiting:
                    self.info.add(topic, stamp_ns)
                self._waiting.clear()
