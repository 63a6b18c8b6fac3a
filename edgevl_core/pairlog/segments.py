"""What a storage file of a bag is to its reader: topics with the counts that it promises, and blocks of messages."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

CDR = "cdr"
"""The encoding of ROS 2's messages; other channels of a file ("json", "protobuf") are no ROS topics."""


@dataclass(frozen=True)
class Message:
    """One serialised message: ``stamp_ns`` is the bag's log time, ``data`` its bytes in the topic's encoding."""

    topic: str
    msgtype: str
    stamp_ns: int
    data: bytes


@dataclass
class Topic:
    """A topic of a bag; ``schema`` is (encoding, definition), None where the bag carries none."""

    name: str
    msgtype: str
    count: int
    schema: tuple[str, str] | None = None
    encoding: str = CDR


@dataclass(frozen=True)
class Block:
    """Messages that are read at once: ``read(names)`` gives those of the topics ``names``, in log-time order.

    No message is earlier than ``start_ns``. What cannot be read is added to the faults of the segment.
    """

    start_ns: int
    read: Callable[[Collection[str]], Iterator[Message]]


def _nothing() -> Iterator[Any]:
    return iter(())


@dataclass
class Segment:
    """A storage file's content.

    Attributes:
        topics: with the number of messages that the file promises, or that were counted in it.
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
