"""The nodes as programs. Loading one takes half a second, in which a signal ends the process at once and quietly.

After that :func:`edgevl_ros.node.runner.run` sees to a clean end. There is nothing to clean up before.
"""

import importlib
import os
import signal
from types import FrameType


def bag_player() -> int:
    """Console script; returns the exit code."""
    return _run("bag_player")


def pair_logger() -> int:
    """Console script; returns the exit code."""
    return _run("pair_logger")


def scene_classifier() -> int:
    """Console script; returns the exit code."""
    return _run("scene_classifier")


def label_overlay() -> int:
    """Console script; returns the exit code."""
    return _run("label_overlay")


def room_mapper() -> int:
    """Console script; returns the exit code."""
    return _run("room_mapper")


def adaptation_manager() -> int:
    """Console script; returns the exit code."""
    return _run("adaptation_manager")


def _run(node: str) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_at_once)
    return int(importlib.import_module(f"edgevl_ros.nodes.{node}").main())


def _exit_at_once(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)
