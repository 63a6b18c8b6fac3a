"""The loop of ``edgevl watch``: listens, and shows what was heard once a second, until a signal comes."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from edgevl_cli.console import to_json
from edgevl_cli.watch.rows import Row, nothing_heard, rows, troubles
from edgevl_cli.watch.screen import screen
from edgevl_core.base.errors import UserError, printable
from edgevl_core.watch.heard import SILENT_S
from edgevl_core.watch.seen import Seen, as_json

if TYPE_CHECKING:
    from edgevl_ros.watch.listener import Listener

EVERY_S = 1.0
ONCE_S = 2.0  # rates and all latched topics have come by then, where anybody speaks


def show(namespace: str, *, plain: bool, json: bool, once: bool) -> None:
    """Watch until Ctrl-C; with ``once``, until something was heard.

    Raises:
        UserError: ``once``, and no node speaks; or the namespace can be none.
    """
    with _interrupted() as stop, _listener(namespace) as listener:
        if once:
            _once(listener, stop, json)
        elif json:
            _each(listener, stop, _print_json)
        elif plain or not sys.stdout.isatty():
            _each(listener, stop, PlainLines())
        else:
            _live(listener, stop, namespace)


@contextmanager
def _interrupted() -> Iterator[Callable[[], bool]]:
    """Ctrl-C is the way to end this: it becomes an answer, wherever rclpy is at that moment."""
    told: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield lambda: bool(told)
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _listener(namespace: str) -> Iterator["Listener"]:
    # Here, where Ctrl-C cannot break it off: half an rclpy says that ROS 2 is not installed well.
    from edgevl_ros.watch.listener import Listener

    listener = Listener(namespace)
    try:
        yield listener
    finally:
        listener.close()


def _each(listener: "Listener", stop: Callable[[], bool], write: Callable[[Seen], None]) -> None:
    while not stop():
        seen = listener.listen(EVERY_S, stop)
        if not stop():
            write(seen)


def _once(listener: "Listener", stop: Callable[[], bool], json: bool) -> None:
    seen = listener.listen(ONCE_S, stop)
    while not seen.nodes and seen.watched_s < SILENT_S and not stop():
        seen = listener.listen(EVERY_S, stop)
    if stop():
        return
    if nothing := nothing_heard(seen):
        raise UserError(nothing)
    if json:
        _print_json(seen)
        return
    for row in rows(seen):
        print(_line(row))


def _live(listener: "Listener", stop: Callable[[], bool], namespace: str) -> None:
    with Live(Text("listening ..."), screen=True, auto_refresh=False, console=Console()) as live:
        while not stop():
            seen = listener.listen(EVERY_S, stop)
            live.update(screen(seen, f"edgevl watch {namespace}  {time.strftime('%H:%M:%S')}"), refresh=True)


def _print_json(seen: Seen) -> None:
    print(to_json({"time": round(time.time(), 3), **as_json(seen)}), flush=True)


class PlainLines:
    """One line a second; what is wrong or silent is said when that begins, and not again while it lasts."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, seen: Seen) -> None:
        wrong = troubles(seen)
        new = [row for row in wrong if row.name not in self._told]
        self._told = {row.name for row in wrong}
        for row in new:
            print(_line(row), flush=True)
        usual = [row for row in rows(seen) if row not in wrong]
        if usual:
            said = " | ".join(f"{row.name}: {row.text}" for row in usual)
            print(f"{time.strftime('%H:%M:%S')} {_printable(said)}", flush=True)


def _line(row: Row) -> str:
    mark = "! " if row.fine is False else ""
    return _printable(f"{mark}{row.text}" if row.fine is None else f"{mark}{row.name}: {row.text}")


def _printable(text: str) -> str:
    """What a message of anybody says, without what would steer a terminal."""
    return printable(text, "?").replace("\n", "?")
