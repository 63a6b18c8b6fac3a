"""docs/students.md, and what is printed."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from students_parts.candidates import Candidate

Rows = Sequence[Mapping[str, Any]]
TITLES = {"sim": "Simulated homes", "real": "Real rooms"}


def mean_spread(rows: Rows, kind: str, figure: str) -> tuple[float, float | None]:
    """Mean over the seeds, and their standard deviation where there are several."""
    values = [row[kind][figure] for row in rows]
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def by_name(rows: Rows, task: str) -> dict[str, list[Mapping[str, Any]]]:
    """The seeds of each student in one task."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["task"] == task:
            found.setdefault(row["name"], []).append(row)
    return found


def score(rows: Rows) -> float:
    """What students are ranked by: top-1 of the int8 student, the mean of RGB, depth and both."""
    return float(np.mean([mean_spread(rows, "int8", f"top1_{m}")[0] for m in ("rgb", "depth", "rgbd")]))


def tables(rows: Rows, latency: Mapping[str, Any], network_of: Mapping[str, str]) -> str:
    """Markdown: one table a task, best first."""
    return "\n\n".join(_table(rows, task, latency, network_of) for task in TITLES if by_name(rows, task))


def _table(rows: Rows, task: str, latency: Mapping[str, Any], network_of: Mapping[str, str]) -> str:
    found = by_name(rows, task)
    first = next(iter(found.values()))[0]
    seeds = sorted({row["seed"] for row in rows if row["task"] == task})
    epochs = sorted({tuple(row["epochs"]) for row in rows if row["task"] == task})
    lines = [
        f"## {TITLES[task]}",
        "",
        f"{first['train_pairs']} pairs to learn from, {first['float']['frames']:.0f} frames that judge, "
        f"{' and '.join(f'{one} + {two}' for one, two in epochs)} epochs, seeds {', '.join(map(str, seeds))}. "
        "Top-1, RGB / depth / both.",
        "",
        "| student | learning rate | float | int8 | int8 mean | M parameters | float ms | int8 ms | OpenVINO int8 ms "
        f"| times {latency['reference']} | OpenVINO, times it |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, of_seeds in sorted(found.items(), key=lambda item: -score(item[1])):
        time = latency["by"][network_of[name]]
        rates = ", ".join(f"{lr:g}" for lr in sorted({row["lr"] for row in of_seeds}))
        cells = [name, rates, _figures(of_seeds, "float"), _figures(of_seeds, "int8"), f"{score(of_seeds):.3f}"]
        cells.append(f"{time['parameters'] / 1e6:.1f}")
        cells += [f"{time[kind]['ms'][1]:.2f}" if kind in time else "" for kind in ("float", "int8", "openvino")]
        cells += [f"{time[kind]['ratio'][1]:.2f}" if kind in time else "" for kind in ("int8", "openvino")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figures(rows: Rows, kind: str) -> str:
    cells = []
    for modality in ("rgb", "depth", "rgbd"):
        mean, spread = mean_spread(rows, kind, f"top1_{modality}")
        cells.append(f"{mean:.3f}" + (f" ± {spread:.3f}" if spread is not None else ""))
    return " / ".join(cells)


def document(rows: Rows, latency: Mapping[str, Any], network_of: Mapping[str, str]) -> str:
    """docs/students.md."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("timm", "torch", "onnxruntime"))
    return f"""# Which student

Made by `benchmarks/students.py`, {libraries}. All students of a task had the same training: pairs, the teacher's
embeddings, views, augmentation, epochs and size of the images ({latency["size_px"]} px). Where several learning rates
were tried, each student has the one with which it agreed best with the teacher on validation pairs. They began with
random weights, the rows "ImageNet" excepted. The recipes are `config/train/demo.yaml` on simulated homes (bags and
teacher as the demo makes them, homes never seen in training judge) and `config/train/real_rooms.yaml` on real rooms
(NYU Depth V2, the first of the five folds of `benchmarks/real_rooms.py` judges). float: the student of stage 1. int8:
that of stage 2, as the engine runs it; int8 mean: of its three figures. So few frames judge on real rooms that
differences below 0.05 say nothing.

What this does not show: longer training, larger images, pretrained weights of the others.

Times: medians of one image with one thread, files of random weights at {latency["size_px"]} px, all in one interleaved
run of {latency["rounds"]} rounds on {_machine(latency["machine"])}. "times {latency["reference"]}": median over the
rounds of its time divided by that of {latency["reference"]}'s int8 file in ONNX Runtime. mobileone and repvgg are
timed, and quantised, with their branches merged.

![accuracy of the int8 students against their time](students.png)

{tables(rows, latency, network_of)}
"""


def _machine(described: Mapping[str, Any]) -> str:
    return str(described.get("cpu") or described.get("processor") or "this machine")


def ranking(rows: Rows, candidates: Sequence[Candidate], size_px: int) -> dict[str, Any]:
    """config/students.json, for ``edgevl adapt --budget-ms``: the mean score over the tasks, all from random weights.

    A student that lacks a task of the others is left out.
    """
    tasks, seeds = sorted({row["task"] for row in rows}), sorted({row["seed"] for row in rows})
    scored = []
    for candidate in candidates:
        found = [by_name(rows, task).get(candidate.name) for task in tasks]
        if candidate.imagenet or None in found:
            continue
        mean = float(np.mean([score(of_seeds) for of_seeds in found if of_seeds]))
        scored.append({"name": candidate.model, "backbone": candidate.backbone, "score": round(mean, 4)})
    return {
        "made_by": f"benchmarks/students.py at {size_px} px, seeds {', '.join(map(str, seeds))}; docs/students.md",
        "by": f"top-1 of int8 students at equal training ({' and '.join(TITLES[task].lower() for task in tasks)})",
        "students": sorted(scored, key=lambda each: -each["score"]),
    }
