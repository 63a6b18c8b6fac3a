"""Frames as they come from a robot: they wait for the pose of their moment, and each one is accounted for."""

import threading
from collections import Counter, deque
from typing import Generic, TypeVar

from edgevl_core.room_map.track import LiveTrack
from edgevl_core.room_map.view import Stand

Item = TypeVar("Item")


class AwaitingPose(Generic[Item]):
    """Frames until the pose of their moment is known: one of their stamp or later has come, or patience ends.

    Args:
        track: where poses are added.
        patience_s: after it a frame is handed out with the pose that is known then, or with none.
    """

    def __init__(self, track: LiveTrack, patience_s: float) -> None:
        self._track = track
        self._patience_s = patience_s
        self._frames: deque[tuple[int, float, Item]] = deque()

    def put(self, stamp_ns: int, frame: Item, now_s: float) -> None:
        """``now_s``: of a clock that never goes back."""
        self._frames.append((stamp_ns, now_s, frame))

    def ready(self, now_s: float) -> list[tuple[Item, Stand | None]]:
        """Frames that need not wait any more, each once, in the order they came."""
        newest_ns = self._track.newest_ns
        ready = [entry for entry in self._frames if entry[0] <= newest_ns or now_s - entry[1] >= self._patience_s]
        if ready:
            self._frames = deque(entry for entry in self._frames if entry not in ready)
        return [(frame, self._track.at(stamp_ns)) for stamp_ns, _, frame in ready]


class Account:
    """received = used + sum(dropped) + waiting, at any moment, for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = self._used = self._waiting = 0
        self._dropped: Counter[str] = Counter()

    def receive(self) -> None:
        """A frame has come."""
        with self._lock:
            self._received += 1
            self._waiting += 1

    def settle(self, reason: str) -> None:
        """What became of a frame: the reason why it was dropped; empty: it was used."""
        with self._lock:
            self._waiting -= 1
            if reason:
                self._dropped[reason] += 1
            else:
                self._used += 1

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """received, used and waiting; and the dropped ones by reason."""
        with self._lock:
            return {"received": self._received, "used": self._used, "waiting": self._waiting}, dict(self._dropped)


class RecentDepth:
    """The bytes of the last depth images, by stamp.

    Args:
        length: images that are held.
        max_skew_ns: how far a frame's stamp may be from its depth's.
    """

    def __init__(self, length: int, max_skew_ns: int) -> None:
        self._images: deque[tuple[int, bytes]] = deque(maxlen=length)
        self._max_skew_ns = max_skew_ns

    def put(self, stamp_ns: int, cdr: bytes) -> None:
        """An image has come."""
        self._images.append((stamp_ns, cdr))

    def take(self, stamp_ns: int) -> bytes | None:
        """The image nearest to a frame's stamp, None where none is near enough; older ones are let go."""
        nearest = min(self._images, key=lambda image: abs(image[0] - stamp_ns), default=None)
        if nearest is None or abs(nearest[0] - stamp_ns) > self._max_skew_ns:
            return None
        while self._images[0] is not nearest:
            self._images.popleft()
        return nearest[1]
