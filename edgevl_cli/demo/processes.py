"""The demo's child processes: ROS nodes and ``edgevl`` commands, each with a log of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from edgevl_core.base.errors import UserError

STOP_TIMEOUT_S = 10.0


def _ros_argument(value: Any) -> str:
    """One parameter value as the flow-style YAML that ``-p name:=value`` reads."""
    return yaml.safe_dump(value, default_flow_style=True, width=1 << 20).removesuffix("\n...\n").strip()


@contextmanager
def node(name: str, parameters: Mapping[str, Any], logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``edgevl_ros.<name>`` while the block lasts; SIGINT ends it, its output goes to ``logs/<name>.log``.

    Raises:
        RuntimeError: the node did not end cleanly (its log is named).
    """
    arguments = [part for key, value in parameters.items() for part in ("-p", f"{key}:={_ros_argument(value)}")]
    log_path = logs / f"{name}.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"edgevl_ros.nodes.{name}", "--ros-args", *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's Ctrl-C reaches the demo alone, which then stops its nodes
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"{name} ended with exit code {process.returncode}; its log is {log_path}")


def edgevl(*arguments: str | Path) -> None:
    """Run an ``edgevl`` command in a child process whose progress shows here.

    Raises:
        UserError: it ended with an error; what went wrong stands above on the terminal.
    """
    command = [sys.executable, "-m", "edgevl_cli.main", *map(str, arguments)]
    exit_code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    if exit_code != 0:
        raise UserError(f"'edgevl {arguments[0]} …' ended with exit code {exit_code}: the reason stands above")


def use_large_messages(profile: Path) -> None:
    """Let Fast DDS carry images: set its profile for this process and its children, before rclpy starts.

    The default settings lose images between processes; the profile widens the shared-memory segment.
    """
    from edgevl_ros.node.dds import profile_variables

    for variable in profile_variables():
        os.environ.setdefault(variable, str(profile))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
