"""Several runs side by side: what differed in their recipes and inputs, and what came of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgevl_core.base.errors import UserError
from edgevl_core.base.sizes import duration, size
from edgevl_core.page.axes import Axes, Chart
from edgevl_core.page.charts import Line, line_chart
from edgevl_core.page.render import figure, percent, write_page
from edgevl_train.report.run_files import MODALITIES, STUDENTS, RunFiles, read_json, read_run

_TEMPLATE = Path(__file__).with_name("comparison.html.j2")
_COLOURS = 8


def write_comparison(runs: Sequence[Path], path: Path) -> Path:
    """Write ``path``, an .html file, of two runs or more.

    Raises:
        UserError: fewer than two runs, one named twice, one that is not finished.
    """
    resolved = [run.resolve() for run in runs]
    if len(runs) < 2 or len(set(resolved)) != len(runs):
        raise UserError(f"--compare {' '.join(map(str, runs))}: two runs or more are needed, each named once")
    files = [read_run(run) for run in runs]
    if unfinished := [str(one.run) for one in files if not one.report]:
        raise UserError(f"--compare {', '.join(unfinished)}: no report.json there: finished runs are accepted")
    names = _names(files)
    content = {
        "title": f"{len(runs)} runs",
        "kind": "comparison",
        "subtitle": ", ".join(str(one.run) for one in files),
        "names": names,
        "verdicts": [one.report.get("decision", {}).get("sentence", "no verdict") for one in files],
        "differences": _differences(files),
        "figures": _figures(files),
        "curves": _curves(files, names),
    }
    return write_page(path, _TEMPLATE, content)


def _names(files: Sequence[RunFiles]) -> list[str]:
    """The directories' names; with their parent's where two are the same."""
    short = [one.name for one in files]
    return [one.name if short.count(one.name) == 1 else f"{one.run.resolve().parent.name}/{one.name}" for one in files]


def _differences(files: Sequence[RunFiles]) -> list[tuple[str, list[str]]]:
    """Settings of the recipes, bags, teacher and labels that are not the same in all runs."""
    settings = [_flat(one.recipe) | _inputs(one) for one in files]
    keys = dict.fromkeys(key for one in settings for key in one)
    rows = [(key, [one.get(key, "–") for one in settings]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + str(key)] = json.dumps(value, ensure_ascii=False, default=str).strip('"')
    return found


def _inputs(files: RunFiles) -> dict[str, str]:
    inputs = read_json(files.run / "inputs.json") or {}
    found = {
        key: str(inputs[key])[:12] for key in ("teacher", "labels", "superset", "first_weights") if inputs.get(key)
    }
    bags = ", ".join(f"{bag['name']} ({bag['pairs']} pairs)" for bag in files.report.get("bags", []))
    return found | ({"bags": bags} if bags else {})


def _figures(files: Sequence[RunFiles]) -> list[dict[str, Any]]:
    """A row for each figure of each student; ``best``: which of the values are the best."""
    rows = [_row("pairs learned from", [one.report.get("pairs", {}).get("train") for one in files], str)]
    rows.append(_row("pairs that validate", [one.report.get("pairs", {}).get("val") for one in files], str))
    for name, long in STUDENTS.items():
        students = [one.students.get(name, {}) for one in files]
        for modality, camera in MODALITIES.items():
            values = [student.get("agreement", {}).get(modality) for student in students]
            rows.append(_row(f"{long}: agreement, {camera}", values, lambda v: percent(v, 1), best=max, style=modality))
    for modality, camera in MODALITIES.items():
        students = [one.students.get("int8", {}) for one in files]
        values = [student.get("cosine", {}).get(modality) for student in students]
        rows.append(_row(f"{STUDENTS['int8']}: cosine, {camera}", values, figure, best=max))
        values = [student.get("ece", {}).get(modality) for student in students]
        rows.append(_row(f"{STUDENTS['int8']}: calibration error, {camera}", values, figure, best=min))
    for name, long in STUDENTS.items():
        values = [one.students.get(name, {}).get("bytes") for one in files]
        rows.append(_row(f"{long}: size", values, size, best=min))
    walls = [one.report.get("wall_s") for one in files]
    rows.append(_row("made in", [sum(wall.values()) if wall else None for wall in walls], duration, best=min))
    return [row for row in rows if any(cell["text"] != "–" for cell in row["cells"])]


def _row(title: str, values: Sequence[Any], text: Any, *, best: Any = None, style: str = "") -> dict[str, Any]:
    known = [value for value in values if value is not None]
    top = best(known) if best and len(set(known)) > 1 else None
    cells = [
        {
            "text": "–" if value is None else text(value),
            "best": top is not None and value == top,
            "share": value if style else None,
        }
        for value in values
    ]
    return {"title": title, "cells": cells, "style": style}


def _curves(files: Sequence[RunFiles], names: Sequence[str]) -> list[Chart]:
    """Agreement over the epochs of stage 1 and stage 2, one line a run."""
    found = []
    for stage, title in (("stage1", "stage 1"), ("stage2", "stage 2")):
        for modality in ("rgb", "depth"):
            key = f"agree_{modality}"
            lines = [
                Line(
                    name,
                    f"c{place % _COLOURS}",
                    [
                        (float(line["epoch"]), float(line[key]))
                        for line in one.metrics
                        if line["stage"] == stage and key in line
                    ],
                )
                for place, (name, one) in enumerate(zip(names, files, strict=True))
            ]
            if any(line.points for line in lines):
                heading = f"Agreement, {MODALITIES[modality]}, {title}"
                found.append(line_chart(heading, lines, Axes("epoch", y_range=(0.0, 1.0), whole=True)))
    return found
