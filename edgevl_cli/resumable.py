"""Ctrl-C in a long run: what was done is on disk, and the command that goes on with it is said."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
