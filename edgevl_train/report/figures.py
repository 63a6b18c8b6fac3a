"""The charts of a run: curves, trust, reliability, angles, and the confusion of both cameras."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.page.axes import Axes, Chart
from edgevl_core.page.charts import Line, line_chart
from edgevl_core.page.html import Html
from edgevl_core.page.strips import Counted, dots, ridge_chart
from edgevl_train.evaluation.metrics.angles import angle_statistics
from edgevl_train.evaluation.metrics.confusion import confusion_matrix
from edgevl_train.report.pairs import RunPairs
from edgevl_train.report.run_files import MODALITIES, RunFiles
from edgevl_train.report.students import BEFORE, Asked

_BINS = 10
_CURVES = {
    "loss": "Loss",
    "agree": "Agreement with the teacher's RGB answer",
    "cos": "Cosine to the teacher's embedding",
}
_NAMED = {
    BEFORE: "student before this run",
    "fp32": "student after stage 1 (float)",
    "int8": "student after stage 2 (int8)",
}


def curves(metrics: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Both stages on one axis of epochs; dashed: the homes that the student knew before."""
    last = max((line["epoch"] for line in metrics if line["stage"] == "stage1"), default=0)
    found = []
    for key, title in _CURVES.items():
        lines = [
            Line(name + note, style, _points(metrics, f"{key}_{style}{ending}", last), dashed=bool(ending))
            for ending, note in (("", ""), ("_before", ", earlier homes"))
            for style, name in MODALITIES.items()
        ]
        if any(line.points for line in lines):
            parted = last if any(line["stage"] == "stage2" for line in metrics) and last else None
            unit = (0.0, 1.0) if key == "agree" else None
            axes = Axes("epoch (stage 1, then stage 2)", y_range=unit, whole=True)
            found.append(line_chart(title, lines, axes, parted_at=parted))
    return found


def _points(metrics: Sequence[Mapping[str, Any]], key: str, last: int) -> list[tuple[float, float]]:
    return [
        (float(line["epoch"] + (last if line["stage"] == "stage2" else 0)), float(line[key]))
        for line in metrics
        if key in line and line["stage"] in ("stage1", "stage2")
    ]


def trust_charts(files: RunFiles) -> list[Chart]:
    """Agreement as the light goes, and as depth gets holes; what the int8 student's trust was made from."""
    student = files.students.get("int8", {})
    found = []
    for camera, title, x_label in (
        ("rgb", "As the light goes", "mean brightness of the RGB picture, 0 to 255"),
        ("depth", "As depth gets holes", "share of depth's pixels with a measurement"),
    ):
        steps = student.get("trust", {}).get(camera, [])
        if not steps:
            continue
        ordered = sorted(steps, key=lambda step: step["at"])
        chance = student["trust"].get("chance")
        ends = [ordered[0]["at"], ordered[-1]["at"]]
        lines = [
            Line(f"{MODALITIES[camera]} alone agrees", camera, [(step["at"], step["agreement"]) for step in ordered]),
            Line(
                "share of RGB in the best mixture",
                "plain",
                [(step["at"], step["share"]) for step in ordered],
                dashed=True,
            ),
        ]
        lines += [Line("chance", "other", [(at, chance) for at in ends], dashed=True)] if chance is not None else []
        found.append(line_chart(title, lines, Axes(x_label, y_range=(0.0, 1.0))))
    return found


def reliability(asked: Asked, right: Mapping[str, NDArray[np.bool_]]) -> Chart:
    """How often an answer of so much confidence agrees: on the diagonal a confidence means what it says."""
    lines = []
    for modality, name in MODALITIES.items():
        confidence = asked.found[modality].confidence
        place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
        filled = [one for one in range(_BINS) if (place == one).any()]
        points = [
            (float(confidence[place == one].mean()), float(right[modality][place == one].mean())) for one in filled
        ]
        lines.append(Line(name, modality, points, weights=[float((place == one).mean()) for one in filled]))
    note = "A large dot stands for many pairs. Below the dotted diagonal the student is surer than it should be."
    return line_chart(
        "Reliability of the int8 student",
        lines,
        Axes("confidence of the answer", "share that agrees", (0.0, 1.0)),
        diagonal=True,
        note=note,
    )


def angle_charts(pairs: RunPairs, asked: Asked) -> list[Chart]:
    """Angles to the text of the teacher's answer and to the nearest other text, for RGB and for depth."""
    answer = pairs.teacher(asked.rows).argmax(1)
    teacher = _angles(pairs.target[asked.rows], pairs, answer)
    found = []
    for camera in ("rgb", "depth"):
        students = [
            (_NAMED[name], _angles(getattr(embedded, camera), pairs, answer))
            for name, embedded in asked.embedded.items()
        ]
        before = [entry for entry in students if entry[0] == _NAMED[BEFORE]]
        rows = [*before, ("teacher, on RGB", teacher), *(entry for entry in students if entry not in before)]
        found.append(
            ridge_chart(f"{MODALITIES[camera]} pictures and texts", rows, "angle between picture and text, degrees")
        )
    return found


def _angles(embeddings: NDArray[np.float32], pairs: RunPairs, answer: NDArray[np.int64]) -> list[Counted]:
    statistics = angle_statistics(embeddings @ pairs.vectors.T, answer)
    names = {"right": ("rgbd", "text of the teacher's answer"), "wrong": ("plain", "nearest other text")}
    return [
        Counted(*names[which], figures["histogram"]["start"], figures["histogram"]["counts"])
        for which, figures in statistics.items()
    ]


def confusion_tables(pairs: RunPairs, asked: Asked) -> list[dict[str, Any]]:
    """Rows: the teacher's answers, columns: the int8 student's, of RGB and of depth; without labels nobody gave."""
    answer, count = pairs.teacher(asked.rows).argmax(1), len(pairs.labels)
    matrices = {camera: confusion_matrix(answer, asked.found[camera].label, count) for camera in ("rgb", "depth")}
    both = matrices["rgb"] + matrices["depth"]
    given = np.flatnonzero(both.sum(0) + both.sum(1))
    return [
        {
            "title": f"From {MODALITIES[camera]}: {int(np.trace(matrix))} of {int(matrix.sum())} as the teacher",
            "labels": [pairs.labels[row] for row in given],
            "rows": [{"name": pairs.labels[row], "cells": _cells(matrix[row], int(row), given)} for row in given],
        }
        for camera, matrix in matrices.items()
    ]


def _cells(counts: NDArray[np.int64], row: int, columns: NDArray[np.int64]) -> list[dict[str, Any]]:
    """n: pairs; v: their share of the row, for the colour; right: on the diagonal."""
    whole = max(int(counts.sum()), 1)
    return [{"n": int(counts[c]), "v": float(counts[c] / whole), "right": row == c} for c in columns]


def agreeing(pairs: RunPairs, asked: Asked) -> dict[str, NDArray[np.bool_]]:
    """By modality (M,): where the int8 student gives the teacher's answer."""
    answer = pairs.teacher(asked.rows).argmax(1)
    return {name: np.asarray(found.label == answer) for name, found in asked.found.items()}


def ablation_table(ablation: Mapping[str, Any]) -> dict[str, Any]:
    """Every row's mean and spread over the seeds, RGB and depth, and the gains of one step over another."""
    stem = "top1" if ablation.get("test") else "validation_agreement"
    rows, names = ablation["rows"], ablation.get("names", {})
    flat = [
        value for row in rows.values() for camera in ("rgb", "depth") for value in row[f"{stem}_{camera}"]["values"]
    ]
    low, high = min(flat), max(flat)
    pad = max(0.05 * (high - low), 0.005)

    def drawn(row: Mapping[str, Any]) -> Html:
        groups = {camera: row[f"{stem}_{camera}"]["values"] for camera in ("rgb", "depth")}
        return dots(groups, low - pad, high + pad)

    where = (
        f"top-1 on {', '.join(ablation['test'])}"
        if ablation.get("test")
        else "agreement with the teacher on validation pairs"
    )
    return {
        "where": where,
        "seeds": len(ablation.get("seeds", [])),
        "range": (low - pad, high + pad),
        "rows": [
            {"name": names.get(row, row), "rgb": of[f"{stem}_rgb"], "depth": of[f"{stem}_depth"], "dots": drawn(of)}
            for row, of in rows.items()
        ],
        "gains": [
            {
                "name": " − ".join(names.get(part, part).removeprefix("+ ") for part in gain.split(" - ")),
                "rgb": of[f"{stem}_rgb"],
                "depth": of[f"{stem}_depth"],
            }
            for gain, of in ablation.get("gain", {}).items()
        ],
    }
