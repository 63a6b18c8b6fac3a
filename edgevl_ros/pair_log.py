"""One logging session: streams of serialised messages in, well-chosen RGB-D pairs out to a rosbag2. No ROS.

Pairs are found by stamp, then judged by the keep-rule, then written as the bytes that arrived. Messages
that go with a pair (camera_info, truth) are written where their stamp is the RGB image's, whichever of
them arrives first.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgevl_core.depth import decode_depth
from edgevl_core.images import decode_rgb
from edgevl_core.pairing import Event, Pair, PairMatcher
from edgevl_core.pairlog.keep import KeepRule
from edgevl_core.pairlog.types import deserialize
from edgevl_core.pairlog.writer import BagWriter
from edgevl_ros.counters import Recent

RGB, DEPTH = 0, 1
UNREADABLE = "unreadable"
COMPANION_HORIZON_NS = 2_000_000_000


@dataclass(frozen=True)
class LoggedTopic:
    """Where a stream's messages go in the bag, and what they are (``sensor_msgs/msg/Image``)."""

    name: str
    msgtype: str


class Companions:
    """Brings messages of one side stream together with the kept stamps, in whichever order the two arrive.

    Both memories are bounded: what is older than the horizon is forgotten.
    """

    def __init__(self, write: Callable[[bytes, int], None]) -> None:
        self._write = write
        self._arrived: dict[int, bytes] = {}
        self._wanted: set[int] = set()

    def arrived(self, stamp_ns: int, cdr: bytes) -> None:
        if stamp_ns in self._wanted:
            self._wanted.remove(stamp_ns)
            self._write(cdr, stamp_ns)
            return
        self._arrived[stamp_ns] = cdr
        for old in [stamp for stamp in self._arrived if stamp < stamp_ns - COMPANION_HORIZON_NS]:
            del self._arrived[old]

    def kept(self, stamp_ns: int) -> None:
        cdr = self._arrived.pop(stamp_ns, None)
        if cdr is not None:
            self._write(cdr, stamp_ns)
            return
        self._wanted = {stamp for stamp in self._wanted if stamp >= stamp_ns - COMPANION_HORIZON_NS}
        self._wanted.add(stamp_ns)


class PairLog:
    """A bag being written; used by one thread.

    Args:
        path: the bag's directory, which must not exist (UserError).
        rgb, depth: their topics in the bag.
        companions: further topics by name of stream, written at the stamps of kept RGB images.
        matcher, keep: the pairing and the keep-decision.
        open_writer: makes the bag's writer from its path (segment sizes and the like are the caller's).
    """

    def __init__(
        self,
        path: Path,
        rgb: LoggedTopic,
        depth: LoggedTopic,
        companions: dict[str, LoggedTopic],
        matcher: PairMatcher[bytes],
        keep: KeepRule,
        open_writer: Callable[[Path], BagWriter],
    ) -> None:
        self.path = path
        self.pairs_kept = 0
        # A copy: the writer's own may not be asked from another thread while it closes.
        self.bytes_written = 0
        self.dropped: Counter[str] = Counter()
        self.skew_s = Recent()
        self._rgb, self._depth = rgb, depth
        self._matcher, self._keep = matcher, keep
        self._writer = open_writer(path)
        self._companions: dict[str, Companions] = {}
        for topic in (rgb, depth, *companions.values()):
            self._writer.add_topic(topic.name, topic.msgtype)
        for stream, topic in companions.items():
            self._companions[stream] = Companions(
                lambda cdr, stamp_ns, name=topic.name: self._writer.write(name, cdr, stamp_ns)
            )

    def add_image(self, stream: int, stamp_ns: int, cdr: bytes) -> None:
        """A message of stream RGB or DEPTH."""
        self._handle(self._matcher.push(stream, stamp_ns, cdr))

    def add_companion(self, stream: str, stamp_ns: int, cdr: bytes) -> None:
        """A message of one of the companion streams."""
        self._companions[stream].arrived(stamp_ns, cdr)

    def flush(self) -> None:
        """Make durable what was written."""
        self._writer.sync()

    def close(self) -> None:
        """Decide the pairs still open, write them, close the bag."""
        try:
            self._handle(self._matcher.flush())
        finally:
            self._writer.close()
            self.bytes_written = self._writer.bytes_written

    def _handle(self, events: list[Event[bytes]]) -> None:
        for event in events:
            if isinstance(event, Pair):
                self._judge(event)
            else:
                self.dropped[("rgb " if event.stream == RGB else "depth ") + event.reason] += 1

    def _judge(self, pair: Pair[bytes]) -> None:
        self.skew_s.add(pair.skew_s)
        reason = self._keep.too_soon(pair.stamp_ns)
        if reason is None:
            reason = self._verdict(pair)
        if reason is not None:
            self.dropped[reason] += 1
            return
        self._writer.write(self._rgb.name, pair.a, pair.a_stamp_ns)
        self._writer.write(self._depth.name, pair.b, pair.b_stamp_ns)
        for companions in self._companions.values():
            companions.kept(pair.a_stamp_ns)
        self.pairs_kept += 1
        self.bytes_written = self._writer.bytes_written

    def _verdict(self, pair: Pair[bytes]) -> str | None:
        try:
            rgb = decode_rgb(deserialize(pair.a, self._rgb.msgtype))
            depth_m = decode_depth(deserialize(pair.b, self._depth.msgtype))
        except ValueError:  # what no training could read is not worth a log; ImageFormatError is a ValueError
            return UNREADABLE
        return self._keep.decide(pair.stamp_ns, rgb, depth_m)
