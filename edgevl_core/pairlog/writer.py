"""Write a pair log: an ordinary rosbag2 directory of MCAP segments that survives a power cut.

What a power cut can cost is bounded by ``sync_interval_s``: at each sync the chunk in progress is closed, the
segment is fsynced and metadata.yaml is replaced. The fsync runs beside the caller, so a slow disk delays only
the next sync, not the message that triggered it.
"""

import contextlib
import errno
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType

from mcap.records import Attachment, Metadata

from edgevl_core.pairlog.background import OneAtATime
from edgevl_core.pairlog.bag_directory import BagDirectory
from edgevl_core.pairlog.disk import DiskFloor, DiskFloorReached, WriteFailed, free_bytes
from edgevl_core.pairlog.metadata import SegmentInfo, metadata_yaml
from edgevl_core.pairlog.segment_writer import COMPRESSIONS, Announced, SegmentWriter, announced
from edgevl_core.pairlog.segments import CDR

__all__ = ["BagWriter", "DiskFloorReached", "WriteFailed"]


class BagWriter:
    """A rosbag2 directory being written; a context manager, closed also when the block raises.

    Args:
        path: the new directory; ``<name>_0.mcap`` and so on appear in it.
        max_segment_bytes: a segment is closed when its file has reached this size (by at most one chunk more).
        max_segment_s: ... or when the log times in it span this long.
        sync_interval_s: at most this long (plus one fsync) of messages is lost in a power cut, as long as
            messages keep coming; call :meth:`sync` where they may stop.
        min_free_bytes: the floor of free disk space; never below two chunks, so that the bag can be closed.
        compression: of the chunks: "zstd" (smallest), "lz4" (a third less work, a tenth larger) or "none"
            (for images that are compressed already).
        chunk_bytes: size at which a chunk is closed, uncompressed.
        monotonic_s, free: the clock and the disk, passed in so that tests need neither.

    Attributes:
        messages_added: by ``write``.

    Raises:
        UserError: ``path`` exists, or cannot be made. DiskFloorReached, WriteFailed: there is no room for it; it is
            not there then.
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
        self._name = Path(path).name
        self._max_segment_bytes = max_segment_bytes
        self._max_segment_ns = round(max_segment_s * 1e9)
        self._sync_interval_s = sync_interval_s
        self._compression = compression
        self._chunk_bytes = chunk_bytes
        self._monotonic_s = monotonic_s

        self._topics: dict[str, Announced] = {}
        self._facts: dict[str, dict[str, str]] = {}
        self._segments: list[SegmentInfo] = []
        self._segment: SegmentWriter
        self._closed_bytes = 0
        self._closed = False
        self._failure: WriteFailed | None = None
        self._syncing = OneAtATime("bag-sync")
        self.messages_added = 0
        self._directory = BagDirectory(Path(path))
        floor_bytes = max(min_free_bytes, 2 * chunk_bytes)
        self._floor = DiskFloor(Path(path), floor_bytes, lambda _: free(self._directory.inside))
        try:
            self._floor.spend(0)
            self._open_segment()
            self._write_metadata()
        except (OSError, DiskFloorReached) as error:
            shutil.rmtree(path, ignore_errors=True)
            self._release()
            if isinstance(error, DiskFloorReached):
                raise
            raise WriteFailed(f"{path}: a bag cannot be begun ({error.strerror}): see to the disk") from error

    def __enter__(self) -> "BagWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where the directory is now: it may be renamed while it is written."""
        return self._directory.path

    @property
    def removed(self) -> bool:
        """Whether somebody has deleted the directory."""
        return self._directory.removed

    @property
    def bytes_written(self) -> int:
        """Bytes in all segment files, without the chunk in progress."""
        return self._closed_bytes + self._segment.size

    @property
    def messages_written(self) -> int:
        """Messages in the files; ``messages_added`` counts those in the chunk in progress too."""
        return sum(segment.messages for segment in self._segments)

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """What each segment holds so far, the open one last."""
        return tuple(self._segments)

    def describe(self, name: str, facts: Mapping[str, str]) -> None:
        """State facts about the bag, in an MCAP metadata record ``name`` of this and every later segment.

        Facts given under the same name before stay, unless they are given again: the last record holds. rosbag2
        and rosbags pass such records over.

        Raises:
            WriteFailed: as ``write``.
        """
        self._facts[name] = {**self._facts.get(name, {}), **facts}
        with self._ending_at_failure():
            self._segment.describe(name, self._facts[name])

    def add_extra(self, record: Attachment | Metadata) -> None:
        """Put an attachment or a metadata record of another bag into the segment that is open."""
        with self._ending_at_failure():
            if isinstance(record, Metadata):
                self._segment.describe(record.name, record.metadata)
            else:
                self._segment.attach(record)

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
            if self._topics[name].msgtype != msgtype:
                raise ValueError(f"topic {name!r} holds {self._topics[name].msgtype}, not {msgtype}")
            return
        self._topics[name] = announced(msgtype, qos, schema, encoding)
        with self._ending_at_failure():
            self._segment.register(name, self._topics[name])

    def write(self, topic: str, data: bytes | memoryview, stamp_ns: int) -> None:
        """Append one message, already serialised (CDR), with log time ``stamp_ns`` >= 0.

        Raises:
            DiskFloorReached: the free space is at its floor; this message is not in the bag, all earlier ones are.
            WriteFailed: the disk refused it, or an earlier message. The bag has ended at its last whole record:
                ``messages_written`` tells how much is in it.
            KeyError: the topic was not announced.
            ValueError: the stamp is negative, or beyond what 63 bits hold; nothing was written.
        """
        self._segment.check(topic, stamp_ns)
        with self._ending_at_failure():
            if self._segment_is_full(stamp_ns):
                self._next_segment()
            self._floor.spend(len(data))
            self.messages_added += 1
            self._segment.add(topic, data, stamp_ns)
            if self._monotonic_s() - self._synced_s >= self._sync_interval_s:
                self._start_sync()

    def sync(self) -> None:
        """Make everything written so far durable, and wait until it is. Raises WriteFailed as ``write``."""
        with self._ending_at_failure():
            self._syncing.wait()
            self._start_sync()
            self._syncing.wait()

    def close(self) -> None:
        """Finish the last segment and metadata.yaml; a second call, or one after a failure, does nothing.

        Raises:
            WriteFailed: as ``write``.
        """
        if self._closed:
            return
        with self._ending_at_failure():
            self._close_segment()
            self._write_metadata()
        self._end()

    @contextlib.contextmanager
    def _ending_at_failure(self) -> Iterator[None]:
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except OSError as error:
            self._failure = self._end_at(error)
            raise self._failure from error

    def _end_at(self, error: OSError) -> WriteFailed:
        """End the bag where it is whole."""
        reason, fix = error.strerror or str(error), "see to the disk, and begin a new one"
        if self.removed:
            reason, fix = "it was removed while it was written", "begin a new one"
        with contextlib.suppress(OSError):
            self._syncing.wait()
        with contextlib.suppress(ValueError):  # closed already, when the next one could not be opened
            self._segment.end_whole()
        with contextlib.suppress(OSError):
            self._write_metadata()
        kept = 0 if self.removed else self.messages_written
        path = self.path
        self._end()
        return WriteFailed(f"{path}: writing failed ({reason}): the bag ends with {kept} messages; {fix}")

    def _end(self) -> None:
        self._closed = True
        self._release()

    def _release(self) -> None:
        self._syncing.close()
        if hasattr(self, "_segment"):
            self._segment.close()
        self._directory.release()

    def _open_segment(self) -> None:
        path = self._directory.inside / f"{self._name}_{len(self._segments)}.mcap"
        segment = SegmentWriter(path, self._chunk_bytes, self._compression)
        self._closed_bytes += self._segment.size if self._segments else 0
        self._segment = segment
        for record, facts in self._facts.items():
            self._segment.describe(record, facts)
        self._segments.append(self._segment.info)
        for name, topic in self._topics.items():
            self._segment.register(name, topic)
        self._synced_s = self._monotonic_s()

    def _segment_is_full(self, stamp_ns: int) -> bool:
        if self._segment.first_ns is None:
            return False
        long = stamp_ns - self._segment.first_ns >= self._max_segment_ns
        return long or self._segment.size >= self._max_segment_bytes

    def _next_segment(self) -> None:
        self._close_segment()
        self._open_segment()
        self._write_metadata()

    def _close_segment(self) -> None:
        self._syncing.wait()
        self._segment.finish()
        self._segment.close()

    def _start_sync(self) -> None:
        if self._syncing.busy:
            return  # the disk is slower than the interval
        self._syncing.wait()
        if self._segment.removed:
            raise OSError(errno.ENOENT, f"{self._segment.info.name} was removed while it was written")
        self._segment.flush()
        self._synced_s = self._monotonic_s()
        self._syncing.start(partial(self._directory.make_durable, self._segment.fileno(), self._metadata()))

    def _metadata(self) -> bytes:
        topics = [(name, said.msgtype, said.qos) for name, said in self._topics.items() if said.encoding == CDR]
        return metadata_yaml(topics, self._segments)

    def _write_metadata(self) -> None:
        self._directory.write_metadata(self._metadata())
