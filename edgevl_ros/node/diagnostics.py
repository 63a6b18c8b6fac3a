"""What a node says about itself: one DiagnosticStatus, with counts and rates as key-value pairs."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR

ERROR_SHOWN_S = 10.0
LOG_EVERY_S = 5.0


@dataclass(frozen=True)
class Report:
    """A node's account of itself; ``level`` is OK, WARN or ERROR of DiagnosticStatus."""

    level: bytes
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


def text(value: object) -> str:
    """A value as diagnostics show it: floats with six significant digits, flags as true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def to_status(name: str, report: Report) -> DiagnosticStatus:
    """``report`` as a message; ``name`` is the node's full name."""
    values = [KeyValue(key=key, value=text(value)) for key, value in report.values.items()]
    return DiagnosticStatus(level=report.level, name=name, message=report.message, hardware_id="edgevl", values=values)


class ClockJumps:
    """How often the streams' clock was set: shown in diagnostics, and each new time logged. ``log``: takes a line."""

    def __init__(self, log: Callable[[str], object]) -> None:
        self._log = log
        self._logged = 0

    def values(self, jumps: tuple[int, str]) -> dict[str, object]:
        """For a report; ``jumps``: how often so far, and the last time in words."""
        count, last = jumps
        if count > self._logged:
            self._log(last)
        self._logged = count  # fewer: another log began
        return {"clock_jumps": count, "last_clock_jump": last}


class Faults:
    """Exceptions of callbacks and workers: counted, the last one kept, logged once in a while."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""
        self._last_s = -math.inf
        self._logged_s: dict[str, float] = {}

    def add(self, where: str, error: Exception) -> str | None:
        """Count an error; returns the line to log, or None while the same place was logged a moment ago."""
        now_s = time.monotonic()
        self.count += 1
        self.last = f"{where}: {type(error).__name__}: {error}"
        self._last_s = now_s
        if now_s - self._logged_s.get(where, -math.inf) < LOG_EVERY_S:
            return None
        self._logged_s[where] = now_s
        return self.last if self.count == 1 else f"{self.last} ({self.count} errors so far)"

    def recent(self) -> bool:
        """Whether there was one in the last ten seconds: diagnostics stay degraded that long."""
        return time.monotonic() - self._last_s < ERROR_SHOWN_S
