"""What a storage file of a bag is to its reader: topics with the counts that it promises, and blocks of messages."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from edgevl_core.base.errors import one_line

CDR = "cdr"
"""The encoding of ROS 2's messages; other channels of a file ("json", "protobuf") are no ROS topics."""
MAX_OPEN_BYTES = 1 << 29
"""The most that the messages of all blocks may take that are open at the same time. A few megabytes as a rule."""


@dataclass(frozen=True)
class Message:
    """One serialised message: ``stamp_ns`` is the bag's log time, ``data`` its bytes in the topic's encoding."""

    topic: str
    msgtype: str
    stamp_ns: int
    data: bytes


@dataclass
class Topic:
    """A topic of a bag; ``schema`` is (encoding, definition), None where the bag carries none.

    ``name`` and ``msgtype`` are one plain line, whatever stands in the file: they are shown in many places.
    """

    name: str
    msgtype: str
    count: int
    schema: tuple[str, str] | None = None
    encoding: str = CDR

    def __post_init__(self) -> None:
        self.name, self.msgtype = one_line(self.name), one_line(self.msgtype)


@dataclass(frozen=True)
class Block:
    """Messages that are read at once: ``read(names)`` gives those of the topics ``names``, in log-time order.

    Beside them, how many bytes they take until the last one is given; 0: they are read one by one. No message is
    earlier than ``start_ns``. What cannot be read is added to the faults of the segment.
    """

    start_ns: int
    read: Callable[[Collection[str]], tuple[Iterator[Message], int]]


def _nothing() -> Iterator[Any]:
    return iter(())


@dataclass
class Segment:
    """A storage file's content.

    Attributes:
        topics: with the number of messages that the file promises, or that were counted in it; several may have a name.
        losses: what was seen to be lost when it was opened, in plain words.
        faults: what is found damaged while its blocks are read, in plain words.
        whole: the file was closed by its writer, and no place in it is known to be damaged.
        promised: messages in it by its own account; 0: it does not say.
        extras: its attachments and metadata, as records of the mcap library.
    """

    topics: list[Topic]
    blocks: list[Block]
    losses: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    whole: bool = True
    promised: int = 0
    extras: Callable[[], Iterator[Any]] = _nothing

    @property
    def count(self) -> int:
        return sum(topic.count for topic in self.topics)
