"""Playing recorded messages at their recorded times. No ROS."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol


class Recorded(Protocol):
    """What playing needs to know of a message."""

    @property
    def stamp_ns(self) -> int: ...


class Pace:
    """Maps recorded time to wall time: absolute deadlines, so that lateness never adds up; may be paused.

    Args:
        rate: recorded seconds per wall second, > 0.
    """

    def __init__(self, rate: float, paused: bool = False) -> None:
        self._rate = rate
        self._origin_s: float | None = None
        self._running = threading.Event()
        if not paused:
            self._running.set()
        self.late_max_s = 0.0

    @property
    def paused(self) -> bool:
        return not self._running.is_set()

    def pause(self) -> None:
        self._running.clear()

    def resume(self) -> None:
        self._running.set()

    def wait(self, elapsed_s: float, stop: threading.Event) -> bool:
        """Sleep until ``elapsed_s`` of recorded time have passed since the first call; False when stopped."""
        if self.paused and not self._wait_while_paused(stop):
            return False
        now_s = time.monotonic()
        if self._origin_s is None:
            self._origin_s = now_s - elapsed_s / self._rate
        delay_s = self._origin_s + elapsed_s / self._rate - now_s
        if delay_s > 0 and stop.wait(delay_s):
            return False
        self.late_max_s = max(self.late_max_s, -delay_s)
        if self.paused:
            return self.wait(elapsed_s, stop)
        return not stop.is_set()

    def _wait_while_paused(self, stop: threading.Event) -> bool:
        since_s = time.monotonic()
        while not self._running.wait(0.05):
            if stop.is_set():
                return False
        if self._origin_s is not None:
            self._origin_s += time.monotonic() - since_s
        return True


def play(
    messages: Iterable[Recorded],
    publish: Callable[[Recorded], None],
    pace: Pace,
    stop: threading.Event,
    start_ns: int | None = None,
) -> bool:
    """Hand every message to ``publish`` at its time; ``start_ns`` is the recorded time of the pace's zero.

    Without ``start_ns`` the first message is at zero. Returns False when stopped before the end.
    """
    for message in messages:
        if start_ns is None:
            start_ns = message.stamp_ns
        if not pace.wait((message.stamp_ns - start_ns) * 1e-9, stop):
            return False
        publish(message)
    return True
