"""Ctrl-C in a long run: what was done is on disk, and what to do with it is said."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

RESUME = "--resume"


@contextmanager
def resumable() -> Iterator[None]:
    """For a command with ``--resume``: on Ctrl-C, one line on standard error, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt as error:
        words = sys.argv[1:] + ([] if RESUME in sys.argv else [RESUME])
        print(f"edgevl: interrupted; to go on: edgevl {shlex.join(words)}", file=sys.stderr)
        raise typer.Exit(130) from error


@contextmanager
def unfinished(out: Path) -> Iterator[None]:
    """For a command that begins anew: on Ctrl-C, one line about the part of ``out`` that is there, and exit 130."""
    ours = not out.exists()
    try:
        yield
    except KeyboardInterrupt as error:
        part = f"; {out} is only a part: remove it before you begin again" if ours and out.exists() else ""
        print(f"edgevl: interrupted{part}", file=sys.stderr)
        raise typer.Exit(130) from error
