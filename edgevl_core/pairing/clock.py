"""Which stamps to believe: a lone one far off is an outlier, a clock that was set goes on from where it was set to.

A driver's glitch (one image stamped 2038), a simulator that starts again and an NTP step all look the same at the first
message. What follows tells them apart, so a message far from its stream's last one, or before it, is held back until
then:

    stamps    10.0  10.1  9999.0  10.2  10.3      9999.0 is dropped: its stream went back to where it was
    stamps    10.0  10.1  0.0     0.1   0.2       the clock was set back: pairing begins anew at 0.0
    stamps    10.0  10.1  10.2    9.3   9.4       as well, by a second only
    stamps    10.0  10.2  10.1    10.3  10.4      10.1 came late
    stamps    10.0  10.1  9999.0  9999.1          the clock was set forward, or nobody drove: goes on at 9999.0
    stamps    9999.0  10.1  10.2                  the first was wrong: it is believed when a second one agrees
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")

OUTLIER = "outlier"
FAR_NS = 60_000_000_000
"""Where frames are to come at once, only a stamp this far ahead waits for the next one: a camera is never so slow."""
_LONGEST_PAUSE_NS = 86_400_000_000_000
"""A last message further ahead, which nothing follows, is an outlier, and so is a first one further behind."""
REMEMBERED = 100


@dataclass(frozen=True)
class Jump:
    """The stamps go on elsewhere: from the newest so far to ``to_ns``. Behind it, pairing begins anew."""

    from_ns: int
    to_ns: int

    @property
    def is_back(self) -> bool:
        return self.to_ns < self.from_ns

    def __str__(self) -> str:
        seconds = abs(self.to_ns - self.from_ns) / 1e9
        if self.is_back:
            return (
                f"the stamps go back by {seconds:.1f} s after {_utc(self.from_ns)} (the clock was set, or a recording "
                "starts again): pairing began anew there"
            )
        return f"the stamps go on {seconds:.1f} s after {_utc(self.from_ns)} (a pause, or the clock was set)"


@dataclass(frozen=True)
class Believed(Generic[Item]):
    """A message whose stamp is to be used."""

    stream: int
    stamp_ns: int
    item: Item


@dataclass(frozen=True)
class Doubted(Generic[Item]):
    """A message to be left out: OUTLIER, or the same stamp as one that is held back ("duplicate")."""

    stream: int
    stamp_ns: int
    item: Item
    is_duplicate: bool = False


Verdict = Believed[Item] | Doubted[Item] | Jump


class _Held(NamedTuple):
    stamp_ns: int
    is_back: bool
    is_far: bool


class ClockWatch(Generic[Item]):
    """Watches the stamps of two streams that share a clock. Holds at most one message of each, of the first ones two.

    Args:
        horizon_ns: a lone message further back than this is an outlier; nearer, it came late.
        at_once: two streams that begin at the same moment, or jump far to it, are believed; else a second moment must
            follow.
    """

    def __init__(self, horizon_ns: int, at_once: bool) -> None:
        self._horizon_ns, self._at_once = horizon_ns, at_once
        self._ahead_ns = FAR_NS if at_once else horizon_ns
        self._newest: list[int | None] = [None, None]
        self._held: list[tuple[_Held, Item] | None] = [None, None]
        self._first: list[tuple[int, int, Item]] | None = []  # (stream, stamp, item), until two agree; then None

    @property
    def pending(self) -> int:
        """Messages held back."""
        return len(self._first or ()) + sum(held is not None for held in self._held)

    def push(self, stream: int, stamp_ns: int, item: Item) -> list[Verdict[Item]]:
        """Take one message; return what is known now, of it and of those held back, in the order to be used."""
        if self._first is None:
            return self._follow(stream, stamp_ns, item)
        self._first.append((stream, stamp_ns, item))
        return self._begin(self._first)

    def end(self) -> list[Verdict[Item]]:
        """What is to become of the messages held back, as nothing follows. Then any stamp is believed again."""
        verdicts = [verdict for message in self._first or () for verdict in self._follow(*message)]
        known = [newest for newest in self._newest if newest is not None]
        for stream, held, item in self._all_held():
            near = not held.is_far or (not held.is_back and held.stamp_ns - max(known) <= _LONGEST_PAUSE_NS)
            verdicts.append((Believed if near else Doubted)(stream, held.stamp_ns, item))
        self._newest, self._first = [None, None], []
        return verdicts

    def _begin(self, first: list[tuple[int, int, Item]]) -> list[Verdict[Item]]:
        """Begin where two stamps agree, if the last message is the second of them; then the ones before are wrong."""
        stream, stamp_ns, _ = first[-1]
        own = [stamp for number, stamp, _ in first if number == stream]
        step_ns = stamp_ns - own[-2] if len(own) > 1 else 0
        is_followed = step_ns != 0 and -self._horizon_ns <= step_ns <= _LONGEST_PAUSE_NS
        is_shared = self._at_once and any(
            number != stream and abs(stamp - stamp_ns) <= self._horizon_ns for number, stamp, _ in first
        )
        if not (is_followed or is_shared or len(own) == 3):
            return []
        self._first = None
        if not (is_followed or is_shared):  # few and far between, or the same stamp again and again
            return [verdict for message in first for verdict in self._follow(*message)]
        wrong = len(own) - (2 if is_followed else 1)
        verdicts: list[Verdict[Item]] = []
        mine = [message for message in first if message[0] == stream]
        verdicts += [Doubted(*message) for message in mine[:wrong]]
        # The other stream's first ones are measured by this one.
        for message in mine[wrong:] + [message for message in first if message[0] != stream]:
            verdicts += self._follow(*message)
        return verdicts

    def _follow(self, stream: int, stamp_ns: int, item: Item) -> list[Verdict[Item]]:
        verdicts: list[Verdict[Item]] = []
        entry = self._held[stream]
        if entry is not None:
            held = entry[0]
            if stamp_ns == held.stamp_ns:
                return [Doubted(stream, stamp_ns, item, is_duplicate=True)]
            if self._is_followed(stream, held, stamp_ns):
                verdicts += self._go_on_from(stream)
            else:
                self._held[stream] = None
                verdicts.append((Doubted if held.is_far else Believed)(stream, held.stamp_ns, entry[1]))
        return verdicts + self._judge(stream, stamp_ns, item)

    def _judge(self, stream: int, stamp_ns: int, item: Item) -> list[Verdict[Item]]:
        own, other = self._newest[stream], self._newest[1 - stream]
        newest = max((stamp for stamp in (own, other) if stamp is not None), default=stamp_ns)
        # A stream without stamps yet, as after a jump, is measured by the other one.
        is_back = stamp_ns < (newest - FAR_NS if own is None else own)
        is_ahead = stamp_ns > newest + (self._horizon_ns if own is None else self._ahead_ns)
        if not (is_back or is_ahead):
            self._newest[stream] = stamp_ns
            return [Believed(stream, stamp_ns, item)]
        is_far = is_ahead or own is None or stamp_ns < own - self._horizon_ns
        self._held[stream] = (_Held(stamp_ns, is_back, is_far), item)
        partner = self._held[1 - stream]
        is_shared = partner is not None and abs(partner[0].stamp_ns - stamp_ns) <= self._horizon_ns
        return self._go_on_from(stream) if self._at_once and is_far and is_shared else []

    def _is_followed(self, stream: int, held: _Held, stamp_ns: int) -> bool:
        newest = self._newest[stream]
        if not held.is_back:
            return stamp_ns > held.stamp_ns
        most_ns = held.stamp_ns + FAR_NS
        return held.stamp_ns < stamp_ns < (most_ns if newest is None else min(newest, most_ns))

    def _go_on_from(self, stream: int) -> list[Verdict[Item]]:
        """The held message of ``stream`` is where the stamps go on; the other stream's is judged by that."""
        entry = self._held[stream]
        if entry is None:
            raise ValueError("nothing is held back")
        held = entry[0]
        known = [newest for newest in self._newest if newest is not None]
        verdicts: list[Verdict[Item]] = []
        is_pause = not held.is_back and known and held.stamp_ns <= max(known) + FAR_NS
        if self._newest[stream] is not None and not is_pause:  # None: it is the stream's beginning
            verdicts.append(Jump(max(known), held.stamp_ns))
            if held.is_back:
                self._newest = [None, None]
        self._newest[stream] = held.stamp_ns
        for number, other, item in self._all_held():
            believed: list[Verdict[Item]] = [Believed(number, other.stamp_ns, item)]
            verdicts += believed if number == stream else self._judge(number, other.stamp_ns, item)
        return verdicts

    def _all_held(self) -> list[tuple[int, _Held, Item]]:
        """The held messages, earliest first; none is held then."""
        entries = [(stream, *entry) for stream, entry in enumerate(self._held) if entry is not None]
        self._held = [None, None]
        return sorted(entries, key=lambda entry: entry[1].stamp_ns)


class StampCheck:
    """Whether the stamps of one stream advance, over its latest messages."""

    def __init__(self, window: int = 50) -> None:
        self._advanced: deque[bool] = deque(maxlen=window)
        self._last_ns: int | None = None

    def add(self, stamp_ns: int) -> None:
        """Take the next message's stamp."""
        if self._last_ns is not None:
            self._advanced.append(stamp_ns > self._last_ns)
        self._last_ns = stamp_ns

    def problem(self) -> str:
        """What is wrong with them, in words; empty: nothing."""
        stuck = self._advanced.count(False)
        if 2 * stuck < len(self._advanced) or stuck < 3:
            return ""
        stamps = "stamps are 0" if self._last_ns == 0 else f"{stuck} of {len(self._advanced)} stamps do not advance"
        return f"{stamps}: {ONE_STAMP_EACH}"


ONE_STAMP_EACH = "stamps must come from the camera, one per image; are two drivers on this topic?"


def _utc(stamp_ns: int) -> str:
    try:
        return f"{datetime.fromtimestamp(stamp_ns / 1e9, tz=timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{stamp_ns / 1e9:.1f} s"
