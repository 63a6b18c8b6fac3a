"""Two streams that both come, and give no pair."""

from collections import deque

RECENT = 200
"""Stamps of each that are kept: more than a second of a fast camera."""
FEW = 5
"""So many images of each without a pair may be chance, or a slow camera."""


class Unpaired:
    """The stamps of two streams since their last pair; one thread writes, others read.

    Args:
        max_skew_s: largest difference of stamps within a pair, inclusive.
    """

    def __init__(self, max_skew_s: float) -> None:
        self.max_skew_s = max_skew_s
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

    def in_reach(self, stream: int, stamp_ns: int, within_s: float) -> bool:
        """Whether the stamp of an image of ``stream`` lies within so many seconds of the other stream's latest."""
        others = self._latest[1 - stream]
        return bool(others) and abs(others[-1] - stamp_ns) <= within_s * 1e9
