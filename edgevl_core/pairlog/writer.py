"""Write a pair log: an ordinary rosbag2 directory of MCAP segments that survives a power cut.

What a power cut can cost is bounded by ``sync_interval_s``: at each sync the chunk in progress is closed, the
segment is fsynced and metadata.yaml is replaced. The fsync runs beside the caller, so a slow disk delays only
the next sync, not the message that triggered it.
"""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO

from mcap.records import Attachment, Metadata
from mcap.writer import CompressionType, Writer

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.disk import DiskFloor, DiskFloorReached, free_bytes
from edgevl_core.pairlog.lock import try_lock
from edgevl_core.pairlog.metadata import METADATA_NAME, QOS_PROFILES, SegmentInfo, metadata_yaml
from edgevl_core.pairlog.segments import CDR
from edgevl_core.pairlog.types import definition

__all__ = ["BagWriter", "DiskFloorReached"]

COMPRESSIONS = {"zstd": CompressionType.ZSTD, "lz4": CompressionType.LZ4, "none": CompressionType.NONE}


class BagWriter:
    """A rosbag2 directory being written; a context manager, closed also when the block raises.

    Args:
        path: the new directory; ``<name>_0.mcap`` and so on appear in it.
        max_segment_bytes: a segment is closed when its file has reached this size (by at most one chunk
            more).
        max_segment_s: ... or when the log times in it span this long.
        sync_interval_s: at most this long (plus one fsync) of messages is lost in a power cut, as long as
            messages keep coming; call :meth:`sync` where they may stop.
        min_free_bytes: the floor of free disk space; never below two chunks, so that the bag can be closed.
        compression: of the chunks: "zstd" (smallest), "lz4" (a third of the work, a fifth larger) or "none"
            (for images that are compressed already).
        chunk_bytes: size at which a chunk is closed, uncompressed.
        monotonic_s, free: the clock and the disk, passed in so that tests need neither.

    Raises:
        UserError: ``path`` exists, or cannot be made.
        ValueError: an unknown compression.
    """

    def __init__(  # noqa: PLR0913  (limits, each with its usual value)
        self,
        path: Path | str,
        *,
        max_segment_bytes: int = 1_000_000_000,
        max_segment_s: float = 600.0,
        sync_interval_s: float = 1.0,
        min_free_bytes: int = 200_000_000,
        compression: str = "zstd",
        chunk_bytes: int = 1_000_000,
        monotonic_s: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        if compression not in COMPRESSIONS:
            raise ValueError(f"compression {compression!r} is not one of {sorted(COMPRESSIONS)}")
        self.path = Path(path)
        self._max_segment_bytes = max_segment_bytes
        self._max_segment_ns = round(max_segment_s * 1e9)
        self._sync_interval_s = sync_interval_s
        self._compression = COMPRESSIONS[compression]
        self._chunk_bytes = chunk_bytes
        self._monotonic_s = monotonic_s
        self._floor = DiskFloor(self.path, max(min_free_bytes, 2 * chunk_bytes), free)

        # By name: msgtype, qos, encoding and text of the schema, encoding of the messages.
        self._topics: dict[str, tuple[str, str, tuple[str, bytes] | None, str]] = {}
        self._facts: dict[str, dict[str, str]] = {}
        self._segments: list[SegmentInfo] = []
        self._closed_bytes = 0
        self._closed = False
        _make_directory(self.path)
        self._lock = try_lock(self.path)  # so that retention leaves it alone
        self._syncer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bag-sync")
        self._syncing: Future[None] | None = None
        self._open_segment()
        self._write_metadata()

    def __enter__(self) -> "BagWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bytes_written(self) -> int:
        """Bytes in all segment files, without the chunk in progress."""
        return self._closed_bytes + (0 if self._closed else self._file.tell())

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """What each segment holds so far, the open one last."""
        return tuple(self._segments)

    def describe(self, name: str, facts: Mapping[str, str]) -> None:
        """State facts about the bag, in an MCAP metadata record ``name`` of this and every later segment.

        Facts given under the same name before stay, unless they are given again: the last record holds. rosbag2
        and rosbags pass such records over.
        """
        self._facts[name] = {**self._facts.get(name, {}), **facts}
        self._writer.add_metadata(name, self._facts[name])

    def add_extra(self, record: Attachment | Metadata) -> None:
        """Put an attachment or a metadata record of another bag into the segment that is open."""
        if isinstance(record, Metadata):
            self._writer.add_metadata(record.name, record.metadata)
        else:
            self._writer.add_attachment(
                record.create_time, record.log_time, record.name, record.media_type, record.data
            )

    def add_topic(
        self,
        name: str,
        msgtype: str,
        qos: str = "sensor",
        schema: tuple[str, str] | None = None,
        encoding: str = CDR,
    ) -> None:
        """Announce a topic; the same topic with the same type may be announced again.

        Args:
            qos: a name of QOS_PROFILES: "sensor", "reliable" or "latched".
            schema: (encoding, definition) where the type is none that edgevl knows (copied from another bag).
            encoding: of the messages. Another than ROS 2's needs no schema, and metadata.yaml does not name the topic:
                ``ros2 bag play`` refuses a bag that mixes encodings.

        Raises:
            ValueError: the topic is there with another type, the type needs a schema, or ``qos`` is unknown.
        """
        if name in self._topics:
            if self._topics[name][0] != msgtype:
                raise ValueError(f"topic {name!r} holds {self._topics[name][0]}, not {msgtype}")
            return
        if qos not in QOS_PROFILES:
            raise ValueError(f"qos {qos!r} is not one of {sorted(QOS_PROFILES)}")
        if schema is None and encoding == CDR:
            try:
                schema = ("ros2msg", definition(msgtype))
            except KeyError:
                raise ValueError(f"message type {msgtype!r} is unknown here: pass its schema") from None
        text = None if schema is None else (schema[0], schema[1].encode())
        self._topics[name] = (msgtype, QOS_PROFILES[qos], text, encoding)
        self._register(name)

    def write(self, topic: str, data: bytes | memoryview, stamp_ns: int) -> None:
        """Append one message, already serialised (CDR), with log time ``stamp_ns`` >= 0.

        Raises:
            DiskFloorReached: the free space is at its floor; this message is not in the bag, all earlier ones
                are.
            KeyError: the topic was not announced.
            OSError: the disk failed; the segment is readable up to the last sync.
        """
        channel = self._channels[topic]
        if self._segment_is_full(stamp_ns):
            self._next_segment()
            channel = self._channels[topic]
        self._floor.spend(len(data))
        self._writer.add_message(channel, log_time=stamp_ns, data=data, publish_time=stamp_ns)  # type: ignore[arg-type]
        self._segments[-1].add(topic, stamp_ns)
        if self._monotonic_s() - self._synced_s >= self._sync_interval_s:
            self._start_sync()

    def sync(self) -> None:
        """Make everything written so far durable, and wait until it is."""
        self._wait_for_sync()
        self._start_sync()
        self._wait_for_sync()

    def close(self) -> None:
        """Finish the last segment and metadata.yaml; a second call does nothing."""
        if self._closed:
            return
        try:
            self._close_segment()
            self._write_metadata()
        finally:
            self._closed = True
            self._file.close()
            self._syncer.shutdown()
            if self._lock is not None:
                os.close(self._lock)

    def _open_segment(self) -> None:
        name = f"{self.path.name}_{len(self._segments)}.mcap"
        self._file: IO[bytes] = (self.path / name).open("xb")
        self._writer = Writer(self._file, chunk_size=self._chunk_bytes, compression=self._compression)
        self._writer.start(profile="ros2", library="edgevl")
        for record, facts in self._facts.items():
            self._writer.add_metadata(record, facts)
        self._file.flush()
        self._segments.append(SegmentInfo(name))
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        for topic in self._topics:
            self._register(topic)
        self._synced_s = self._monotonic_s()

    def _register(self, topic: str) -> None:
        msgtype, qos, schema, encoding = self._topics[topic]
        if schema is not None and msgtype not in self._schemas:
            self._schemas[msgtype] = self._writer.register_schema(msgtype, *schema)
        self._channels[topic] = self._writer.register_channel(
            topic, encoding, self._schemas.get(msgtype, 0) if schema else 0, {"offered_qos_profiles": qos}
        )

    def _segment_is_full(self, stamp_ns: int) -> bool:
        segment = self._segments[-1]
        if not segment.messages:
            return False
        return self._file.tell() >= self._max_segment_bytes or stamp_ns - segment.start_ns >= self._max_segment_ns

    def _next_segment(self) -> None:
        self._close_segment()
        self._open_segment()
        self._write_metadata()

    def _close_segment(self) -> None:
        self._wait_for_sync()
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.flush()
        os.fsync(self._file.fileno())
        self._closed_bytes += self._file.tell()
        self._file.close()

    def _start_sync(self) -> None:
        if self._syncing is not None and not self._syncing.done():
            return  # the disk is slower than the interval: one sync at a time
        self._wait_for_sync()
        self._writer.flush()  # type: ignore[no-untyped-call]
        metadata = self._metadata()
        self._synced_s = self._monotonic_s()
        self._syncing = self._syncer.submit(_make_durable, self._file.fileno(), self.path, metadata)

    def _wait_for_sync(self) -> None:
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            syncing.result()  # raises what the disk raised

    def _metadata(self) -> bytes:
        topics = [(name, kind, qos) for name, (kind, qos, _, encoding) in self._topics.items() if encoding == CDR]
        return metadata_yaml(topics, self._segments)

    def _write_metadata(self) -> None:
        atomic_write(self.path / METADATA_NAME, self._metadata())


def _make_durable(descriptor: int, path: Path, metadata: bytes) -> None:
    os.fsync(descriptor)
    atomic_write(path / METADATA_NAME, metadata)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise UserError(f"{path} exists already: choose a new name for the bag, or remove it first") from None
    except OSError as error:
        raise UserError(f"{path} cannot be made ({error.strerror}): choose another place") from error
