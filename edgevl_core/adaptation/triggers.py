"""When to adapt unasked: decided from what was seen, which is passed in. No ROS, no clock of its own."""

import math
import re
from dataclasses import dataclass
from datetime import time
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgevl_core.base.errors import UserError

WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True)
class Window:
    """A time of day, start inclusive, end exclusive; across midnight where the end is before the start."""

    start: time
    end: time

    def holds(self, now: time) -> bool:
        if self.start <= self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


def parse_window(text: str) -> Window:
    """A window from ``22:30-04:00``.

    Raises:
        UserError: it is something else, or empty.
    """
    found = WINDOW.fullmatch(text)
    if found is None:
        raise UserError(f"time of day {text!r}: HH:MM-HH:MM is accepted, local time, for example 22:30-04:00")
    start_h, start_min, end_h, end_min = map(int, found.groups())
    window = Window(time(start_h, start_min), time(end_h, end_min))
    if window.start == window.end:
        raise UserError(f"time of day {text!r}: start and end are the same, which is never: give two times")
    return window


@dataclass(frozen=True)
class Rules:
    """What starts an adaptation; what is None or 0 does not.

    Attributes:
        new_pairs: this many pairs in logs closed since the last one.
        min_battery: on the dock and charged to this share.
        window: at this time of day.
        mode: "any" of these, or "all" of those that are set.
        min_interval_h: at most one adaptation in this time, whatever started the last one.
    """

    new_pairs: int = 0
    min_battery: float | None = None
    window: Window | None = None
    mode: Literal["any", "all"] = "any"
    min_interval_h: float = 0.0

    def used(self) -> bool:
        return bool(self.new_pairs) or self.min_battery is not None or self.window is not None


@dataclass(frozen=True)
class Seen:
    """The robot's situation.

    Attributes:
        now: local time of day.
        new_pairs: in logs closed since the last adaptation.
        docked_at: share of charge, 0..1, while on the dock; None: not on the dock, or not known.
        since_last_h: hours since the last adaptation was started; infinity: never, or the clock was set back.
    """

    now: time
    new_pairs: int = 0
    docked_at: float | None = None
    since_last_h: float = math.inf


def due(rules: Rules, seen: Seen) -> str:
    """Why to adapt now, for a person to read; empty: not now."""
    if seen.since_last_h < rules.min_interval_h:
        return ""
    verdicts = []
    if rules.new_pairs:
        verdicts.append((seen.new_pairs >= rules.new_pairs, f"{seen.new_pairs} new pairs"))
    if rules.min_battery is not None:
        level = math.nan if seen.docked_at is None else seen.docked_at
        verdicts.append((level >= rules.min_battery, f"on the dock, battery at {level:.0%}"))
    if rules.window is not None:
        verdicts.append((rules.window.holds(seen.now), f"{seen.now:%H:%M} is within {rules.window}"))
    met = [reason for holds, reason in verdicts if holds]
    enough = len(met) == len(verdicts) if rules.mode == "all" else True
    return ", ".join(met) if met and enough else ""


class PairCount(BaseModel):
    """Pairs in logs that were closed, counted from the logger's status; each method gives a new count.

    A log counts once it is closed, by the logger's word or because it went on to another: only then it is adapted to.
    A closed log is counted once, however often its status comes again; one that is begun again in its place is another.
    """

    model_config = ConfigDict(frozen=True)

    closed: int = 0
    path: str = ""
    open_pairs: int = 0
    ended: bool = True

    def see(self, path: str, pairs: int, logging: bool) -> "PairCount":
        """The logger's status: its log, the pairs in it, whether it goes on."""
        if not path or (path == self.path and self.ended and not logging):
            return self
        closed = self.closed + (self.open_pairs if path != self.path else 0)
        if logging:
            return PairCount(closed=closed, path=path, open_pairs=pairs, ended=False)
        return PairCount(closed=closed + pairs, path=path)

    def adapted(self) -> "PairCount":
        """From now on: what was closed is used."""
        return self.model_copy(update={"closed": 0})

    def open_log(self) -> str:
        """The log being written; empty: none."""
        return "" if self.ended else self.path
