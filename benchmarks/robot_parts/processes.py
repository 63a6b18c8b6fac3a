"""The camera's process, and what Linux says of a process: time and memory used."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CAMERA = Path(__file__).with_name("camera.py")


class Camera:
    """A camera that has found its subscribers and waits."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def begin(self) -> None:
        self._tell("\n")

    def done(self) -> bool:
        """Whether it has sent everything."""
        return self._process.poll() is not None

    def result(self) -> dict[str, float]:
        """What it sent; it is stopped where it has not ended."""
        if not self.done():
            self._tell("\n")
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the camera's process failed: see above")
        return dict(json.loads(line))

    def _tell(self, text: str) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the camera has no input")
        self._process.stdin.write(text)
        self._process.stdin.flush()


@contextmanager
def camera(count: int, subscribers: int = 1) -> Iterator[Camera]:
    """A camera of ``count`` pairs, when it is ready; it ends with the block."""
    command = [sys.executable, str(CAMERA), str(count), str(subscribers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("the camera's process failed: see above")
        yield Camera(process)


def cpu_s(pid: int) -> float:
    """Processor time a process has used, all its threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> dict[str, float]:
    """Resident memory of a process, 10^6 bytes: "own", and "shared", what it sees of all processes' DDS segments."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    own, file, shared = (int(fields[f"Rss{kind}"].split()[0]) * 1024 / 1e6 for kind in ("Anon", "File", "Shmem"))
    return {"own": own + file, "shared": shared}
