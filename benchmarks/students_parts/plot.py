"""docs/students.png: accuracy against time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgevl_core.base.atomic import atomic_write
from edgevl_core.draw.plots import png
from students_parts.table import TITLES, Rows, by_name, score

ENGINES = {"int8": ("ONNX Runtime", "o"), "openvino": ("OpenVINO", "^")}


def draw(rows: Rows, latency: Mapping[str, Any], network_of: Mapping[str, str], path: Path) -> None:
    """One panel a task: each student's int8 time in both engines, joined by a line, against its mean int8 accuracy."""
    from matplotlib.figure import Figure

    tasks = [task for task in TITLES if by_name(rows, task)]
    figure = Figure(figsize=(6.2 * len(tasks), 4.6), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        for number, (name, of_seeds) in enumerate(by_name(rows, task).items()):
            times = {kind: latency["by"][network_of[name]].get(kind) for kind in ENGINES}
            at = [time["ms"][1] for time in times.values() if time]
            height, colour = score(of_seeds), f"C{number % 10}"
            axes.plot(at, [height] * len(at), color=colour, linewidth=1)
            for kind, time in times.items():
                if time:
                    axes.plot(time["ms"][1], height, ENGINES[kind][1], color=colour, markersize=6)
            axes.annotate(name, (max(at), height), xytext=(5, -3), textcoords="offset points", fontsize=7)
        axes.set_xscale("log")
        axes.set_xlabel(f"ms for one image of {latency['size_px']} px, int8, one thread")
        axes.set_ylabel("top-1, mean of RGB, depth, both (int8)")
        axes.set_title(TITLES[task], fontsize=10)
        axes.margins(x=0.25)
        axes.grid(alpha=0.3)
    for label, marker in ENGINES.values():
        axes.plot([], [], marker, color="grey", label=label)
    axes.legend(fontsize=8, loc="lower right")
    atomic_write(path, png(figure, dpi=100))
