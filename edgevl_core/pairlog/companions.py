"""Messages that go with an image: camera_info, truth, poses. No ROS."""

from collections.abc import Callable

COMPANION_HORIZON_NS = 2_000_000_000


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


class Neighbours:
    """Brings kept stamps together with the last message up to each and the first after it: between them lies the pose.

    As :class:`Companions`, in whichever order they arrive; every message is written once.
    """

    def __init__(self, write: Callable[[bytes, int], None]) -> None:
        self._write = write
        self._recent: dict[int, bytes | None] = {}  # None: written
        self._open: set[int] = set()  # kept stamps after which no message has come

    def arrived(self, stamp_ns: int, cdr: bytes) -> None:
        self._recent = {stamp: kept for stamp, kept in self._recent.items() if stamp >= stamp_ns - COMPANION_HORIZON_NS}
        self._recent[stamp_ns] = cdr
        answered = {stamp for stamp in self._open if stamp <= stamp_ns}
        if answered:
            self._open -= answered
            self._put(stamp_ns)

    def kept(self, stamp_ns: int) -> None:
        before = max((stamp for stamp in self._recent if stamp <= stamp_ns), default=None)
        after = min((stamp for stamp in self._recent if stamp > stamp_ns), default=None)
        for stamp in (before, after):
            if stamp is not None:
                self._put(stamp)
        if after is None and before != stamp_ns:
            self._open = {stamp for stamp in self._open if stamp >= stamp_ns - COMPANION_HORIZON_NS} | {stamp_ns}

    def _put(self, stamp_ns: int) -> None:
        cdr, self._recent[stamp_ns] = self._recent[stamp_ns], None
        if cdr is not None:
            self._write(cdr, stamp_ns)
