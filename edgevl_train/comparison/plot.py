"""compare.png: accuracy against size, time and data, RGB and depth, with the spread of the seeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgevl_core.base.atomic import atomic_write
from edgevl_core.draw.plots import as_written, png

_MARKERS = {"rgb": "o", "depth": "s"}


def draw_comparison(result: Mapping[str, Any], path: Path) -> None:
    """Three panels: int8 accuracy at the largest fraction against MB and against ms; and against the pairs used."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.4), layout="constrained")
    by_size, by_time, by_data = figure.subplots(1, 3)
    largest = str(max(result["fractions"]))
    for number, (name, recipe) in enumerate(result["recipes"].items()):
        colour, cells = f"C{number % 10}", result["cells"][name]
        places = ((by_size, recipe["int8"]["bytes"] / 1e6), (by_time, recipe["int8"]["ms"][1]))
        for modality, marker in _MARKERS.items():
            stem = f"{result['figure']}_{modality}"
            for axes, at in places:
                spread = cells[largest]["stage2_int8"][stem]
                axes.errorbar(at, spread["mean"], _std(spread), fmt=marker, color=colour, capsize=3, markersize=5)
            spreads = [cells[str(percent)]["stage2_int8"][stem] for percent in result["fractions"]]
            pairs = [result["pairs"][str(percent)] for percent in result["fractions"]]
            style = {"color": colour, "capsize": 3, "markersize": 4, "label": as_written(f"{name}, {modality}")}
            line = "-" if modality == "rgb" else "--"
            by_data.errorbar(
                pairs, [each["mean"] for each in spreads], [_std(each) for each in spreads], fmt=marker + line, **style
            )
    by_size.set_xlabel("MB, int8 file")
    by_time.set_xlabel("ms for one image, int8, one thread")
    by_data.set_xlabel("training pairs, same number of steps")
    by_data.set_xscale("log")
    by_data.legend(fontsize=6, loc="best")
    by_size.set_ylabel(as_written(_what(result)))
    for axes, marker, modality in ((by_size, "o", "RGB"), (by_size, "s", "depth")):
        axes.plot([], [], marker, color="grey", label=modality)
    by_size.legend(fontsize=8, loc="best")
    for axes in (by_size, by_time):
        axes.set_xlim(0, 1.15 * axes.dataLim.x1)
    for axes in (by_size, by_time, by_data):
        axes.grid(alpha=0.3)
    atomic_write(path, png(figure, dpi=110))


def _std(spread: Mapping[str, Any]) -> float:
    return float(spread["std"]) if len(spread["values"]) > 1 else 0.0


def _what(result: Mapping[str, Any]) -> str:
    where = f"top-1 on {', '.join(result['test'])}" if result["test"] else "agreement with the teacher"
    return f"{where}, {len(result['seeds'])} seed(s)"
