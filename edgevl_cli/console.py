"""How the command line shows things: progress with ETA, tables, numbers for machines."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.base.sizes import size

__all__ = ["OnProgress", "html_file", "progress", "size", "write_json"]

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


def html_file(path: Path) -> Path:
    """``path``, where it is one of a page in a directory that is there: said before anything slow is done."""
    if path.suffix != ".html" or not path.parent.is_dir():
        raise UserError(f"--out {path}: a file name that ends in .html, in a directory that is there, is accepted")
    return path


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
