"""Messages that go with an image: camera_info, truth, poses. No ROS."""

from collections.abc import Callable

COMPANION_HORIZON_NS = 2_000_000_000


class Companions:
    """Brings messages of one side stream together with the kept stamps, in whichever order the two arrive.

    Both memories are bounded: what lies farther than the horizon from the latest two stamps is forgotten. Two, as one
    may be an outlier; farther in both directions, as clocks are set back.
    """

    def __init__(self, write: Callable[[bytes, int], None], or_latest: bool = False) -> None:
        """``or_latest``: a stamp that no message has gets the latest one, as for a calibration, which holds on."""
        self._write, self._or_latest = write, or_latest
        self._latest: bytes | None = None
        self._arrived: dict[int, bytes] = {}
        self._wanted: set[int] = set()
        self._last_arrived_ns = self._last_kept_ns = 0

    def arrived(self, stamp_ns: int, cdr: bytes) -> None:
        self._latest = cdr
        if stamp_ns in self._wanted:
            self._wanted.remove(stamp_ns)
            self._write(cdr, stamp_ns)
            return
        self._arrived[stamp_ns] = cdr
        for old in [stamp for stamp in self._arrived if not _is_near(stamp, stamp_ns, self._last_arrived_ns)]:
            del self._arrived[old]
        self._last_arrived_ns = stamp_ns

    def kept(self, stamp_ns: int) -> None:
        cdr = self._arrived.pop(stamp_ns, None)
        if cdr is not None:
            self._write(cdr, stamp_ns)
            return
        self._give_up({stamp for stamp in self._wanted if not _is_near(stamp, stamp_ns, self._last_kept_ns)})
        self._wanted.add(stamp_ns)
        self._last_kept_ns = stamp_ns

    def finish(self) -> None:
        """No message comes any more: settle the stamps that wait."""
        self._give_up(set(self._wanted))

    def _give_up(self, stamps: set[int]) -> None:
        self._wanted -= stamps
        if self._or_latest and self._latest is not None:
            for stamp_ns in sorted(stamps):
                self._write(self._latest, stamp_ns)


def _is_near(stamp_ns: int, *latest_ns: int) -> bool:
    return any(abs(stamp_ns - latest) <= COMPANION_HORIZON_NS for latest in latest_ns)


class Neighbours:
    """Brings kept stamps together with the last message up to each and the first after it: between them lies the pose.

    As :class:`Companions`, in whichever order they arrive, and with as long a memory; every message is written once.
    """

    def __init__(self, write: Callable[[bytes, int], None]) -> None:
        self._write = write
        self._recent: dict[int, bytes | None] = {}  # None: written
        self._last_arrived_ns = 0
        self._open: set[int] = set()  # kept stamps after which no message has come

    def arrived(self, stamp_ns: int, cdr: bytes) -> None:
        near = (stamp_ns, self._last_arrived_ns)
        self._recent = {stamp: kept for stamp, kept in self._recent.items() if _is_near(stamp, *near)}
        self._recent[stamp_ns], self._last_arrived_ns = cdr, stamp_ns
        answered = {stamp for stamp in self._open if stamp <= stamp_ns}
        if answered:
            self._open -= answered
            self._put(stamp_ns)

    def kept(self, stamp_ns: int) -> None:
        near = [stamp for stamp in self._recent if _is_near(stamp, stamp_ns)]
        before = max((stamp for stamp in near if stamp <= stamp_ns), default=None)
        after = min((stamp for stamp in near if stamp > stamp_ns), default=None)
        for stamp in (before, after):
            if stamp is not None:
                self._put(stamp)
        if after is None and before != stamp_ns:
            self._open = {stamp for stamp in self._open if _is_near(stamp, stamp_ns)} | {stamp_ns}

    def finish(self) -> None:
        """No message comes any more: nothing waits."""

    def _put(self, stamp_ns: int) -> None:
        cdr, self._recent[stamp_ns] = self._recent[stamp_ns], None
        if cdr is not None:
            self._write(cdr, stamp_ns)
