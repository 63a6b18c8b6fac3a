"""Which frames are worth classifying: none while nobody listens, no more than a rate allows. No ROS, no clock."""

import math
from collections import Counter

IDLE, RATE_LIMITED = "idle", "rate_limited"


class RateLimit:
    """Lets through one event in each period of 1 / ``max_rate_hz`` seconds; 0 lets all through.

    The periods lie on a grid with the first event in the middle of one: a stream as fast as the limit passes whole,
    though its arrivals jitter, and a faster one is thinned to the limit and not below.
    """

    def __init__(self, max_rate_hz: float) -> None:
        self._max_rate_hz = max_rate_hz
        self._first_s: float | None = None
        self._period = -1

    def admits(self, now_s: float) -> bool:
        """Whether an event at ``now_s`` (it never goes back) gets through."""
        if self._first_s is None:
            self._first_s = now_s
        period = math.floor((now_s - self._first_s) * self._max_rate_hz + 0.5)
        if self._max_rate_hz and period == self._period:
            return False
        self._period = period
        return True


class Gate:
    """Turns frames away, and counts them by reason.

    Attributes:
        counts: "idle", "rate_limited".
    """

    def __init__(self, max_rate_hz: float) -> None:
        self.counts: Counter[str] = Counter({IDLE: 0, RATE_LIMITED: 0})
        self._limit = RateLimit(max_rate_hz)

    def admits(self, now_s: float, wanted: bool) -> bool:
        """Whether a frame that was complete at ``now_s`` is worked on; ``wanted``: somebody listens."""
        if not wanted:
            self.counts[IDLE] += 1
            return False
        if not self._limit.admits(now_s):
            self.counts[RATE_LIMITED] += 1
            return False
        return True
