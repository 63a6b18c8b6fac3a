"""The picture of an ablation: every row's mean, its spread and each seed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgevl_core.base.atomic import atomic_write
from edgevl_core.draw.plots import CAMERA_COLOURS, as_written, png


def headline(result: Mapping[str, Any]) -> str:
    """The figure that counts: top-1 on test bags where there were some, else agreement on validation pairs."""
    return "top1" if result["test"] else "validation_agreement"


def draw_ablation(result: Mapping[str, Any], path: Path) -> None:
    """Bars (mean over seeds), error bars (sample standard deviation) and one dot per seed, RGB and depth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots()
    stem, rows = headline(result), list(result["rows"])
    lowest = 1.0
    for modality, offset in (("rgb", -0.2), ("depth", 0.2)):
        found = [result["rows"][row][f"{stem}_{modality}"] for row in rows]
        at = [i + offset for i in range(len(rows))]
        means = [figures["mean"] for figures in found]
        stds = [figures["std"] if len(figures["values"]) > 1 else 0.0 for figures in found]
        bars = axes.bar(at, means, 0.38, yerr=stds, capsize=3, color=CAMERA_COLOURS[modality], label=modality)
        axes.bar_label(bars, fmt="%.3f", fontsize=7, label_type="center", color="white")
        for x, figures in zip(at, found):
            axes.plot([x] * len(figures["values"]), figures["values"], "k.", markersize=4)
            lowest = min(lowest, *figures["values"])
    names = [as_written(result["names"][row].replace(", ", ",\n")) for row in rows]
    axes.set_xticks(range(len(rows)), names, fontsize=8)
    axes.set_ylim(max(0.0, lowest - 0.15), 1.0)
    where = (
        f"top-1 on {', '.join(result['test'])}" if result["test"] else "agreement with the teacher, validation pairs"
    )
    title = f"{where}; training seeds {', '.join(map(str, result['seeds']))}"
    axes.set_title(as_written(title), fontsize=10)
    axes.legend(fontsize=8, loc="lower left")
    atomic_write(path, png(figure, dpi=120))
