"""One picture of an evaluation: confusion, abstention, angles, recall by label, and the ROC of "unknown"."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.draw.plots import CAMERA_COLOURS, as_written, png
from edgevl_train.evaluation.metrics.summary import why_no_truth

_MAX_NUMBERED = 12  # labels; numbers in the cells of a larger matrix cannot be read


def write_plot(numbers: Mapping[str, Any], path: Path) -> None:
    """Draw what :func:`edgevl_train.evaluation.evaluate.evaluate` returned into a PNG file.

    Raises:
        UserError: nothing was compared with anything.
    """
    if numbers["against"] is None:
        raise UserError(f"nothing to plot without --teacher: {why_no_truth(numbers)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, draw(numbers))


def draw(numbers: Mapping[str, Any]) -> bytes:
    """The picture as PNG bytes."""
    from matplotlib.figure import Figure

    panels = [_abstention, _angles, _recall] + ([_roc] if "unknown" in numbers else [])
    figure = Figure(figsize=(15, 9.5), layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.15, 1]).flat
    for axes, modality in zip(upper.subplots(1, 3, sharey=True), CAMERA_COLOURS, strict=True):
        _confusion(axes, numbers, modality)
    for axes, panel in zip(lower.subplots(1, len(panels)), panels, strict=True):
        panel(axes, numbers)
        axes.tick_params(labelsize=8)
    against = "true rooms" if numbers["against"] == "truth" else "the teacher's answers"
    title = f"{numbers['model']}: {numbers['samples']} pairs, against {against}"
    figure.suptitle(as_written(title), fontsize=11)
    return png(figure, dpi=110)


def _confusion(axes: Any, numbers: Mapping[str, Any], modality: str) -> None:
    """Shares of each row, so that rare labels are as visible as common ones."""
    labels, counts = list(map(as_written, numbers["labels"])), np.array(numbers["confusion"][modality])
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    at = range(len(labels))
    small = max(3, min(8, 160 // len(labels)))
    axes.set_xticks(at, labels, rotation=90, fontsize=small)
    axes.set_yticks(at, labels, fontsize=small)
    if len(labels) <= _MAX_NUMBERED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            dark = share[row, column] > 0.5
            axes.text(
                *(column, row, str(counts[row, column])),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
            )
    axes.set_xlabel("answered", fontsize=8)
    right = np.trace(counts) / max(counts.sum(), 1)
    axes.set_title(f"{modality}: {right:.3f} of {counts.sum()} pairs right", fontsize=9, color=CAMERA_COLOURS[modality])


def _abstention(axes: Any, numbers: Mapping[str, Any]) -> None:
    for modality, curve in numbers["abstention_curve"].items():
        # The point of fewest answers is drawn back to no coverage: a single point is a line then, too.
        coverage, accuracy = [0, *curve["coverage"]], [curve["accuracy"][0], *curve["accuracy"]]
        axes.plot(coverage, accuracy, color=CAMERA_COLOURS[modality], label=f"{modality}, area {curve['area']:.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="coverage: share answered", ylabel="accuracy of the answers")
    axes.set_title("abstention: the surest first", fontsize=9)
    axes.legend(fontsize=7, loc="lower left")


def _angles(axes: Any, numbers: Mapping[str, Any]) -> None:
    for modality, found in numbers["angles"].items():
        for kind, style in (("right", "-"), ("wrong", "--")):
            if kind not in found:
                continue
            start, counts = found[kind]["histogram"]["start"], found[kind]["histogram"]["counts"]
            axes.stairs(
                np.array(counts) / sum(counts),
                np.arange(start, start + len(counts) + 1),
                color=CAMERA_COLOURS[modality],
                linestyle=style,
                label=f"{modality} {kind}, {found[kind]['mean']:.1f}°",
            )
    axes.set(xlabel="degrees between image and text", ylabel="share of the pairs")
    axes.set_ylim(0, 1.5 * axes.get_ylim()[1])  # the legend stands above the curves
    axes.set_title("right label (solid), nearest wrong one (dashed)", fontsize=9)
    axes.legend(fontsize=7, ncols=2, loc="upper center")


def _recall(axes: Any, numbers: Mapping[str, Any]) -> None:
    rows = {label: row for label, row in numbers["per_class"].items() if row["n"]}
    for offset, (modality, colour) in enumerate(CAMERA_COLOURS.items()):
        at = np.arange(len(rows)) + (offset - 1) * 0.27
        axes.barh(at, [row["recall"][modality] for row in rows.values()], 0.25, color=colour)
    small = max(3, min(8, 160 // max(len(rows), 1)))
    names = [as_written(f"{label} ({row['n']})") for label, row in rows.items()]
    axes.set_yticks(range(len(rows)), names, fontsize=small)
    axes.set(xlim=(0, 1), xlabel="recall")
    axes.invert_yaxis()
    axes.set_title("by label (frames), colours as above", fontsize=9)


def _roc(axes: Any, numbers: Mapping[str, Any]) -> None:
    unknown = numbers["unknown"]
    for modality, roc in unknown["roc"].items():
        label = f"{modality}, AUROC {roc['auroc']:.3f}, {roc['caught_at_10_percent']:.2f} at 0.1"
        axes.plot(roc["false_unknown"], roc["caught"], color=CAMERA_COLOURS[modality], label=label)
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.axvline(0.1, color="grey", linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="other frames called unknown", ylabel="frames caught")
    axes.set_title(as_written(f"unknown: {', '.join(unknown['left_out'])} left out"), fontsize=9)
    axes.legend(fontsize=7, loc="lower right")
