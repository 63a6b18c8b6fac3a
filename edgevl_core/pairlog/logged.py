"""What goes into a log: its topics, and what they are there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LoggedTopic:
    """Where a stream's messages go in the bag, and what they are there (``sensor_msgs/msg/Image``).

    Attributes:
        received: their type as they arrive.
        change: from a message that has arrived to the one in the bag, of an image from one Decoded to another; None:
            its bytes as they are.
        between: a companion whose messages before and after a kept image are written, not those of its very stamp.
    """

    name: str
    msgtype: str
    received: str
    change: Callable[[Any], Any] | None = None
    between: bool = False


@dataclass(frozen=True)
class Logged:
    """What goes into a log.

    Attributes:
        rgb: None where depth alone is logged: every depth image then is a pair of its own.
        rgb_companions, depth_companions: further topics by name of stream, written at the stamps of kept RGB or
            depth images.
        facts: what the log says of itself.
    """

    rgb: LoggedTopic | None
    depth: LoggedTopic
    rgb_companions: Mapping[str, LoggedTopic] = field(default_factory=dict)
    depth_companions: Mapping[str, LoggedTopic] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
