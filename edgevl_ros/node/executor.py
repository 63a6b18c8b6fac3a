"""Which executor of rclpy calls a node back, and that a signal ends its wait."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.executors import Executor, SingleThreadedExecutor

from edgevl_core.base.errors import UserError
from edgevl_ros.node.parameters import EVENTS
from edgevl_ros.node.releases import events_executor


def new_executor(name: str) -> Executor:
    """``single_threaded`` or ``events``, both of which call back in the thread that spins.

    rclpy's single-threaded one builds its set of things to wait for anew at every message, in Python: some 2 ms each.
    The other one is called by the middleware.

    Raises:
        UserError: this rclpy has no events executor.
    """
    if name != EVENTS:
        return SingleThreadedExecutor()
    try:
        return events_executor()
    except ImportError as error:
        raise UserError(
            f"parameter executor = {EVENTS}: this rclpy has none ({error}): leave it at its default"
        ) from error


@contextmanager
def signals_wake(executor: Executor) -> Iterator[None]:
    """Let a signal that Python handles end the executor's wait, which C code would sit through; in the main thread."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    previous = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

    def wake() -> None:
        while ours.recv(64):
            executor.wake()

    thread = threading.Thread(target=wake, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        theirs.close()  # the thread reads the end
        thread.join()
        ours.close()
