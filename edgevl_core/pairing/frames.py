"""From two image streams to the frames that are classified: RGB and depth together, or one alone. No ROS.

A frame is complete the moment its second image comes (PairMatcher's ``eager``): an answer about the present cannot
wait for the next frame to be sure that no closer partner comes.

When one stream has been silent for ``fallback_after_s`` while the other goes on, the other's images are
frames of their own. When both come without a pair for so long, RGB's are. The matcher goes on meanwhile, and its
first pair ends this: so what makes no pair, as depth that always comes too late, cannot stop RGB's frames.
"""

from collections import Counter
from dataclasses import dataclass
from operator import attrgetter

from edgevl_core.pairing.pair_matcher import UNMATCHED, Event, Pair, PairMatcher
from edgevl_core.pairing.unpaired import Unpaired

RGB, DEPTH = 0, 1
NAMES = ("rgb", "depth")
MAX_WAITING = 10
HORIZON_S = 1.0


@dataclass(frozen=True, eq=False)  # each equals itself only: their bytes are not to be compared
class Received:
    """One serialised image and when it came (monotonic clock)."""

    stamp_ns: int
    cdr: bytes
    received_s: float

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.cdr)


@dataclass(frozen=True)
class Frame:
    """What is classified at once; at least one of the two is there."""

    rgb: Received | None
    depth: Received | None

    @property
    def lead(self) -> Received:
        """The image whose stamp and frame_id the answer carries: RGB where there is one."""
        lead = self.rgb or self.depth
        if lead is None:
            raise ValueError("a frame without an image")
        return lead

    @property
    def complete_s(self) -> float:
        """When the last of its images had come."""
        return max(image.received_s for image in (self.rgb, self.depth) if image is not None)


class FrameSource:
    """Turns received images into frames, and counts.

    Args:
        use_rgb, use_depth: the streams there are; with one, each of its images is a frame.
        max_skew_s: largest difference of stamps within a pair, inclusive.
        fallback_after_s: how long the other stream must have been silent, or there was no pair.

    Attributes:
        counts: "pairs", "rgb_alone", "depth_alone", and by stream what PairMatcher dropped: "rgb_unmatched",
            "depth_late" …; with ``waiting`` they account for every image.
        unpaired: the stamps since the last pair.
    """

    def __init__(self, use_rgb: bool, use_depth: bool, max_skew_s: float, fallback_after_s: float) -> None:
        self.counts: Counter[str] = Counter()
        self.unpaired = Unpaired(max_skew_s)
        self._both = use_rgb and use_depth
        self._matcher: PairMatcher[Received] = PairMatcher(
            max_skew_s, horizon_s=HORIZON_S, max_pending=MAX_WAITING, eager=True, size_of=attrgetter("size")
        )
        self._fallback_after_s = fallback_after_s
        self._alone_since_s: list[float | None] = [None, None]
        self._unpaired_since_s: float | None = None
        self._answered: set[Received] = set()  # RGB that was a frame of its own, and is with the matcher still

    @property
    def frames(self) -> int:
        """Frames so far, however many images they had."""
        return sum(self.counts[name] for name in ("pairs", "rgb_alone", "depth_alone"))

    @property
    def clock_jumps(self) -> tuple[int, str]:
        """How often the clock was set, or a recording started again; the last time in words."""
        return self._matcher.jump_count, self._matcher.last_jump

    @property
    def waiting(self) -> int:
        """Images that wait for their partner."""
        # Another thread may read while an image leaves the one and is in the other still.
        return max(0, self._matcher.pending - len(self._answered))

    def push(self, stream: int, image: Received) -> list[Frame]:
        """Add an image of stream RGB or DEPTH; the frames that are complete now.

        More than one where images were held back, as after a stamp far ahead of the clock.
        """
        if not self._both:
            return self._alone(stream, image)
        if self._is_alone(stream, image.received_s):
            self._begin_anew()
            return self._alone(stream, image)
        gives_no_pairs = self._gives_no_pairs(image.received_s)
        in_reach = self.unpaired.in_reach(stream, image.stamp_ns, HORIZON_S)
        self.unpaired.add(stream, image.stamp_ns)
        if gives_no_pairs and not in_reach:  # stamps of two clocks: the matcher would take them for jumps
            if stream == RGB:
                return self._alone(stream, image)
            self.counts[f"{NAMES[stream]}_{UNMATCHED}"] += 1
            return self._frames_of(self._matcher.flush())
        events = self._matcher.push(stream, image.stamp_ns, image)
        if gives_no_pairs and stream == RGB and not any(isinstance(e, Pair) and e.a is image for e in events):
            self._answered.add(image)
            self.counts["rgb_alone"] += 1
            return [*self._frames_of(events), Frame(image, None)]
        return self._frames_of(events)

    def _alone(self, stream: int, image: Received) -> list[Frame]:
        frames = self._frames_of(self._matcher.flush())
        self.counts[f"{NAMES[stream]}_alone"] += 1
        return [*frames, Frame(image, None) if stream == RGB else Frame(None, image)]

    def _frames_of(self, events: list[Event[Received]]) -> list[Frame]:
        """Count the events."""
        frames = []
        for event in events:
            if isinstance(event, Pair):
                self._begin_anew()
                if event.a in self._answered:
                    self._answered.remove(event.a)
                    self.counts[f"{NAMES[DEPTH]}_{UNMATCHED}"] += 1
                    continue
                self.counts["pairs"] += 1
                frames.append(Frame(event.a, event.b))
            elif event.item in self._answered:
                self._answered.remove(event.item)
            else:
                self.counts[f"{NAMES[event.stream]}_{event.reason}"] += 1
        return frames

    def _is_alone(self, stream: int, now_s: float) -> bool:
        self._alone_since_s[1 - stream] = None
        since_s = self._alone_since_s[stream]
        if since_s is None:
            self._alone_since_s[stream] = since_s = now_s
        return now_s - since_s > self._fallback_after_s

    def _begin_anew(self) -> None:
        self.unpaired.clear()
        self._unpaired_since_s = None

    def _gives_no_pairs(self, now_s: float) -> bool:
        """Whether both streams have come for long without a pair."""
        if self._unpaired_since_s is None:
            self._unpaired_since_s = now_s
        return self.unpaired.is_long() and now_s - self._unpaired_since_s > self._fallback_after_s
