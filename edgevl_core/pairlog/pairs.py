"""From a bag to RGB-D pairs: which messages belong together, decoded, with the truth if recorded."""

from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.camera.depth import MeasuredDepth, decode_depth, to_metres
from edgevl_core.camera.images import ImageFormatError, decode_rgb
from edgevl_core.camera.registration import Window, cut
from edgevl_core.pairing.clock import FAR_NS
from edgevl_core.pairing.pair_matcher import Dropped, Event, Pair, PairMatcher
from edgevl_core.pairlog.calibration import bag_registration, info_topics, read_calibration
from edgevl_core.pairlog.cdr_header import stamp_ns_or_none
from edgevl_core.pairlog.doubts import picture_doubts
from edgevl_core.pairlog.facts import log_facts
from edgevl_core.pairlog.offset import offset_advice
from edgevl_core.pairlog.reader import BagReader, Message
from edgevl_core.pairlog.streams import Streams, find_streams
from edgevl_core.pairlog.types import SCENE_TRUTH, BrokenMessage, deserialize, header_stamp_ns

__all__ = [
    "PairReader",
    "PairSettings",
    "RecordedPair",
    "RgbdPair",
    "Streams",
    "Truth",
    "UnreadableImage",
    "find_streams",
    "read_pairs",
]

RGB, DEPTH = 0, 1
_STREAM_NAMES = ("rgb", "depth")
_TRUTH_WAIT_NS = 2_000_000_000
MAX_SKEW_S = 0.02


@dataclass(frozen=True)
class PairSettings:
    """What is taken from a bag: topics (None: found by type), and the largest skew of a pair in seconds, inclusive."""

    rgb: str | None = None
    depth: str | None = None
    max_skew_s: float = MAX_SKEW_S

    def read(self, path: Path | str) -> "PairReader":
        """The pairs of a bag; see :func:`read_pairs`."""
        return PairReader(path, self.rgb, self.depth, self.max_skew_s)


def expected_pairs(path: Path | str, settings: PairSettings = PairSettings()) -> int:
    """Upper bound of the pairs in a bag, from its index alone.

    Raises:
        UserError: it cannot be read, has no RGB or no depth, or several that fit equally.
    """
    with BagReader(path) as reader:
        streams = find_streams(reader, settings.rgb, settings.depth)
        return min(reader.topics[streams.rgb].count, reader.topics[streams.depth].count)


@dataclass(frozen=True)
class Truth:
    """The true room of a pair, for evaluation only; ``furniture_fraction`` of the pixels, 0..1."""

    room: str
    home: str
    furniture_fraction: float


@dataclass(frozen=True)
class RgbdPair:
    """One pair, decoded. ``stamp_ns`` is the RGB image's header stamp.

    Attributes:
        rgb: (H, W, 3) uint8 RGB, possibly a read-only view.
        depth: (H', W') in the camera's unit, see :data:`edgevl_core.camera.depth.MeasuredDepth`; at its own resolution,
            cut to RGB's field of view where the bag's camera_info say how
            (:class:`edgevl_core.camera.registration.Registration`).
        skew_s: |RGB stamp - depth stamp|, seconds.
    """

    stamp_ns: int
    rgb: NDArray[np.uint8]
    depth: MeasuredDepth
    skew_s: float
    truth: Truth | None

    @property
    def depth_m(self) -> NDArray[np.float32]:
        """(H', W') float32 metres, NaN = invalid."""
        return to_metres(self.depth)


class UnreadableImage(ValueError):
    """An image of a pair that cannot be decoded; the text says which and why."""

    def __init__(self, stream: Literal["rgb", "depth"], reason: str) -> None:
        super().__init__(f"{stream}: {reason}")
        self.stream = stream


@dataclass(frozen=True)
class RecordedPair:
    """One pair as it stands in the bag. Decoding is what costs time: :meth:`decode` may run in any thread.

    ``window``: the part of depth that RGB sees; None: all of it.
    """

    stamp_ns: int
    rgb: Message
    depth: Message
    skew_s: float
    truth: Truth | None
    window: Window | None

    def decode(self) -> RgbdPair:
        """The pair with its images.

        Raises:
            UnreadableImage: one of them is broken, empty, or of an encoding that is not known.
        """
        rgb, depth = self.decode_rgb(), _image("depth", self.depth, decode_depth)
        return RgbdPair(self.stamp_ns, rgb, cut(depth, self.window), self.skew_s, self.truth)

    def decode_rgb(self) -> NDArray[np.uint8]:
        """The RGB image alone, (H, W, 3) uint8.

        Raises:
            UnreadableImage: as :meth:`decode`.
        """
        return _image("rgb", self.rgb, decode_rgb)


class PairReader(Iterator[RgbdPair]):
    """Iterates over the pairs of a bag in time order, decoding only what is paired; see :func:`read_pairs`.

    A pair with a broken image is passed over and counted: one bad frame must not end a drive.

    Attributes:
        stats: complete once the iteration has ended: "pairs"; messages dropped, as "rgb unmatched", "depth
            back_in_time" and so on; pairs lost to a broken image, and messages without a readable header, as "rgb
            unreadable" or "depth unreadable".
        without_header: messages so short that they hold no stamp; they are in no pair.
        losses: what the bag has lost (:attr:`BagReader.losses`), and images with wrong stamps, complete once the
            iteration has ended.
        doubts: what may be wrong with the bag, one sentence each; complete once the iteration has ended.
        streams: the topics used; expected: upper bound of the pairs in them.
        registration: whether depth is registered to RGB, by the bag's camera_info.
    """

    def __init__(self, path: Path | str, rgb: str | None, depth: str | None, max_skew_s: float) -> None:
        self.stats: Counter[str] = Counter()
        self._reader = BagReader(path)
        try:
            self.streams = find_streams(self._reader, rgb, depth)
            self._calibration = read_calibration(self._reader, self.streams)
            said = log_facts(self._reader).get("registered", "")
            self.registration = bag_registration(self._calibration, said)
            doubts = picture_doubts(self._reader, self.streams)
            self._infos = info_topics(self._reader, self.streams)
            self.expected = min(self._reader.topics[name].count for name in (self.streams.rgb, self.streams.depth))
        except BaseException:
            self._reader.close()
            raise
        self.losses = self._reader.losses
        self.path = Path(path)
        self.max_skew_s = max_skew_s
        self.doubts = doubts
        self._max_skew_ns = round(max_skew_s * 1e9)
        self._unmatched = (array("q"), array("q"))  # stamps, while there is no pair
        self._paired_any = False
        self.without_header = 0
        self._matcher: PairMatcher[Message] = PairMatcher(max_skew_s)
        self._truths: deque[tuple[int, Truth]] = deque()
        self._recorded = self._read()

    def __next__(self) -> RgbdPair:
        for recorded in self._recorded:
            try:
                pair = recorded.decode()
            except UnreadableImage as fault:
                self.stats[f"{fault.stream} unreadable"] += 1
            else:
                self.stats["pairs"] += 1
                return pair
        raise StopIteration

    def no_pairs(self) -> UserError:
        """What to say of a bag in which no pair was found; the iteration has ended."""
        advice = offset_advice(*self._unmatched)
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.stats.items())
        return UserError(
            f"{self.path}: no RGB and depth images within {self.max_skew_s:g} s of each other ({self.streams.rgb}, "
            f"{self.streams.depth}; {dropped}): {advice or 'check the stamps'}"
        )

    def recorded(self) -> Iterator[RecordedPair]:
        """The same pairs before decoding, for who decodes elsewhere; "pairs" and "unreadable" are then not counted."""
        return self._recorded

    def _read(self) -> Iterator[RecordedPair]:
        streams = self.streams
        number = {streams.rgb: RGB, streams.depth: DEPTH}
        names = {streams.rgb, streams.depth, *self._infos} | ({streams.truth} if streams.truth else set())
        ready: deque[Pair[Message]] = deque()  # pairs that wait for the truth of their moment
        with self._reader:
            for message in self._reader.messages(names):
                if message.topic == streams.truth:
                    self._add_truth(message)
                elif message.topic in self._infos:
                    self._add_info(message)
                elif (stamp_ns := stamp_ns_or_none(message.data)) is None:
                    self.stats[f"{_STREAM_NAMES[number[message.topic]]} unreadable"] += 1
                    self.without_header += 1
                else:
                    ready.extend(self._paired(self._matcher.push(number[message.topic], stamp_ns, message)))
                while ready and self._truth_is_known(ready[0].stamp_ns, ready[-1].stamp_ns):
                    yield self._with_truth(ready.popleft())
            ready.extend(self._paired(self._matcher.flush()))
            while ready:
                yield self._with_truth(ready.popleft())
        self.losses += self._matcher.time_losses()
        self.doubts += self._matcher.pauses() + self._calibration.finder.changes

    def _paired(self, events: list[Event[Message]]) -> Iterator[Pair[Message]]:
        for event in events:
            if isinstance(event, Dropped):
                self.stats[f"{_STREAM_NAMES[event.stream]} {event.reason}"] += 1
                if not self._paired_any:
                    self._unmatched[event.stream].append(event.stamp_ns)
            else:
                self._paired_any = True
                yield event

    def _with_truth(self, pair: Pair[Message]) -> RecordedPair:
        truth = self._truth_of(pair.stamp_ns)
        return RecordedPair(pair.stamp_ns, pair.a, pair.b, pair.skew_s, truth, self.registration.window)

    def _add_info(self, message: Message) -> None:
        try:
            self._calibration.add(self._infos[message.topic], message.data)
        except BrokenMessage:
            self.stats["camera_info unreadable"] += 1

    def _add_truth(self, message: Message) -> None:
        try:
            truth = deserialize(message.data, SCENE_TRUTH)
        except BrokenMessage:
            self.stats["truth unreadable"] += 1
            return
        fraction = float(truth.furniture_fraction)
        self._truths.append((header_stamp_ns(truth), Truth(truth.room, truth.home, fraction)))

    def _truth_is_known(self, stamp_ns: int, newest_ns: int) -> bool:
        """Whether it is pointless to wait for a truth: it has come, or the images are far from it by now."""
        if self.streams.truth is None or abs(newest_ns - stamp_ns) > _TRUTH_WAIT_NS:
            return True
        return bool(self._truths) and self._truths[-1][0] >= stamp_ns

    def _truth_of(self, stamp_ns: int) -> Truth | None:
        """The truth nearest in time, within max_skew; older ones are forgotten: pairs come in time order."""
        # What lies far ahead is from before the clock was set back.
        while self._truths and not -self._max_skew_ns <= self._truths[0][0] - stamp_ns <= FAR_NS:
            self._truths.popleft()
        near = [(abs(at - stamp_ns), truth) for at, truth in self._truths if at <= stamp_ns + self._max_skew_ns]
        return min(near, key=lambda entry: entry[0])[1] if near else None


def read_pairs(
    path: Path | str, *, rgb: str | None = None, depth: str | None = None, max_skew_s: float = MAX_SKEW_S
) -> PairReader:
    """The RGB-D pairs of any rosbag2, by header stamps, as :class:`PairMatcher` pairs a live stream.

    Args:
        path: a bag directory or file, see :class:`BagReader`.
        rgb, depth: topics, found by type when None.
        max_skew_s: largest difference of the two header stamps, inclusive; for the truth as well.

    Raises:
        UserError: no such bag, nothing in it, or a stream is missing (at once, not at the first pair).
    """
    return PairReader(path, rgb, depth, max_skew_s)


def _image(stream: Literal["rgb", "depth"], message: Message, decode: Callable[[Any], NDArray[Any]]) -> NDArray[Any]:
    try:
        return decode(deserialize(message.data, message.msgtype))
    except ImageFormatError as error:
        raise UnreadableImage(stream, str(error)) from error
