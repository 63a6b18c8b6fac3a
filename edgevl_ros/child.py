"""The adaptation's child process: its command, a clean environment, its status file, and its end. No ROS.

The child trains with torch, which the robot's nodes never import; it has its own process group, so that
a cancel ends what it started too, and a lower priority than the robot's own work.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edgevl_core.errors import UserError

BOOTSTRAP_GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"


class Progress(BaseModel):
    """RUN/status.json, written by ``edgevl adapt``: progress 0..1 of the whole, eta in seconds."""

    model_config = ConfigDict(frozen=True)

    state: Literal["running", "succeeded", "failed", "cancelled"]
    stage: str = ""
    progress: float = 0.0
    eta_s: float | None = None
    message: str = ""
    bundle_path: str = ""
    bundle_id: str = ""
    exit_code: int | None = None


def read_progress(run: Path) -> Progress | None:
    """The run's progress; None before the first status (it is replaced atomically, never half written).

    Raises:
        UserError: the file is there and is no status.
    """
    path = run / "status.json"
    try:
        return Progress.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise UserError(f"{path}: not a status of edgevl adapt: {error.errors()[0]['msg']}") from error


def edgevl_command(executable: str) -> list[str]:
    """The command line program: ``executable`` if given, else `edgevl` beside this Python, else its module.

    Raises:
        UserError: ``executable`` names no program.
    """
    if executable:
        found = shutil.which(executable)
        if found is None:
            raise UserError(f"executable {executable!r} is no program here: give a path, or leave it empty")
        return [found]
    # Beside the Python that runs, not beside what it links to: a venv's python is a link to the system's.
    beside = Path(sys.executable).parent / "edgevl"
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "edgevl_cli.main"]


def adapt_arguments(
    bags: Sequence[str], teacher: str, labels: str, out: Path, recipe: str, overrides: Sequence[str]
) -> list[str]:
    """Arguments of ``edgevl adapt``; an empty recipe is left to its default."""
    arguments = ["adapt", *bags, "--teacher", teacher, "--labels", labels, "--out", str(out)]
    if recipe:
        arguments += ["--recipe", recipe]
    for override in overrides:
        arguments += ["--set", override]
    return arguments


def clean_environment(environment: Mapping[str, str], prefix: str = sys.prefix) -> dict[str, str]:
    """``environment`` without what the ROS wheels put there for this process.

    The wheels' start-up hook extends LD_LIBRARY_PATH by directories of their venv and sets a guard that
    children inherit: another venv's Python would load the wrong libraries, or lack its own.
    """
    cleaned = {name: value for name, value in environment.items() if name != BOOTSTRAP_GUARD}
    root = Path(prefix).resolve()
    entries = [entry for entry in cleaned.pop("LD_LIBRARY_PATH", "").split(os.pathsep) if entry]
    foreign = [entry for entry in entries if not Path(entry).resolve().is_relative_to(root)]
    if foreign:
        cleaned["LD_LIBRARY_PATH"] = os.pathsep.join(foreign)
    return cleaned


class Child:
    """A started process in a group of its own, its output in a file.

    Args:
        command: program and arguments.
        log: file for stdout and stderr; its directory must exist.
        niceness: 0 (as this process) to 19 (only idle time).
    """

    def __init__(self, command: Sequence[str], log: Path, niceness: int) -> None:
        self.log = log
        with open(log, "wb") as output:
            self._process = subprocess.Popen(
                ["nice", "-n", str(niceness), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environment(os.environ),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id, and id of the process group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative: ended by that signal."""
        return self._process.poll()

    def end(self, grace_s: float) -> int:
        """SIGTERM to the group, SIGKILL to what is left after ``grace_s``; returns the exit code."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        code = self._process.wait()
        self._signal(signal.SIGKILL)  # grandchildren that outlived their parent
        return code

    def last_line(self) -> str:
        """The last line of its output, where a command line puts its one-line error; may be empty."""
        with open(self.log, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 4096))
            lines = stream.read().decode("utf-8", errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # the group is gone already
