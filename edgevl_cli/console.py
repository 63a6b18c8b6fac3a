"""How the command line shows things: progress with ETA, tables, numbers for machines."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgevl_core.base.atomic import atomic_write

OnProgress = Callable[[int, int], None]


def write_json(numbers: Mapping[str, Any], path: Path | None) -> None:
    """Write ``numbers`` to ``path`` ("-": standard output; None: nowhere) as indented JSON."""
    if path is None:
        return
    text = json.dumps(numbers, indent=2, ensure_ascii=False) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text.encode())


def size(n_bytes: float) -> str:
    """``n_bytes`` in the unit people read: kB, MB, GB (powers of ten, as disks are sold)."""
    for unit in ("B", "kB", "MB"):
        if abs(n_bytes) < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.2f} GB"


@contextmanager
def progress(description: str) -> Iterator[OnProgress]:
    """A progress bar with ETA on standard error, drawn from its first step on; yields ``on_progress(done, total)``."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(description, total=None)

    def on_progress(done: int, total: int) -> None:
        bar.start()  # not before: what is refused at once is said in one line, without a bar above it
        bar.update(task, completed=done, total=total)

    try:
        yield on_progress
    finally:
        if bar.live.is_started:
            bar.stop()
