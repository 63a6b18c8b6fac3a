"""From two image streams to the frames that are classified: RGB and depth together, or one alone. No ROS.

A frame is complete the moment its second image comes. PairMatcher, which the logger uses, gives the best
pairs but waits for the next frame to be sure where stamps differ; an answer about the present cannot
wait. With equal stamps, and with skews below half a frame period, both give the same pairs.

When one stream has been silent for ``fallback_after_s`` while the other goes on, the other's images are
frames of their own.
"""

from collections import Counter
from dataclasses import dataclass

RGB, DEPTH = 0, 1
NAMES = ("rgb", "depth")
MAX_WAITING = 10
MAX_WAIT_S = 1.0


@dataclass(frozen=True)
class Received:
    """One serialised image and when it came (monotonic clock)."""

    stamp_ns: int
    cdr: bytes
    received_s: float


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
        fallback_after_s: how long the other stream must have been silent.

    Attributes:
        counts: "pairs", "rgb_alone", "depth_alone", "rgb_unmatched", "depth_unmatched"; together they
        account for
            every image, but for those that still wait for their partner.
    """

    def __init__(self, use_rgb: bool, use_depth: bool, max_skew_s: float, fallback_after_s: float) -> None:
        self.counts: Counter[str] = Counter()
        self._both = use_rgb and use_depth
        self._max_skew_ns = round(max_skew_s * 1e9)
        self._fallback_after_s = fallback_after_s
        self._waiting: tuple[list[Received], list[Received]] = ([], [])
        self._alone_since_s: list[float | None] = [None, None]

    def push(self, stream: int, image: Received) -> Frame | None:
        """Add an image of stream RGB or DEPTH; returns the frame that it completes, if any."""
        if not self._both or self._is_alone(stream, image.received_s):
            self.counts[f"{NAMES[stream]}_alone"] += 1
            return Frame(image, None) if stream == RGB else Frame(None, image)
        partner = self._take_partner(1 - stream, image.stamp_ns)
        if partner is not None:
            self._give_up(stream, len(self._waiting[stream]))  # they came before one that is answered
            self.counts["pairs"] += 1
            return Frame(image, partner) if stream == RGB else Frame(partner, image)
        self._waiting[stream].append(image)
        self._give_up(stream, len(self._waiting[stream]) - MAX_WAITING)
        self.expire(image.received_s)
        return None

    def expire(self, now_s: float) -> None:
        """Count as unmatched what has waited too long for a partner."""
        for stream, images in enumerate(self._waiting):
            self._give_up(stream, sum(now_s - image.received_s > MAX_WAIT_S for image in images))

    def _is_alone(self, stream: int, now_s: float) -> bool:
        self._alone_since_s[1 - stream] = None
        since_s = self._alone_since_s[stream]
        if since_s is None:
            self._alone_since_s[stream] = since_s = now_s
        return now_s - since_s > self._fallback_after_s

    def _take_partner(self, stream: int, stamp_ns: int) -> Received | None:
        images = self._waiting[stream]
        best = min(images, key=lambda image: abs(image.stamp_ns - stamp_ns), default=None)
        if best is None or abs(best.stamp_ns - stamp_ns) > self._max_skew_ns:
            return None
        self._give_up(stream, images.index(best))
        return images.pop(0)

    def _give_up(self, stream: int, count: int) -> None:
        if count > 0:
            self.counts[f"{NAMES[stream]}_unmatched"] += count
            del self._waiting[stream][:count]
