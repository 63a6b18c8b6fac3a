"""Frames as they come from a robot: they wait for pose and depth of their moment, and each one is accounted for."""

import math
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, TypeVar

from edgevl_core.base.waiting import too_large
from edgevl_core.pairlog.types import CAMERA_INFO, deserialize
from edgevl_core.room_map.view import Intrinsics, intrinsics

Item = TypeVar("Item")
AFTER_STAMP = 12  # bytes of a serialised message: its encoding, and the stamp of its header
FRAMES_HOLD_S = 5.0  # a frame this long ago says that frames come


class Awaiting(Generic[Item]):
    """Frames until what belongs to their moment has come from elsewhere, such as pose and depth, or patience ends.

    Args:
        heard_until_ns: up to which stamp all of that has come.
        patience_s: after it a frame is handed out all the same.
    """

    def __init__(self, heard_until_ns: Callable[[], int], patience_s: float) -> None:
        self._heard_until_ns = heard_until_ns
        self._patience_s = patience_s
        self._frames: deque[tuple[int, float, Item]] = deque()

    def put(self, stamp_ns: int, frame: Item, now_s: float) -> None:
        """``now_s``: of a clock that never goes back."""
        self._frames.append((stamp_ns, now_s, frame))

    def ready(self, now_s: float) -> list[tuple[int, Item]]:
        """Stamps and frames that need not wait any more, each once, in the order they came."""
        heard_ns, waiting = self._heard_until_ns(), deque(self._frames)
        self._frames.clear()
        ready = []
        for stamp_ns, since_s, frame in waiting:
            if stamp_ns <= heard_ns or now_s - since_s >= self._patience_s:
                ready.append((stamp_ns, frame))
            else:
                self._frames.append((stamp_ns, since_s, frame))
        return ready


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


class Placed:
    """Whether any of the frames that come has a pose of its moment; ``now_s``: of a clock that never goes back."""

    def __init__(self) -> None:
        self._seen_s = self._placed_s = -math.inf

    def see(self, now_s: float, *, placed: bool) -> None:
        """A frame that waits for its pose no longer."""
        if placed or now_s - self._seen_s > FRAMES_HOLD_S:  # what is asked for begins with the first after a pause
            self._placed_s = now_s
        self._seen_s = now_s

    def none_for_s(self, now_s: float) -> float:
        """For how many seconds frames have come without one; 0 while none come."""
        return self._seen_s - self._placed_s if now_s - self._seen_s <= FRAMES_HOLD_S else 0.0


class LiveCamera:
    """A camera by the newest of its camera_infos that is calibrated: a driver may begin anew in another mode.

    Attributes:
        intrinsics: None before the first.
    """

    def __init__(self) -> None:
        self.intrinsics: Intrinsics | None = None
        self._seen = b""

    def put(self, cdr: bytes) -> None:
        """A sensor_msgs/CameraInfo, serialised. Raises BrokenMessage where it is none."""
        said = cdr[AFTER_STAMP:]  # the same each time, and it comes with each image
        if said != self._seen:
            self.intrinsics = intrinsics(deserialize(cdr, CAMERA_INFO)) or self.intrinsics
            self._seen = said


class RecentDepth:
    """The bytes of the last depth images, by stamp.

    Args:
        length: images that are held, fewer where they are ``too_large``.
        max_skew_ns: how far a frame's stamp may be from its depth's.
    """

    def __init__(self, length: int, max_skew_ns: int) -> None:
        self._images: deque[tuple[int, bytes]] = deque(maxlen=length)
        self._max_skew_ns = max_skew_ns

    @property
    def newest_ns(self) -> int:
        """Stamp of the newest image; -1 before the first."""
        return self._images[-1][0] if self._images else -1

    def put(self, stamp_ns: int, cdr: bytes) -> None:
        """An image has come."""
        self._images.append((stamp_ns, cdr))
        while too_large([len(waiting) for _, waiting in self._images]):
            self._images.popleft()

    def take(self, stamp_ns: int) -> bytes | None:
        """The image nearest to a frame's stamp, None where none is near enough; older ones are let go."""
        nearest = min(self._images, key=lambda image: abs(image[0] - stamp_ns), default=None)
        if nearest is None or abs(nearest[0] - stamp_ns) > self._max_skew_ns:
            return None
        while self._images[0] is not nearest:
            self._images.popleft()
        return nearest[1]
