"""How the command line shows things: progress with the time left, results for people or for machines."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from edgevl_core.base.atomic import atomic_write, check_place, writing
from edgevl_core.base.errors import UserError, printable
from edgevl_core.base.json_text import to_json
from edgevl_core.base.sizes import duration, size

__all__ = [
    "Json",
    "OnProgress",
    "answer",
    "html_file",
    "output_file",
    "progress",
    "size",
    "to_json",
    "waiting",
    "write_json",
]

OnProgress = Callable[[int, int], None]


def output_file(option: str, path: Path | None, suffix: str = "") -> Path | None:
    """``path``, where such a file can be made (its directories are, too): said before anything slow is done.

    Raises:
        UserError: it has another suffix, is a directory, or lies where nothing can be made.
    """
    if path is None:
        return None
    if suffix and path.suffix != suffix:
        raise UserError(f"{option} {path}: a file name that ends in {suffix} is accepted")
    with writing(path):
        if path.is_dir():
            raise UserError(f"{option} {path}: this is a directory, a file name is accepted")
    check_place(path)
    return path


Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the result here as JSON (-: to standard output, and no more).",
        callback=lambda path: path if str(path) == "-" else output_file("--json", path),
    ),
]
FIRST_LINE_S, LINE_EVERY_S = 2.0, 5.0


def answer(result: Mapping[str, Any], json: Path | None, show: Callable[[], None]) -> None:
    """A command's result: ``show`` tells people, unless standard output is for the JSON alone; see :data:`Json`."""
    if str(json) != "-":
        show()
    write_json(result, json)


def write_json(numbers: Mapping[str, Any], path: Path | None) -> None:
    """Write ``numbers`` to ``path`` ("-": standard output; None: nowhere) as indented JSON; paths become strings."""
    if path is None:
        return
    text = to_json(numbers, indent=2) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text.encode())


def html_file(path: Path) -> Path:
    """``path``, where it is one of a page in a directory that is there: said before anything slow is done."""
    if path.suffix != ".html" or not path.parent.is_dir():
        raise UserError(f"--out {path}: a file name that ends in .html, in a directory that is there, is accepted")
    return path


@contextmanager
def progress(description: str) -> Iterator[OnProgress]:
    """How far something is and the time left, on standard error; yields ``on_progress(done, total)``.

    A bar on a terminal, from the first step on; elsewhere a line now and then, for what takes more than two seconds.
    """
    if not sys.stderr.isatty():
        yield ProgressLines(description, sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
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


@contextmanager
def waiting(what: str) -> Iterator[Callable[[], None]]:
    """Say on a terminal what is waited for, where it takes more than two seconds and tells nothing meanwhile.

    Yields a function that ends the wait before the block does.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    late = threading.Timer(FIRST_LINE_S, lambda: print(f"{what} ...", file=sys.stderr, flush=True))
    late.daemon = True
    late.start()
    try:
        yield late.cancel
    finally:
        late.cancel()


def say(line: str, file: TextIO | None = None) -> None:
    """Print a line that may quote a file of unknown origin; ``file``: None is standard output."""
    print(printable(line), file=file)


class ProgressLines:
    """Progress where there is no terminal: after two seconds a line, then every five. ``clock``: seconds, monotonic."""

    def __init__(self, description: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._description, self._stream, self._clock = description, stream, clock
        self._start_s = clock()
        self._next_s = self._start_s + FIRST_LINE_S

    def __call__(self, done: int, total: int) -> None:
        """So much of it is done."""
        now_s = self._clock()
        if now_s < self._next_s or not 0 < done <= total:
            return
        self._next_s = now_s + LINE_EVERY_S
        left = f", {duration((now_s - self._start_s) * (total - done) / done)} left" if done < total else ""
        print(f"[{done / total:4.0%}] {self._description}{left}", file=self._stream, flush=True)
