"""A child process that outlives a crash of the node that started it: started, found again, ended. No ROS.

It has its own process group, so that its end is also the end of what it started, its output goes to a file, and its
priority is lower than that of the robot's own work.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgevl_core.base.errors import UserError

BOOTSTRAP_GUARD = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
LOOK_EVERY_S = 0.02


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


def low_priority(niceness: int) -> list[str]:
    """The prefix of a command for less processor, and where ionice is installed the disk only while it is idle."""
    # -t: where the system does not allow another class of disk access, the command runs all the same.
    disk = ["ionice", "-t", "-c", "3"] if shutil.which("ionice") else []
    return [*disk, "nice", "-n", str(niceness)]


def born(pid: int) -> str:
    """When the process ``pid`` was started, exact enough to tell it from a later one of that number; "": none runs.

    The boot's id, then clock ticks since boot (field 22 of proc(5)'s stat). A zombie has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {fields[19]}"


def last_line(log: Path) -> str:
    """The last line of a program's output, where a command line puts its one-line error; may be empty."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 4096))
            lines = stream.read().decode("utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1].strip() if lines else ""


def start_child(command: Sequence[str], log: Path, niceness: int) -> "Child":
    """Start a program in a group of its own.

    Args:
        command: program and arguments.
        log: file for stdout and stderr; its directory must exist.
        niceness: 0 (as this process) to 19 (only idle time).
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*low_priority(niceness), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=clean_environment(os.environ),
            start_new_session=True,
        )
    return Child(process.pid, born(process.pid), process)


class Child:
    """A process that leads a group: one's own (``process``), or one found again by its number and its birth.

    Attributes:
        pid, born: see :func:`born`; what must be remembered to find it again.
    """

    def __init__(self, pid: int, born: str, process: subprocess.Popen[bytes] | None = None) -> None:
        self.pid, self.born = pid, born
        self._process = process

    def is_running(self) -> bool:
        """Whether this very process still runs."""
        if self._process is not None:
            self._process.poll()  # one's own is a zombie until it is asked for
        return self.born != "" and born(self.pid) == self.born

    def end(self, grace_s: float) -> None:
        """SIGTERM to the group, SIGKILL to what is left after ``grace_s``; nothing where it has ended already."""
        if not self.is_running():
            return
        self._signal(signal.SIGTERM)
        deadline_s = time.monotonic() + grace_s
        while self.is_running() and time.monotonic() < deadline_s:
            time.sleep(LOOK_EVERY_S)
        self._signal(signal.SIGKILL)  # also grandchildren that outlived their parent
        while self.is_running():
            time.sleep(LOOK_EVERY_S)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return  # the group is gone already
