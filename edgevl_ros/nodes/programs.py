"""The nodes as programs. Loading one takes half a second, in which a signal ends the process at once and quietly.

After that :func:`edgevl_ros.node.runner.run` sees to a clean end. There is nothing to clean up before.
"""

import importlib
import os
import signal
from types import FrameType
from typing import NoReturn

from edgevl_ros.node.exit_guard import leave


def bag_player() -> NoReturn:
    """Console script."""
    _run("bag_player")


def pair_logger() -> NoReturn:
    """Console script."""
    _run("pair_logger")


def scene_classifier() -> NoReturn:
    """Console script."""
    _run("scene_classifier")


def label_overlay() -> NoReturn:
    """Console script."""
    _run("label_overlay")


def room_mapper() -> NoReturn:
    """Console script."""
    _run("room_mapper")


def adaptation_manager() -> NoReturn:
    """Console script."""
    _run("adaptation_manager")


def base_station() -> NoReturn:
    """Console script."""
    _run("base_station")


def _run(node: str) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit_at_once)
    leave(importlib.import_module(f"edgevl_ros.nodes.{node}").main())


def _exit_at_once(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)
