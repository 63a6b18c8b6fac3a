"""What a log holds and how fast it grows, for diagnostics. No ROS; the time is passed in."""

from collections import Counter, deque

NO_ANSWER = "none"
UNKNOWN = "unknown"


class Coverage:
    """Kept pairs by the scene that the classifier saw at their stamp.

    The classifier names the frames it has time for, and answers late: a kept pair gets the answer nearest in time,
    once an answer as late as the pair has come.

    Attributes:
        counts: pairs by label; "none": no answer within ``max_gap_s`` of the pair's stamp.
    """

    def __init__(self, max_gap_s: float = 1.0, horizon_s: float = 10.0) -> None:
        self.counts: Counter[str] = Counter()
        self._max_gap_ns, self._horizon_ns = round(max_gap_s * 1e9), round(horizon_s * 1e9)
        self._answers: deque[tuple[int, str]] = deque()
        self._waiting: deque[int] = deque()

    def kept(self, stamp_ns: int) -> None:
        """A pair was kept."""
        self._begin_anew_if_set_back(stamp_ns)
        self._waiting.append(stamp_ns)
        self._count_answered(stamp_ns)

    def answered(self, stamp_ns: int, label: str) -> None:
        """The classifier has named the frame of that stamp."""
        self._begin_anew_if_set_back(stamp_ns)
        self._answers.append((stamp_ns, label))
        self._count_answered(stamp_ns)

    def finish(self) -> None:
        """No answer comes any more: settle the pairs that wait."""
        while self._waiting:
            self._count(self._waiting.popleft())

    def _begin_anew_if_set_back(self, stamp_ns: int) -> None:
        newest_ns = max([at for at, _ in list(self._answers)[-1:]] + list(self._waiting)[-1:], default=stamp_ns)
        if stamp_ns < newest_ns - self._horizon_ns:
            self.finish()
            self._answers.clear()

    def _count_answered(self, newest_ns: int) -> None:
        answered_ns = self._answers[-1][0] if self._answers else newest_ns - self._horizon_ns
        while self._waiting and self._waiting[0] <= max(answered_ns, newest_ns - self._horizon_ns):
            self._count(self._waiting.popleft())
        while self._answers and self._answers[0][0] < newest_ns - self._horizon_ns:
            self._answers.popleft()

    def _count(self, stamp_ns: int) -> None:
        gap_ns, label = min(((abs(at - stamp_ns), label) for at, label in self._answers), default=(0, NO_ANSWER))
        self.counts[label if gap_ns <= self._max_gap_ns else NO_ANSWER] += 1


class ByteRate:
    """How fast a size grows, over the last ``window`` samples."""

    def __init__(self, window: int = 11) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=window)

    def sample(self, now_s: float, size_bytes: int) -> None:
        if self._samples and size_bytes < self._samples[-1][1]:
            self._samples.clear()  # another log
        self._samples.append((now_s, size_bytes))

    def mb_per_s(self) -> float:
        """Megabytes (10^6) a second; 0 before the second sample."""
        if len(self._samples) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / 1e6 / (last_s - first_s) if last_s > first_s else 0.0
