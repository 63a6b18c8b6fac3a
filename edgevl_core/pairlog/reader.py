"""Read any rosbag2: MCAP or SQLite, plain or compressed, whole or damaged.

The only reader of the project. What cannot be read is said in :attr:`BagReader.losses`, never passed over.
"""

import heapq
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader, ReaderError

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.metadata import METADATA_NAME
from edgevl_core.pairlog.segments import Message, Segment, Topic, salvage

__all__ = ["BagReader", "Message", "Topic"]

_INFORMATION = "rosbag2_bagfile_information"
_SUFFIXES = (".mcap", ".db3")
_SCHEMA_ENCODINGS = {MessageDefinitionFormat.MSG: "ros2msg", MessageDefinitionFormat.IDL: "ros2idl"}


class BagReader:
    """A bag opened for reading; a context manager.

    Args:
        path: a rosbag2 directory (metadata.yaml may be missing), or one .mcap or .db3 file.

    Attributes:
        topics: by name, with the number of messages in the bag.
        losses: what is missing or damaged, one plain sentence each; empty for a healthy bag. Damage inside a
            file whose index is whole shows only when :meth:`messages` gets there, and is added then.

    Raises:
        UserError: there is no such path, it is no bag, or no message can be read from it.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.losses: list[str] = []
        self.topics: dict[str, Topic] = {}
        self._stack = ExitStack()
        try:
            self._segments = self._open()
            for segment in self._segments:
                self.losses.extend(segment.losses)
                for topic in segment.topics:
                    empty = Topic(topic.name, topic.msgtype, 0, topic.schema)
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
            UserError: an SQLite or compressed bag turns out to be corrupt.
            KeyError: a name that is not in :attr:`topics`.
        """
        wanted = set(self.topics) if names is None else set(names)
        if unknown := wanted - set(self.topics):
            raise KeyError(f"{self.path} has no topic {sorted(unknown)}")
        # A segment is opened only once its first log time is reached: segments overlap little, and there may
        # be many.
        closed = sorted(self._segments, key=lambda segment: segment.start_ns, reverse=True)
        heads: list[tuple[int, int, Message, Iterator[Message]]] = []
        while closed or heads:
            while closed and (not heads or closed[-1].start_ns <= heads[0][0]):
                stream = closed.pop().messages(wanted)
                if (first := next(stream, None)) is not None:
                    heapq.heappush(heads, (first.stamp_ns, -len(closed), first, stream))
            if not heads:
                continue
            _, rank, message, stream = heads[0]
            yield message
            following = next(stream, None)
            if following is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (following.stamp_ns, rank, following, stream))

    def _open(self) -> list[Segment]:
        if not self.path.exists():
            raise UserError(f"{self.path}: there is no such bag: give a rosbag2 directory or an .mcap file")
        if self.path.is_file():
            if self.path.suffix not in _SUFFIXES:
                raise UserError(f"{self.path} is no bag: give a rosbag2 directory, or an .mcap or .db3 file")
            return [self._file(self.path)]
        information = self._metadata()
        if information.get("compression_mode", "").lower() in ("file", "message"):
            return [self._whole_directory()]
        files = self._files(information)
        if not files:
            raise UserError(f"{self.path} is no bag: it holds no .mcap or .db3 files: give a rosbag2 directory")
        recorded = {f["path"]: f["message_count"] for f in information.get("files") or []}
        return [self._file(file, recorded.get(file.name, 0)) for file in files]

    def _metadata(self) -> dict[str, Any]:
        """metadata.yaml's content, empty (and said to be lost) where it is missing or unreadable."""
        file = self.path / METADATA_NAME
        try:
            content = yaml.safe_load(file.read_text())
            information: dict[str, Any] = content[_INFORMATION]
            return dict(information)
        except FileNotFoundError:
            reason = "is missing"
        except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
            reason = f"is unreadable ({type(error).__name__})"
        if any(f.suffix in _SUFFIXES for f in self.path.iterdir()):
            self.losses.append(f"{METADATA_NAME} {reason}: the storage files were read without it")
        return {}

    def _files(self, information: dict[str, Any]) -> list[Path]:
        """The storage files: those that metadata.yaml names, and those it does not know yet."""
        named = [self.path / Path(p).name for p in information.get("relative_file_paths") or []]
        for file in named:
            if not file.exists():
                self.losses.append(f"{file.name} is missing, although {METADATA_NAME} names it")
        found = [f for f in self.path.iterdir() if f.suffix in _SUFFIXES and f not in named]
        return [f for f in named if f.exists()] + sorted(found, key=lambda f: (len(f.name), f.name))

    def _file(self, file: Path, recorded: int = 0) -> Segment:
        """One storage file; ``recorded``: the messages that metadata.yaml promises in it, 0 = not known."""
        try:
            return self._by_rosbags(file)
        except Exception as error:  # damaged bytes make the library raise anything
            if file.suffix != ".mcap":
                raise UserError(f"{file}: the file cannot be read ({error}): use a copy of it") from error
        segment = salvage(file)
        of = f" of at least {recorded}" if recorded > segment.count else ""
        segment.losses.append(f"{file.name}: {segment.count}{of} messages were recovered from it")
        return segment

    def _whole_directory(self) -> Segment:
        try:
            return self._by_rosbags(self.path)
        except (ReaderError, OSError) as error:
            raise UserError(f"{self.path}: the compressed bag cannot be read: {error}") from error

    def _by_rosbags(self, path: Path) -> Segment:
        reader = Reader(path)
        reader.open()
        self._stack.callback(reader.close)
        topics = [
            Topic(c.topic, c.msgtype, c.msgcount, _schema(c.msgdef.format, c.msgdef.data)) for c in reader.connections
        ]

        def messages(names: Collection[str]) -> Iterator[Message]:
            connections = [c for c in reader.connections if c.topic in names]
            if not connections:  # rosbags takes an empty choice for "everything"
                return
            last_ns, repeats = 0, 0
            try:
                for connection, stamp_ns, data in reader.messages(connections):
                    repeats = repeats + 1 if stamp_ns == last_ns else 1
                    last_ns = stamp_ns
                    yield Message(connection.topic, connection.msgtype, stamp_ns, data)
            except Exception as error:  # damaged bytes make the library raise anything
                yield from self._rest(path, names, last_ns, repeats, error)

        return Segment(topics, reader.start_time, messages)

    def _rest(
        self, path: Path, names: Collection[str], last_ns: int, repeats: int, error: Exception
    ) -> Iterator[Message]:
        """The messages after the last one given out, of a file whose index promised more than can be read."""
        if path.suffix != ".mcap":
            raise UserError(f"{path}: the bag is corrupt ({error}): use a copy of it") from error
        segment = salvage(path)
        self.losses.extend(segment.losses)
        for message in segment.messages(names):
            if message.stamp_ns == last_ns and repeats:
                repeats -= 1
            elif message.stamp_ns >= last_ns:
                yield message


def _schema(kind: MessageDefinitionFormat, text: str) -> tuple[str, str] | None:
    encoding = _SCHEMA_ENCODINGS.get(kind)
    return (encoding, text) if encoding and text else None
