"""Pair two streams by their stamps: as many pairs as possible, and among those the least total skew.

The optimum is taken over the stamps alone. A decision is given out as soon as no message that may still come
could change it, so it does not depend on how the two streams' messages interleave on arrival: a live drive
and its bag read offline give the same pairs. How long a decision may stay open is bounded (``lookahead_s``,
``horizon_s``, ``max_pending``); see :mod:`edgevl_core.pairing.stamp_matching`: what is decided, and why it is optimal.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from edgevl_core.base.waiting import too_large
from edgevl_core.pairing.clock import OUTLIER, REMEMBERED, Believed, ClockWatch, Doubted, Jump, StampCheck, Verdict
from edgevl_core.pairing.stamp_matching import Prefix, certain_prefix, forced_prefix

Item = TypeVar("Item")

BACK_IN_TIME = "back_in_time"
DUPLICATE = "duplicate"
LATE = "late"
UNMATCHED = "unmatched"

_NS = 1_000_000_000
_NAMED_JUMPS = 3
_LONG_AGO = -(1 << 62)


@dataclass(frozen=True)
class Pair(Generic[Item]):
    """``a`` of stream 0 and ``b`` of stream 1; ``stamp_ns`` is a's, ``skew_s`` = |a - b| >= 0 in seconds.

    ``stretch``: how often the stamps had gone back before.
    """

    stamp_ns: int
    a: Item
    b: Item
    a_stamp_ns: int
    b_stamp_ns: int
    skew_s: float
    stretch: int


@dataclass(frozen=True)
class Dropped(Generic[Item]):
    """A message that is in no pair: "unmatched", "late", "back_in_time", "duplicate" or "outlier"."""

    stream: int
    stamp_ns: int
    item: Item
    reason: str


Event = Pair[Item] | Dropped[Item]


class PairMatcher(Generic[Item]):
    """One-to-one pairs of two streams, without a clock of its own; one thread at a time.

    Pairs and unmatched messages come out in time order, every message exactly once. A message whose stamp
    does not advance its own stream is given back at once ("back_in_time" or "duplicate"). A lone stamp far from
    its stream's others is an "outlier"; where the streams go on from there, the clock was set, and pairing begins anew
    (:mod:`edgevl_core.pairing.clock`).

    Args:
        max_skew_s: largest |a - b| of a pair, inclusive. Below half a frame period each message has one
            natural partner; above it, most pairs first may prefer a neighbour's frame.
        horizon_s: a stream this far behind the other one is taken for silent: the other's messages are
            released, and messages that come later than this are dropped ("late"). Within it, arrival order
            has no influence.
        lookahead_s: a chain of messages that stays ambiguous for this long is decided with what is known by
            then.
        max_pending: undecided messages kept per stream. Where it is reached, the horizon is in effect
            shorter.
        size_of: the bytes of a message; undecided ones that are ``too_large`` shorten the horizon as well.
        eager: a pair is decided as soon as both its messages are there, even if a closer partner might still come.
            For those who answer about the present and cannot wait a frame for certainty. With equal stamps, or a
            skew that always is the same and below half a frame period, the pairs are the same.

    Attributes:
        max_skew_s: as given.
        counts: "paired" (pairs), and dropped messages by reason.
        jumps: the latest of the clock, ``jump_count`` in all; ``last_jump``: in words, empty before the first.
    """

    def __init__(
        self,
        max_skew_s: float,
        horizon_s: float = 2.0,
        lookahead_s: float = 0.5,
        max_pending: int = 200,
        eager: bool = False,
        size_of: Callable[[Item], int] = lambda item: 0,
    ) -> None:
        if max_skew_s < 0 or horizon_s <= 0 or lookahead_s <= 0 or max_pending < 1:
            raise ValueError("max_skew_s must be >= 0, horizon_s and lookahead_s > 0, max_pending >= 1")
        self.counts: Counter[str] = Counter()
        self.max_skew_s = max_skew_s
        self._max_skew_ns = round(max_skew_s * _NS)
        self._horizon_ns = max(round(horizon_s * _NS), self._max_skew_ns)
        self._lookahead_ns = max(round(lookahead_s * _NS), 2 * self._max_skew_ns)
        self._max_pending = max_pending
        self._eager = eager
        self._size_of = size_of
        self.jumps: deque[Jump] = deque(maxlen=REMEMBERED)
        self.jump_count = 0
        self._stretch = 0
        self._outliers = [0, 0]
        self._stamp_checks = (StampCheck(), StampCheck())
        self._clock: ClockWatch[Item] = ClockWatch(self._horizon_ns, at_once=eager)
        self._restart()

    def _restart(self) -> None:
        self._stamps: tuple[list[int], list[int]] = ([], [])  # undecided, ascending
        self._items: tuple[list[Item], list[Item]] = ([], [])
        self._newest = [_LONG_AGO, _LONG_AGO]
        self._next = [_LONG_AGO, _LONG_AGO]  # the least stamp that is still accepted
        self._decided: list[tuple[int, int, Event[Item]]] = []

    def push(self, stream: int, stamp_ns: int, item: Item) -> list[Event[Item]]:
        """Take one message of stream 0 or 1; return what became certain, in time order."""
        self._stamp_checks[stream].add(stamp_ns)
        return self._follow(self._clock.push(stream, stamp_ns, item))

    def _follow(self, verdicts: list[Verdict[Item]]) -> list[Event[Item]]:
        events: list[Event[Item]] = []
        for verdict in verdicts:
            if isinstance(verdict, Believed):
                events += self._take(verdict.stream, verdict.stamp_ns, verdict.item)
            elif isinstance(verdict, Doubted):
                reason = DUPLICATE if verdict.is_duplicate else OUTLIER
                self.counts[reason] += 1
                self._outliers[verdict.stream] += not verdict.is_duplicate
                events.append(Dropped(verdict.stream, verdict.stamp_ns, verdict.item, reason))
            else:
                self.jumps.append(verdict)
                self.jump_count += 1
                if verdict.is_back:
                    events += self._end()
                    self._stretch += 1
        return events

    def _take(self, stream: int, stamp_ns: int, item: Item) -> list[Event[Item]]:
        if stamp_ns < self._next[stream]:
            reason = LATE
            if stamp_ns <= self._newest[stream]:
                reason = DUPLICATE if stamp_ns == self._newest[stream] else BACK_IN_TIME
            else:
                self._newest[stream] = stamp_ns
            self.counts[reason] += 1
            return [Dropped(stream, stamp_ns, item, reason)]
        self._newest[stream] = stamp_ns
        self._next[stream] = stamp_ns + 1
        self._next[1 - stream] = max(self._next[1 - stream], stamp_ns - self._horizon_ns)
        self._stamps[stream].append(stamp_ns)
        self._items[stream].append(item)
        self._decide()
        while self._is_full(self._items[stream]):
            oldest = self._stamps[stream][0]
            self._next[1 - stream] = max(self._next[1 - stream], oldest + self._max_skew_ns + 1)
            self._decide()
            if self._stamps[stream] and self._stamps[stream][0] == oldest:
                self._commit(forced_prefix(self._stamps[0], self._stamps[1], self._max_skew_ns))
        return self._release()

    def flush(self) -> list[Event[Item]]:
        """End both streams: decide everything that is open. The matcher then starts anew, at any stamp."""
        return self._follow(self._clock.end()) + self._end()

    def _end(self) -> list[Event[Item]]:
        end = max(self._newest) + self._horizon_ns + self._lookahead_ns + self._max_skew_ns + 1
        self._next = [end, end]
        self._decide()
        events = self._release()
        self._restart()
        return events

    @property
    def last_jump(self) -> str:
        jumps = list(self.jumps)  # another thread may be adding
        return str(jumps[-1]) if jumps else ""

    def pauses(self) -> list[str]:
        """Where the stamps go on far ahead, one sentence each: no loss, but a clock may have been set."""
        return _named([jump for jump in self.jumps if not jump.is_back])

    def time_losses(self) -> list[str]:
        """What wrong stamps have cost, one sentence each; stream 0 is RGB, 1 depth."""
        notes = _named([jump for jump in self.jumps if jump.is_back])
        for name, outliers, check in zip(("rgb", "depth"), self._outliers, self._stamp_checks):
            if outliers:
                notes.append(f"{name}: {outliers} images left out, their stamps lie far from those before and after")
            if problem := check.problem():
                notes.append(f"{name}: {problem}")
        return notes

    @property
    def pending(self) -> int:
        """Messages that wait for their decision."""
        return len(self._stamps[0]) + len(self._stamps[1]) + self._clock.pending

    def _is_full(self, items: list[Item]) -> bool:
        return len(items) > self._max_pending or too_large([self._size_of(item) for item in items])

    def _decide(self) -> None:
        """Commit decisions until the earliest open message has to wait for more."""
        while self._stamps[0] or self._stamps[1]:
            # Nothing beyond the look-ahead of the earliest message is considered, even if it is there
            # already: it might not be in another order of arrival.
            limit = min(stamps[0] for stamps in self._stamps if stamps) + self._lookahead_ns
            a, b = (_until(stamps, limit) for stamps in self._stamps)
            next_a, next_b = (min(n, limit + 1) for n in self._next)
            prefix = certain_prefix(a, b, next_a, next_b, self._max_skew_ns)
            if not prefix:
                open_still = min(self._next) <= limit
                if open_still and not self._eager:
                    return
                prefix = forced_prefix(a, b, self._max_skew_ns)
                if open_still and not prefix.pairs:
                    return
            self._commit(prefix)

    def _commit(self, prefix: Prefix) -> None:
        (stamps_a, stamps_b), (items_a, items_b) = self._stamps, self._items
        for i, j in prefix.pairs:
            a, b = stamps_a[i], stamps_b[j]
            pair = Pair(a, items_a[i], items_b[j], a, b, abs(a - b) / _NS, self._stretch)
            heapq.heappush(self._decided, (min(a, b), 2, pair))
            self.counts["paired"] += 1
        for stream, length in enumerate((prefix.length_a, prefix.length_b)):
            paired = {pair[stream] for pair in prefix.pairs}
            for k in range(length):
                if k not in paired:
                    stamp = self._stamps[stream][k]
                    event = Dropped(stream, stamp, self._items[stream][k], UNMATCHED)
                    heapq.heappush(self._decided, (stamp, stream, event))
                    self.counts[UNMATCHED] += 1
            del self._stamps[stream][:length]
            del self._items[stream][:length]

    def _release(self) -> list[Event[Item]]:
        """The decided events that nothing undecided or still to come can precede."""
        earliest = min(stamps[0] if stamps else following for stamps, following in zip(self._stamps, self._next))
        events = []
        while self._decided and self._decided[0][0] < earliest:
            events.append(heapq.heappop(self._decided)[2])
        return events


def _named(jumps: Sequence[Jump]) -> list[str]:
    """The first few, and how many more there are."""
    named = [str(jump) for jump in jumps[:_NAMED_JUMPS]]
    return named + ([f"and so on, {len(jumps) - _NAMED_JUMPS} times more"] if len(jumps) > _NAMED_JUMPS else [])


def _until(stamps: Sequence[int], limit: int) -> Sequence[int]:
    """The leading stamps that are <= ``limit``."""
    n = len(stamps)
    while n and stamps[n - 1] > limit:
        n -= 1
    return stamps[:n]
