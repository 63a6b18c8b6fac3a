"""Where a network's time goes, by operator, as ONNX Runtime's own profiler sees it."""

import json
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgevl_core.engine import CPU_ONLY, INPUT_NAME, Engine, open_session

_RUNS = 40
_KERNEL = "_kernel_time"


def by_operator(onnx_file: Path) -> list[dict[str, Any]]:
    """One image on one thread: {"operator", "nodes", "ms", "share"}, most time first.

    A node's time is its median over 40 runs; the profiler's own cost, microseconds a node, is in it.
    """
    size_px = Engine(onnx_file).size_px
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, size_px, size_px), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(onnx_file, 1, CPU_ONLY, profile_to=Path(folder) / "profile")
        for _ in range(_RUNS):
            session.run(None, {INPUT_NAME: pixels})
        events = json.loads(Path(session.end_profiling()).read_text())
    runs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            runs[event["args"]["op_name"], event["name"].removesuffix(_KERNEL)].append(event["dur"] / 1e3)
    nodes_ms: dict[str, list[float]] = defaultdict(list)
    for (operator, _), times_ms in runs.items():
        nodes_ms[operator].append(median(times_ms))
    total_ms = sum(map(sum, nodes_ms.values()))
    found = [
        {"operator": operator, "nodes": len(times_ms), "ms": sum(times_ms), "share": sum(times_ms) / total_ms}
        for operator, times_ms in nodes_ms.items()
    ]
    return sorted(found, key=lambda entry: entry["ms"], reverse=True)
