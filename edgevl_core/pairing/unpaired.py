"""Two streams that both come, and give no pair."""

from collections import deque

RECENT = 50
FEW = 5
"""So many images of each without a pair may be chance, or a slow camera."""


class Unpaired:
    """The stamps of two streams since their last pair; one thread writes, others read.

    Args:
        max_skew_s: largest difference of stamps within a pair, inclusive.
    """

    def __init__(self, max_skew_s: float) -> None:
        self.max_skew_s = max_skew_s
        self._max_skew_ns = round(max_skew_s * 1e9)
        self._first_ns: list[int | None] = [None, None]
        self._latest: tuple[deque[int], deque[int]] = (deque(maxlen=RECENT), deque(maxlen=RECENT))

    def add(self, stream: int, stamp_ns: int) -> None:
        """An image of stream 0 or 1."""
        if self._first_ns[stream] is None:
            self._first_ns[stream] = stamp_ns
        self._latest[stream].append(stamp_ns)

    def clear(self) -> None:
        """There was a pair, or one of the two is silent."""
        self._first_ns = [None, None]
        for stamps in self._latest:
            stamps.clear()

    def latest(self) -> tuple[list[int], list[int]]:
        """The latest stamps of each, at most RECENT, as they came."""
        return list(self._latest[0]), list(self._latest[1])

    def is_long(self, seconds: float = 0.0) -> bool:
        """Whether each has sent more than a few images since the last pair, over so many ``seconds`` by their stamps.

        By each stream's own stamps: slow cameras and a recording that plays slowly have the time that they need.
        """
        first, latest = self._first_ns, self.latest()
        return all(
            begin is not None and len(stamps) >= FEW and abs(stamps[-1] - begin) >= seconds * 1e9
            for begin, stamps in zip(first, latest)
        )

    def fits(self, stream: int, stamp_ns: int, count: int, within_s: float) -> bool:
        """Whether an image would make a pair with one of the other stream's last ``count``, as late as ``within_s``."""
        others = self.latest()[1 - stream][-count:]
        near = any(abs(other - stamp_ns) <= self._max_skew_ns for other in others)
        return near and abs(others[-1] - stamp_ns) <= within_s * 1e9
