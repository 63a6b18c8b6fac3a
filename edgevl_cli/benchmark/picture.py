"""Latency against size in one picture, and accuracy against latency where a labelled bag was given."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from edgevl_cli.benchmark.run import ONNX_RUNTIME, OPENVINO, PYTORCH
from edgevl_core.base.atomic import atomic_write
from edgevl_core.draw.plots import as_written, png

_COLOURS = {"float": "#4c72b0", "int8": "#c44e52", "int8 dynamic": "#dd8452", "int8 QAT": "#55a868"}
_FILLS = {OPENVINO: "white", PYTORCH: "0.75"}
_MARKERS = {"teacher": "s", "student": "o", "bundle": "*"}


def write_plot(numbers: Mapping[str, Any], path: Path) -> None:
    """Draw the figures of a benchmark into a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, draw(numbers))


def draw(numbers: Mapping[str, Any]) -> bytes:
    """The picture as PNG bytes."""
    from matplotlib.figure import Figure

    panels = [_latency] if numbers["accuracy"] is None else [_latency, _accuracy]
    figure = Figure(figsize=(8.5 * len(panels), 6), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axes, numbers)
        axes.grid(True, which="both", alpha=0.25)
    machine, load = numbers["machine"], numbers["load"]
    figure.suptitle(
        f"{machine['cpu']}, one thread, batch 1, {numbers['settings']['rounds']} rounds, load {load['start']} to "
        f"{load['end']}",
        fontsize=10,
    )
    return png(figure, dpi=110)


def _latency(axes: Any, numbers: Mapping[str, Any]) -> None:
    """A model's files are joined by a line; bars are quartiles."""
    from matplotlib.lines import Line2D

    by_model: dict[str, list[Mapping[str, Any]]] = {}
    for row in numbers["rows"]:
        by_model.setdefault(row["model"], []).append(row)
    for name, rows in by_model.items():
        rows = sorted(rows, key=lambda r: r["bytes"])
        axes.plot([r["bytes"] / 1e6 for r in rows], [r["ms"]["median"] for r in rows], color="0.8", zorder=1)
        for row in rows:
            x, ms = row["bytes"] / 1e6, row["ms"]
            spread = [[ms["median"] - ms["q1"]], [ms["q3"] - ms["median"]]]
            style = {"color": _COLOURS[row["precision"]], "fmt": _MARKERS[row["kind"]]}
            fill = {"markerfacecolor": _FILLS[row["runtime"]]} if row["runtime"] in _FILLS else {}
            axes.errorbar(x, ms["median"], yerr=spread, markersize=8, capsize=3, **style, **fill)
        at = (rows[0]["bytes"] / 1e6, rows[0]["ms"]["median"])  # the smallest files lie farthest apart
        if rows[0]["kind"] == "teacher":  # on the right of the students, whose names stand on the left
            place = {"xytext": (7, -3), "ha": "left", "va": "top"}
        else:
            place = {"xytext": (-7, 0), "ha": "right", "va": "center"}
        axes.annotate(as_written(name), at, textcoords="offset points", fontsize=8, **place)
    axes.set(xscale="log", yscale="log", xlabel="file, MB", ylabel="ms an image", title="latency against size")
    axes.margins(0.1, 0.12)
    sizes_mb = [row["bytes"] / 1e6 for row in numbers["rows"]]
    axes.set_xlim(min(sizes_mb) / 4, max(sizes_mb) * 2.5)  # room for the names
    plain = partial(Line2D, [], [], linestyle="", color="0.4")
    kinds = {row["kind"] for row in numbers["rows"]}
    legend = [Line2D([], [], linestyle="", marker="o", color=c, label=precision) for precision, c in _COLOURS.items()]
    legend += [plain(marker=_MARKERS[kind], label=kind) for kind in _MARKERS if kind in kinds]
    runtimes = {row["runtime"] for row in numbers["rows"]}
    legend += [plain(marker="o", markerfacecolor=_FILLS[r], label=r) for r in _FILLS if r in runtimes]
    axes.legend(handles=legend, fontsize=8, loc="upper left")


def _accuracy(axes: Any, numbers: Mapping[str, Any]) -> None:
    markers = {"rgb": "o", "depth": "s", "rgbd": "*"}
    rows = [row for row in numbers["rows"] if row["kind"] == "bundle" and row["runtime"] == ONNX_RUNTIME]
    own = {row["precision"]: row for row in rows}
    for precision, top1 in numbers["accuracy"].items():
        for modality, marker in markers.items():
            x, label = own[precision]["ms"]["median"], f"{precision}, {modality}"
            axes.plot(x, top1[modality], marker, color=_COLOURS[precision], label=label)
    axes.set(xscale="log", xlabel="ms an image", ylabel="top-1 on the bag", title="accuracy against latency")
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=8, loc="lower right")
