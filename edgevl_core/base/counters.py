"""Counts and rates for diagnostics; the time is passed in."""

from collections import deque


class StreamCount:
    """Messages received on one topic: how many, how fast, how long ago (``now_s``: monotonic clock)."""

    def __init__(self, window: int = 30) -> None:
        self.received = 0
        self.bytes = 0
        self._times: deque[float] = deque(maxlen=window)

    def add(self, size: int, now_s: float) -> None:
        self.received += 1
        self.bytes += size
        self._times.append(now_s)

    def age_s(self, now_s: float) -> float:
        """Seconds since the last message; infinity before the first."""
        return now_s - self._times[-1] if self._times else float("inf")

    def rate_hz(self, now_s: float) -> float:
        """Messages a second over the window; falls towards 0 once the stream stops."""
        if len(self._times) < 2:
            return 0.0
        span_s = max(self._times[-1], now_s - self._mean_period_s()) - self._times[0]
        return (len(self._times) - 1) / span_s if span_s > 0 else 0.0

    def _mean_period_s(self) -> float:
        return (self._times[-1] - self._times[0]) / (len(self._times) - 1)
