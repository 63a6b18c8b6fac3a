"""Where a long run stands: a bar with ETA on a terminal, plain lines elsewhere, and a status file for the robot."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import LONGEST, UserError, one_line, printable

WRITE_EVERY_S = 0.5
LINE_EVERY_S = 5.0


class RunProgress:
    """Context manager around a run of several stages.

    ``status.json`` (see :meth:`snapshot`) is replaced atomically, at most every 0.5 s and at every change of stage.
    Leaving the block sets the final state: "succeeded", "cancelled" (KeyboardInterrupt, or SystemExit as
    :func:`edgevl_train.training.signals.terminable` raises it), or "failed".

    Args:
        status_path: where status.json is written; None: nowhere.
        shares: stage name -> expected share of the time (any unit; only ratios matter), in the order of the
            run.
        stream: where people read.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        status_path: Path | None,
        shares: Mapping[str, float],
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = status_path
        self._shares = dict(shares)
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._started = clock()
        self._last_write = self._last_line = float("-inf")
        self._bar: Any = None
        self._state, self._stage, self._message = "running", "", ""
        self._fraction = 0.0
        self._exit_code: int | None = None
        self._bundle_path = self._bundle_id = self._refused = ""
        self._done = "done"
        self._wall_s: dict[str, float] = {}
        self._stage_started = self._started

    def __enter__(self) -> "RunProgress":
        self._started = self._clock()
        self._wall_s = _spent_before(self._path)
        if self._stream.isatty():
            self._bar = _bar(self._stream)
            self._bar.start()
            self._task = self._bar.add_task("", total=1.0)
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._state, self._exit_code, self._fraction, self._message = "succeeded", 0, 1.0, self._done
        elif isinstance(error, KeyboardInterrupt | SystemExit):
            self._state, self._exit_code, self._message = "cancelled", 130, f"cancelled during {self._stage}"
        else:
            self._state, self._exit_code = "failed", 2 if isinstance(error, UserError) else 1
            self._message = one_line(str(error), LONGEST) or type(error).__name__
        if self._bar is not None:
            self._bar.update(self._task, completed=self._overall())
            self._bar.stop()
        self._write()

    def stage(self, name: str) -> None:
        """Begin the stage ``name`` (a key of ``shares``)."""
        if name not in self._shares:
            raise KeyError(f"stage {name!r} has no share of the time; known: {', '.join(self._shares)}")
        self._wall_s = self.wall_s()
        self._stage, self._fraction, self._message = name, 0.0, ""
        self._stage_started = self._clock()
        self._last_line = float("-inf")
        self._show()
        self._write()

    def update(self, done: float, total: float, message: str = "") -> None:
        """The current stage has done ``done`` of ``total``; ``message`` is one short line."""
        self._fraction = min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
        self._message = message or self._message
        self._show()
        if self._clock() - self._last_write >= WRITE_EVERY_S:
            self._write()

    def say(self, line: str) -> None:
        """Print a line that stays, above the bar; it may quote a file of unknown origin."""
        line = printable(line)
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=self._stream, flush=True)

    def result(self, bundle_path: Path, bundle_id: str, message: str = "done", refused: str = "") -> None:
        """What the run made; appears in status.json from here on.

        Args:
            message: one line for the end; refused: why the bundle should not be used, empty where it may.
        """
        self._bundle_path, self._bundle_id = str(bundle_path), bundle_id
        self._done, self._refused = message, refused

    def wall_s(self) -> dict[str, float]:
        """Seconds spent in each stage so far, the current one included, and what was spent before a resumption."""
        spent = dict(self._wall_s)
        if self._stage:
            spent[self._stage] = spent.get(self._stage, 0.0) + self._clock() - self._stage_started
        return {stage: round(seconds, 2) for stage, seconds in spent.items()}

    def snapshot(self) -> dict[str, Any]:
        """The content of status.json.

        state, stage, progress 0..1 of the whole, eta_s, message, bundle, exit_code, seconds spent in each stage; and,
        where the bundle should not be used, ``refused``: why.
        """
        overall = self._overall()
        elapsed_s = self._clock() - self._started
        running = self._state == "running"
        return {
            "state": self._state,
            "stage": self._stage,
            "progress": round(overall, 4),
            "eta_s": round(elapsed_s / overall * (1 - overall), 1) if running and overall > 0.01 else 0.0,
            "message": self._message,
            "bundle_path": self._bundle_path,
            "bundle_id": self._bundle_id,
            "exit_code": self._exit_code,
            "wall_s": self.wall_s(),
        } | ({"refused": self._refused} if self._refused else {})

    def _overall(self) -> float:
        if self._state == "succeeded":
            return 1.0
        if not self._stage:
            return 0.0
        names = list(self._shares)
        before = sum(self._shares[name] for name in names[: names.index(self._stage)])
        return (before + self._fraction * self._shares[self._stage]) / sum(self._shares.values())

    def _show(self) -> None:
        text = f"{self._stage}: {self._message}" if self._message else self._stage
        if self._bar is not None:
            self._bar.update(self._task, completed=self._overall(), description=text)
            return
        if self._clock() - self._last_line < LINE_EVERY_S:
            return
        self._last_line = self._clock()
        state = self.snapshot()
        eta = f", {state['eta_s']:.0f} s left" if state["eta_s"] else ""
        print(f"[{state['progress']:4.0%}] {text}{eta}", file=self._stream, flush=True)

    def _write(self) -> None:
        self._last_write = self._clock()
        if self._path is not None:
            atomic_write(self._path, (json.dumps(self.snapshot(), ensure_ascii=False) + "\n").encode())


def _spent_before(path: Path | None) -> dict[str, float]:
    """Seconds in each stage, by the status file of the run that is gone on with; empty where none tells."""
    try:
        found = json.loads(path.read_bytes())["wall_s"] if path is not None and path.is_file() else {}
        return {str(stage): float(seconds) for stage, seconds in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError):  # of an earlier release, or no status at all
        return {}


def _bar(stream: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),  # a variant or recipe may be called "[a]"
    )
    return Progress(*columns, console=Console(file=stream))
