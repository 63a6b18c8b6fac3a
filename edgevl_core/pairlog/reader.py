"""Read any rosbag2: MCAP or SQLite, plain or compressed, whole or damaged.

The only reader of the project. What cannot be read is said in :attr:`BagReader.losses`, never passed over: after
reading, what was delivered is held against what the files promised.
"""

import heapq
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import zstandard

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.chunks import ZSTD_MAGIC, unpacked
from edgevl_core.pairlog.disk import DiskFloor, free_bytes
from edgevl_core.pairlog.mcap_file import open_mcap
from edgevl_core.pairlog.metadata import METADATA_NAME
from edgevl_core.pairlog.promise import Promise, read_promise
from edgevl_core.pairlog.segments import CDR, MAX_OPEN_BYTES, Block, Message, Segment, Topic
from edgevl_core.pairlog.sqlite_file import open_sqlite

__all__ = ["BagReader", "Message", "Topic"]

STORAGE = (".mcap", ".db3")
COMPRESSED = ".zstd"
_SHOWN = 5  # missing files named one by one
_FLOOR_BYTES = 200_000_000


class BagReader:
    """A bag opened for reading; a context manager.

    Args:
        path: a rosbag2 directory (metadata.yaml may be missing), or one of its files: .mcap, .db3, or either of them
            with .zstd.

    Attributes:
        topics: by name, with the number of messages in the bag.
        losses: what is missing or damaged, one plain sentence each; empty for a healthy bag. Damage inside a file
            whose summary is whole shows only when :meth:`messages` has got to its end, and is added then.

    Raises:
        UserError: there is no such path, it is no bag, or no message can be read from it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.losses: list[str] = []
        self.topics: dict[str, Topic] = {}
        self._told: set[str] = set()
        self._faults: list[str] = []
        self._stack = ExitStack()
        try:
            self._segments = self._open()
            for segment in self._segments:
                for topic in segment.topics:
                    empty = Topic(topic.name, topic.msgtype, 0, topic.schema, topic.encoding)
                    self.topics.setdefault(topic.name, empty).count += topic.count
            if not sum(topic.count for topic in self.topics.values()):
                lost = f" ({'; '.join(self.losses)})" if self.losses else ""
                raise UserError(f"{self.path}: the bag holds no messages{lost}: record it again, or give another")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "BagReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        self._stack.close()

    def messages(self, names: Collection[str] | None = None) -> Iterator[Message]:
        """The messages of ``names`` (all topics by default) in log-time order, over all segments.

        Raises:
            KeyError: a name that is not in :attr:`topics`.
        """
        wanted = set(self.topics) if names is None else set(names)
        if unknown := wanted - set(self.topics):
            raise KeyError(f"{self.path} has no topic {sorted(unknown)}")
        delivered: Counter[str] = Counter()
        blocks = [block for segment in self._segments for block in segment.blocks]
        for message in _in_order(blocks, wanted, self._faults):
            delivered[message.topic] += 1
            # One at a time, not with its block: a few bytes may unfold to many.
            if message.data.startswith(ZSTD_MAGIC) and self.topics[message.topic].encoding == CDR:
                message = replace(message, data=unpacked(message.data))
            yield message
        self._settle(delivered, wanted)

    def extras(self, *, closed: bool = False) -> Iterator[Any]:
        """Attachments and metadata of all segments, as records of the mcap library, in the files' order.

        Args:
            closed: only of those that their writer has closed, and said its last word in.
        """
        for segment in self._segments:
            if segment.whole or not closed:
                yield from segment.extras()
        self._settle(Counter(), ())

    def _settle(self, delivered: Counter[str], wanted: Collection[str]) -> None:
        """Say what was found damaged on the way, and where less was delivered than promised."""
        found = [*self._faults, *(fault for segment in self._segments for fault in segment.faults)]
        faults = [fault for fault in found if fault not in self._told]
        self.losses += dict.fromkeys(faults)
        short = [
            f"{name}: {delivered[name]} of {self.topics[name].count} promised messages could be read"
            for name in sorted(wanted)
            if delivered[name] != self.topics[name].count and name not in self._told
        ]
        self._told |= {*faults, *(line.partition(": ")[0] for line in short)}
        if faults and short:
            self.losses[-1] += f" ({'; '.join(short)})"
        else:
            self.losses += short

    def _open(self) -> list[Segment]:
        if not self.path.exists():
            raise UserError(f"{self.path}: there is no such bag: give a rosbag2 directory or an .mcap file")
        if self.path.is_file():
            if not is_storage(self.path):
                raise UserError(f"{self.path} is no bag: give a rosbag2 directory, or an .mcap or .db3 file")
            return [self._segment(self.path, 0)]
        try:
            files = {file.name: file for file in self.path.iterdir() if is_storage(file) and file.is_file()}
        except OSError as error:
            raise UserError(f"{self.path} cannot be read ({error.strerror}): make it readable first") from error
        if not files:
            raise UserError(
                f"{self.path} is no bag: it holds no .mcap or .db3 files: give a rosbag2 directory; "
                "of a folder of image pairs `edgevl import` makes one"
            )
        promise, fault = read_promise(self.path / METADATA_NAME)
        ordered = self._ordered(files, promise)
        by_file = promise.by_file
        segments = [self._segment(file, _of(by_file, file.name)) for file in ordered]
        # One file that was closed properly is all there is to know of a bag; of several, one more might be missing.
        if fault and not (fault == "is missing" and len(segments) == 1 and segments[0].whole):
            self.losses.insert(0, f"{METADATA_NAME} {fault}: the storage files were read without it")
        if not self.losses:
            self._hold_against(promise, segments)
        if not self.losses and all(file.name.removesuffix(COMPRESSED).endswith(STORAGE[0]) for file in ordered):
            self._hold_total_against(promise, segments)
        return segments

    def _ordered(self, files: dict[str, Path], promise: Promise) -> list[Path]:
        """The storage files: those that metadata.yaml names, in its order, then those it does not know yet.

        A file of which both the plain and the compressed one are there was being compressed when its recorder died:
        the plain one is whole.
        """
        files = {name: file for name, file in files.items() if name.removesuffix(COMPRESSED) not in {*files} - {name}}
        found, missing = [], []
        for name in promise.names:
            plain = name.removesuffix(COMPRESSED)
            there = next((files.pop(other) for other in (plain, plain + COMPRESSED) if other in files), None)
            if there is not None:
                found.append(there)
            elif plain not in {file.name.removesuffix(COMPRESSED) for file in found}:
                missing.append(name)
        for name in missing[:_SHOWN]:
            self.losses.append(f"{_plain(name)} is missing, although {METADATA_NAME} names it")
        if len(missing) > _SHOWN:
            self.losses.append(f"{len(missing) - _SHOWN} more files that {METADATA_NAME} names are missing")
        return found + sorted(files.values(), key=lambda file: (len(file.name), file.name))  # _9 before _10

    def _segment(self, file: Path, recorded: int) -> Segment:
        """One storage file; ``recorded``: the messages that metadata.yaml promises in it, 0 = not known."""
        try:
            if file.suffix == COMPRESSED:
                file = self._unpack(file)
            segment = open_mcap(file) if file.suffix == STORAGE[0] else open_sqlite(file, self._stack)
        except (OSError, sqlite3.Error, zstandard.ZstdError, UnicodeDecodeError) as error:
            # UnicodeDecodeError: SQLite quotes damaged names in its own errors.
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            segment = Segment([], [], [f"{file.name} cannot be read ({reason})"], whole=False)
        self.losses += segment.losses
        promised = max(recorded, segment.promised)
        of = f" of at least {promised}" if promised > segment.count else ""
        if not segment.whole:
            self.losses.append(f"{file.name}: {segment.count}{of} messages were recovered from it")
        elif of:
            self.losses.append(f"{file.name}: {segment.count}{of} messages that {METADATA_NAME} promises are in it")
        return segment

    def _unpack(self, file: Path) -> Path:
        """The plain file of a compressed one, in a directory that goes when the reader is closed."""
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="edgevl-bag-")))
        plain = directory / file.name.removesuffix(COMPRESSED)
        floor = DiskFloor(directory, _FLOOR_BYTES, free_bytes)
        with file.open("rb") as source, plain.open("wb") as out:
            stream = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
            try:
                while block := stream.read(1 << 20):
                    floor.spend(len(block))
                    out.write(block)
            except zstandard.ZstdError as error:
                self.losses.append(f"{file.name} is damaged ({error}): what comes after that place is lost")
        return plain

    def _hold_against(self, promise: Promise, segments: list[Segment]) -> None:
        """Topics of which the files hold fewer messages than metadata.yaml promises."""
        there: Counter[str] = Counter()
        for segment in segments:
            for topic in segment.topics:
                there[topic.name] += topic.count
        for name, count in promise.by_topic.items():
            if there[name] < count:
                self.losses.append(
                    f"{_plain(name)}: {there[name]} of the {count} messages that {METADATA_NAME} promises are there"
                )

    def _hold_total_against(self, promise: Promise, segments: list[Segment]) -> None:
        """More messages than metadata.yaml counts: it is written last, so the recorder died before it was.

        Of SQLite files that is no sign: what a write-ahead log holds is counted by nobody.
        """
        counted, there = sum(promise.by_topic.values()), sum(segment.count for segment in segments)
        if 0 < counted < there:
            self.losses.append(
                f"{METADATA_NAME} counts {counted} messages, the files hold {there}: its recorder did not end "
                "properly, and what it had not yet written is not there"
            )


def _in_order(blocks: list[Block], wanted: Collection[str], faults: list[str]) -> Iterator[Message]:
    """The messages of all blocks by log time. A block is opened only once its first log time is reached.

    Blocks for which the open ones leave no room are left out; their number is added to ``faults``.
    """
    closed = sorted(enumerate(blocks), key=lambda block: (block[1].start_ns, block[0]), reverse=True)
    heads: list[tuple[int, int, Message, Iterator[Message], int]] = []
    held = left_out = 0
    while closed or heads:
        while closed and (not heads or (closed[-1][1].start_ns, closed[-1][0]) < heads[0][:2]):
            rank, block = closed.pop()
            stream, size = block.read(wanted)
            if held and held + size > MAX_OPEN_BYTES:
                left_out += 1
            elif (first := next(stream, None)) is not None:
                heapq.heappush(heads, (first.stamp_ns, rank, first, stream, size))
                held += size
        if not heads:
            continue
        _, rank, message, stream, size = heads[0]
        yield message
        following = next(stream, None)
        if following is None:
            heapq.heappop(heads)
            held -= size
        else:
            heapq.heapreplace(heads, (following.stamp_ns, rank, following, stream, size))
    if left_out:
        faults.append(
            f"{left_out} chunks are left out: the messages of chunks that overlap in time take more than "
            f"{MAX_OPEN_BYTES} bytes of memory"
        )


def check_given_once(paths: Sequence[Path], what: str = "bags") -> None:
    """Refuse what would count twice, under whatever name.

    Raises:
        UserError: two paths lead to the same place.
    """
    resolved = [path.resolve() for path in paths]
    if twice := sorted({str(path) for path in paths if resolved.count(path.resolve()) > 1}):
        raise UserError(f"{what} given twice: {', '.join(twice)}: name each once")


def is_storage(file: Path) -> bool:
    """Whether the name is that of a bag's storage file."""
    return Path(file.name.removesuffix(COMPRESSED)).suffix in STORAGE


def _of(by_file: dict[str, int], name: str) -> int:
    """What is promised for a file, under its plain or its compressed name."""
    return by_file.get(name, by_file.get(name.removesuffix(COMPRESSED), by_file.get(name + COMPRESSED, 0)))


def _plain(name: str) -> str:
    """A name from a file of unknown origin, fit for one line of a terminal."""
    return name[:120] if name.isprintable() else repr(name)[:120]
