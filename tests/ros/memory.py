"""What a node's process holds, once and over hours."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.ros.harness import NodeProcess


class Held(NamedTuple):
    """What a process holds. ``memory_mb``: its own, without mapped files and memory shared with others."""

    memory_mb: float
    descriptors: int
    threads: int


def held(node: NodeProcess) -> Held:
    memory_kb, threads = (_status(node, name) for name in ("RssAnon", "Threads"))
    return Held(memory_kb / 1024, sum(1 for _ in Path(f"/proc/{node.process.pid}/fd").iterdir()), threads)


def peak_mb(node: NodeProcess) -> float:
    """The most that a process ever had in memory, with all libraries."""
    return _status(node, "VmHWM") / 1024


def _status(node: NodeProcess, name: str) -> int:
    lines = Path(f"/proc/{node.process.pid}/status").read_text().splitlines()
    return int(dict(line.split(":", 1) for line in lines)[name].split()[0])


class Course:
    """How a process's memory goes on, by samples at least ten seconds apart, and what it took at most."""

    def __init__(self, node: NodeProcess) -> None:
        self._node = node
        self._samples: list[tuple[float, float]] = []

    def sample(self) -> None:
        """Take one, if it is time."""
        now_s = time.monotonic()
        if not self._samples or now_s - self._samples[-1][0] >= 10:
            self._samples.append((now_s, held(self._node).memory_mb))

    def settled(self) -> list[tuple[float, float]]:
        """(seconds, MB) from a fifth of the time on: before that, a process still loads what it needs."""
        begin_s, end_s = self._samples[0][0], self._samples[-1][0]
        return [(at_s, mb) for at_s, mb in self._samples if at_s >= begin_s + (end_s - begin_s) / 5]

    def growth_mb(self) -> float:
        """By a straight line through the settled samples, from the first to the last."""
        at_s, mb = np.array(self.settled()).T
        return float(np.polyfit(at_s - at_s[0], mb, 1)[0] * (at_s[-1] - at_s[0])) if len(mb) > 2 else 0.0

    def row(self) -> str:
        """Of a table: first, last, growth by a straight line in MB an hour, the most with all libraries."""
        settled = self.settled()
        hours = max(settled[-1][0] - settled[0][0], 1e-9) / 3600
        return (
            f"| {self._node.name} | {settled[0][1]:.1f} | {settled[-1][1]:.1f} | {self.growth_mb() / hours:+.1f} | "
            f"{peak_mb(self._node):.0f} |"
        )
