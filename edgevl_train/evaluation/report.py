"""One picture of a run: losses, validation figures, sizes, what curation kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.draw.plots import CAMERA_COLOURS, as_written, png
from edgevl_train.metrics_file import METRICS_FILE, read_records

_MOST_BARS = 24
_STUDENTS = {"fp32": "float", "ptq": "int8, PTQ", "int8": "int8, QAT"}


def write_report(run: Path | str) -> Path:
    """Draw ``run/report.png`` from its metrics.jsonl and report.json.

    Raises:
        UserError: ``run`` is no finished run.
    """
    run = Path(run)
    missing = [name for name in (METRICS_FILE, "report.json") if not (run / name).is_file()]
    if missing:
        raise UserError(f"{run} has no {' and no '.join(missing)}: pass the run directory of a finished `edgevl adapt`")
    report = json.loads((run / "report.json").read_text())
    path = run / "report.png"
    atomic_write(path, _draw(read_records(run), report))
    return path


def _draw(lines: list[dict[str, Any]], report: dict[str, Any]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(17.5, 3.8), layout="constrained")
    axes = figure.subplots(1, 6, width_ratios=[3, 3, 2.4, 1.6, 2.4, 2.4])
    losses, agreement, students, sizes, coverage, curation = axes
    _curves(losses, lines, "loss_", "loss")
    _curves(agreement, lines, "agree_", "agreement with the teacher's RGB answer")
    agreement.set_ylim(0, 1)
    found = [name for name in _STUDENTS if name in report["students"]]
    for offset, (modality, colour) in enumerate(CAMERA_COLOURS.items()):
        values = [report["students"][name]["agreement"][modality] for name in found]
        at = [i + (offset - 1) * 0.27 for i in range(len(found))]
        bars = students.bar(at, values, 0.25, color=colour, label=modality)
        students.bar_label(bars, fmt="%.2f", fontsize=7)
    students.set(xticks=range(len(found)), xticklabels=[_STUDENTS[name] for name in found], ylim=(0, 1.1))
    students.set_title("agreement, as exported", fontsize=9)
    students.legend(fontsize=7, loc="lower right")
    bars = sizes.bar(range(len(found)), [report["students"][name]["bytes"] / 1e6 for name in found], color="#8c8c8c")
    sizes.bar_label(bars, fmt="%.2f", fontsize=7)
    sizes.set(xticks=range(len(found)), xticklabels=[_STUDENTS[name] for name in found])
    sizes.tick_params(axis="x", rotation=30)
    sizes.set_title("size, MB", fontsize=9)
    _covered(coverage, report.get("coverage", {}))
    _kept_and_dropped(curation, report["curation"])
    pairs = report["pairs"]
    title = f"{pairs['train']} training pairs, {pairs['val']} validation pairs (split by {report['split_by']})"
    if "decision" in report:
        title += "\n" + report["decision"]["sentence"]
    figure.suptitle(as_written(title), fontsize=10)
    return png(figure, dpi=110)


def _curves(axes: Any, lines: list[dict[str, Any]], prefix: str, title: str) -> None:
    """Stage 2 follows stage 1 on one axis of epochs; a dotted line parts them."""
    last = max((line["epoch"] for line in lines if line["stage"] == "stage1"), default=0)
    for stage, start, style in (("stage1", 0, "o-"), ("stage2", last, "s--")):
        rows = [line for line in lines if line["stage"] == stage]
        for modality, colour in CAMERA_COLOURS.items():
            points = [(start + row["epoch"], row[prefix + modality]) for row in rows if prefix + modality in row]
            if points:
                axes.plot(*zip(*points), style, color=colour, markersize=3, label=modality if not start else None)
    if any(line["stage"] == "stage2" for line in lines):
        axes.axvline(last, color="grey", linestyle=":", linewidth=1)
    axes.set_xlabel("epoch (stage 1 | stage 2)", fontsize=8)
    axes.set_title(title, fontsize=9)
    if axes.get_legend_handles_labels()[0]:  # a merged student was not trained, and has at most the line between
        axes.legend(fontsize=7)


def _covered(axes: Any, coverage: Mapping[str, Any]) -> None:
    """How many pairs of each of the teacher's answers train and validate; a label without validation is marked."""
    labels = coverage.get("labels", {})
    found = sorted(labels.items(), key=lambda item: -(item[1]["train"] + item[1]["val"]))[:_MOST_BARS]
    train, val = ([pairs[key] for _, pairs in found] for key in ("train", "val"))
    at = range(len(found))
    axes.barh(at, train, color="#4c72b0", label="train")
    axes.barh(at, val, left=train, color="#dd8452", label="validate")
    names = [as_written(name if pairs["val"] else f"{name} (none)") for name, pairs in found]
    axes.set_yticks(at, names, fontsize=min(8, 110 / max(1, len(found))))
    axes.invert_yaxis()
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title("the teacher's answers, pairs", fontsize=9)
    if found:
        axes.legend(fontsize=7, loc="lower right")
        axes.set_xlabel(f"{coverage['covered']} of {coverage['given']} labels validated", fontsize=8)


def _kept_and_dropped(axes: Any, curation: Mapping[str, Mapping[str, Any]]) -> None:
    """A bar for each pseudo-label that the teacher gave, the most frequent on top; "+2": two more labels are in it."""
    given = [item for item in curation.items() if item[1]["candidates"]]
    found = sorted(given, key=lambda item: -item[1]["candidates"])
    shown = found[:_MOST_BARS]
    names = [as_written(name) + (f" +{len(figures['merged'])}" if figures["merged"] else "") for name, figures in shown]
    kept, dropped = ([figures[key] for _, figures in shown] for key in ("kept", "dropped"))
    at = range(len(shown))
    axes.barh(at, kept, color="#55a868")
    axes.barh(at, dropped, left=kept, color="#cccccc")
    axes.set_yticks(at, names, fontsize=min(8, 110 / max(1, len(shown))))
    axes.invert_yaxis()
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("pairs: green kept, grey dropped", fontsize=8)
    part = f" ({len(shown)} of {len(found)})" if len(found) > len(shown) else ""
    axes.set_title(f"pairs by pseudo-label{part}", fontsize=9)
