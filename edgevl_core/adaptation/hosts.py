"""Where an adaptation runs: on this machine, or on a workstation through ssh and rsync. No ROS.

A host takes files (``put``), turns a command into one that runs there (``command``), shows a small file (``read``)
and gives a run's results back (``fetch``). On a workstation a command lives as long as its connection.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from edgevl_core.adaptation.child import clean_environment
from edgevl_core.adaptation.records import Remote
from edgevl_core.base.errors import UserError

# BatchMode: never asks; an unknown or changed host key is refused. A dead connection is noticed within a minute.
SSH_OPTIONS = (
    *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
)
# Options of ours end here: -s keeps paths from the shell of the other side, --delete makes the copy exact.
RSYNC = ("rsync", "-a", "--partial", "--delete", "-s", "-e", " ".join(("ssh", *SSH_OPTIONS)), "--")
HOST = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*")
DIRECTORY = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./-]*")
RESULTS = ("bundle", "inputs.json", "report.json")
# For any POSIX sh (dash takes a group only after -s). Runs "$@" in a group of its own and ends the group when standard
# input ends, as it does when ssh ends for whatever reason: cancelled, killed, the robot out of reach or without power.
TIED = """exec 3<&0
setsid "$@" </dev/null 3<&- & job=$!
end() { kill -s "$1" -- "-$job" || kill -s "$1" "$job"; }
{ cat; end TERM; sleep 10; end KILL; } <&3 >/dev/null 2>&1 & watch=$!
exec 3<&-
wait "$job"; code=$?
{ kill "$watch"; end KILL; } >/dev/null 2>&1
exit "$code"
"""


class StepFailed(Exception):
    """A program failed.

    Attributes:
        code: its exit code.
    """

    def __init__(self, program: str, code: int) -> None:
        super().__init__(f"{program} failed with exit code {code}")
        self.code = code


@contextmanager
def running(
    command: Sequence[str], stdin: int = subprocess.DEVNULL, stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in this process's group, its output in ours unless ``stdout`` is given; it has ended after the block.

    Where ``stdin`` is a pipe it is never written to, and closed at the end of the block.
    """
    process = subprocess.Popen(command, stdin=stdin, stdout=stdout, env=clean_environment(os.environ))
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()


def call(command: Sequence[str], stdin: int = subprocess.DEVNULL, stdout: int | None = None) -> bytes:
    """Run a program to its end; its output where ``stdout`` is a pipe.

    Raises:
        StepFailed: its exit code is not 0.
    """
    with running(command, stdin, stdout) as process:
        output = process.stdout.read() if process.stdout is not None else b""
        code = process.wait()
    if code != 0:
        raise StepFailed(command[0], code)
    return output


class Host(Protocol):
    """What a host offers; ``poll_s``: how often to look at a running command's files."""

    poll_s: float
    stdin: int
    program: tuple[str, ...]

    def run_path(self, run: Path) -> str: ...

    def put(self, path: str) -> str: ...

    def command(self, arguments: Sequence[str]) -> list[str]: ...

    def read(self, path: str) -> bytes: ...

    def fetch(self, run: Path) -> None: ...


class LocalHost:
    """This machine: nothing to copy."""

    poll_s = 0.2
    stdin = subprocess.DEVNULL

    def __init__(self, program: tuple[str, ...]) -> None:
        self.program = program

    def run_path(self, run: Path) -> str:
        return str(run)

    def put(self, path: str) -> str:
        return path

    def command(self, arguments: Sequence[str]) -> list[str]:
        return list(arguments)

    def read(self, path: str) -> bytes:
        """The content; empty where there is no such file yet."""
        try:
            return Path(path).read_bytes()
        except FileNotFoundError:
            return b""

    def fetch(self, run: Path) -> None:  # noqa: ARG002  (a host's, see Host)
        return None


class SshHost:
    """A workstation. No value reaches a shell unquoted; host and directory hold only harmless characters."""

    poll_s = 5.0
    stdin = subprocess.PIPE

    def __init__(self, remote: Remote) -> None:
        self._host, self._directory = remote.host, remote.directory
        self.program = remote.command

    def run_path(self, run: Path) -> str:
        return f"{self._directory}/runs/{run.name}"

    def put(self, path: str) -> str:
        """Copy a file or a directory; what is there already from an earlier time is not sent again."""
        source = Path(path).expanduser().resolve()
        directory = f"{self._directory}/inputs/{hashlib.sha256(str(source).encode()).hexdigest()[:12]}"
        call(self._ssh(["mkdir", "-p", "--", directory]))
        call([*RSYNC, str(source), f"{self._host}:{directory}/"])
        return f"{directory}/{source.name}"

    def command(self, arguments: Sequence[str]) -> list[str]:
        return self._ssh(["sh", "-c", TIED, "sh", *arguments])

    def read(self, path: str) -> bytes:
        """The content; empty where there is no such file yet, or the host cannot be reached just now."""
        try:
            return call(self._ssh(["cat", "--", path]), stdout=subprocess.PIPE)
        except StepFailed:
            return b""

    def fetch(self, run: Path) -> None:
        """Copy what a run has made to this machine's ``run``."""
        run.mkdir(exist_ok=True)
        call([*RSYNC, *(f"{self._host}:{self.run_path(run)}/{name}" for name in RESULTS), f"{run.resolve()}/"])

    def _ssh(self, arguments: Sequence[str]) -> list[str]:
        return ["ssh", *SSH_OPTIONS, "--", self._host, shlex.join(arguments)]


def check_remote(remote: Remote) -> None:
    """Refuse what cannot work before anything is sent.

    Raises:
        UserError: host or directory with other characters than accepted, no command, no ssh or rsync here.
    """
    if not HOST.fullmatch(remote.host):
        raise UserError(
            f"parameter remote_host = {remote.host!r}: accepted: name or user@name of letters, digits, '.', '-' and "
            "'_'; give ports and keys in ssh's own configuration"
        )
    if not DIRECTORY.fullmatch(remote.directory) or ".." in remote.directory.split("/"):
        raise UserError(
            f"parameter remote_directory = {remote.directory!r}: accepted: a directory on {remote.host}, of letters, "
            "digits, '.', '-', '_' and '/', without '..'; a relative one is below the home directory"
        )
    if not remote.command or not remote.command[0].strip():
        raise UserError(f"parameter remote_command is empty: give the edgevl program on {remote.host}")
    for program in ("ssh", "rsync"):
        if shutil.which(program) is None:
            raise UserError(f"parameter remote_host = {remote.host!r} needs {program}, not installed here")
