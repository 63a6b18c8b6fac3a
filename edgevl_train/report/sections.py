"""The parts of a run's page that are words and tables."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.page.axes import Key
from edgevl_core.page.strips import Stretch, runs, stacked, strip
from edgevl_core.pairlog.sequences import number_sequences
from edgevl_train.data.cache import Cache
from edgevl_train.data.split import split_pairs
from edgevl_train.report.pairs import RunPairs
from edgevl_train.report.run_files import MODALITIES, STUDENTS, RunFiles
from edgevl_train.sections import SplitSection

COLUMNS = {"rgb": "RGB", "depth": "depth", "rgbd": "both", "rgb_dim": "RGB dim", "rgbd_dim": "both dim"}
SPLIT_KEYS = {
    "train": Key("train", "learned from, or dropped by curation"),
    "val": Key("val", "validates"),
    "gap": Key("gap", "left out, too near to one that validates"),
}


def yaml_text(text: str) -> str:
    """A path as a word of YAML, in quotation marks where it needs them."""
    return text if re.fullmatch(r"[\w./-]+", text) else json.dumps(text, ensure_ascii=False)


def verdict(files: RunFiles) -> dict[str, Any]:
    """Deploy or not, why, and what to do next."""
    decision = files.report.get("decision")
    run = shlex.quote(str(files.run.resolve()))
    if decision is None:
        return {
            "good": None,
            "answer": "No verdict",
            "why": "This run was made before runs were judged: look at the figures below, or adapt again",
            "next": (
                "Compare it with the teacher on a drive that it has not seen:",
                f"edgevl evaluate {run}/bundle BAG",
            ),
        }
    answer, _, why = str(decision["sentence"]).partition(": ")
    if decision["deploy"]:
        path = shlex.quote(f"{{path: {yaml_text(f'{files.run.resolve()}/bundle')}}}")
        following = (
            "Give the robot the bundle (copy the directory there first, and say where it lies):",
            f"ros2 service call /scene_classifier/load_bundle edgevl/srv/LoadBundle {path}",
        )
    else:
        start = files.recipe.get("student", {}).get("start_from")
        begin = f" --recipe config/train/home.yaml --set student.start_from={shlex.quote(str(start))}" if start else ""
        following = (
            "Log more, some minutes in every room with the lights on, and adapt again from all bags:",
            f"edgevl adapt BAG... --teacher SPEC --labels FILE{begin} --out NEW_RUN",
        )
    return {"good": bool(decision["deploy"]), "answer": answer[:1].upper() + answer[1:], "why": why, "next": following}


def decision_table(files: RunFiles) -> list[dict[str, Any]]:
    """A row for each of the teacher's answers, before and now; the last ones of all, and of earlier homes."""
    rows = files.report.get("decision", {}).get("rows", {})
    return [
        {
            "name": name,
            "pairs": row["pairs"],
            "teacher_dim": row.get("teacher_dim"),
            "total": name in ("all", "earlier homes"),
            "cells": [_change(row, column) for column in COLUMNS],
        }
        for name, row in rows.items()
    ]


def _change(row: Mapping[str, Any], column: str) -> str:
    now = f"{100 * row['adapted'][column]:.0f}"
    before = f"{100 * row['base'][column]:.0f}" if "base" in row else now
    return now if before == now else f"{before} →\u00a0{now}"


def bag_rows(files: RunFiles, cache: Cache | None) -> list[dict[str, Any]]:
    """What was read of each bag; seconds of driving (without pauses of half a minute) where the cache is there."""
    rows = []
    for number, bag in enumerate(files.report.get("bags", [])):
        lost = [f"{count} {reason}" for reason, count in bag.get("dropped", {}).items()]
        lost += [f"{len(bag['unreadable'])} pairs could not be decoded"] if bag.get("unreadable") else []
        rows.append(
            {
                "name": bag["name"],
                "pairs": bag["pairs"],
                "seconds": _driven_s(cache, number) if cache else None,
                "lost": ", ".join([*lost, *bag.get("losses", [])]) or "nothing",
                "registered": bag.get("registered", "unknown"),
            }
        )
    return rows


def _driven_s(cache: Cache, number: int) -> float:
    rows = np.flatnonzero(cache.bag == number)
    if not len(rows):
        return 0.0
    stamps = cache.stamp_ns[rows]
    sequence = number_sequences(stamps, np.zeros(len(rows), np.int64))
    return float(sum(np.ptp(stamps[sequence == one]) for one in np.unique(sequence)) / 1e9)


def split_strips(files: RunFiles, pairs: RunPairs) -> dict[str, Any]:
    """For each bag a strip of its pairs in the order of time; and what its colours mean."""
    names = [bag["name"] for bag in files.report.get("bags", [])]
    kinds = _kinds(files, pairs)
    strips = []
    for number in np.unique(pairs.cache.bag):
        rows = np.flatnonzero(pairs.cache.bag == number)
        rows = rows[np.argsort(pairs.cache.stamp_ns[rows], kind="stable")]
        parts = [
            Stretch(first, stop, kind, f"pairs {first + 1} to {stop}: {SPLIT_KEYS[kind].name}")
            for first, stop, kind in runs(kinds[rows].tolist())
        ]
        held = int((kinds[rows] == "val").sum())
        name = names[number] if number < len(names) else f"bag {number + 1}"
        alt = f"{name}: {held} of {len(rows)} pairs validate, in {sum(part.style == 'val' for part in parts)} stretches"
        strips.append({"name": name, "svg": strip(parts, len(rows), alt)})
    return {"strips": strips, "keys": [key for kind, key in SPLIT_KEYS.items() if (kinds == kind).any()]}


def _kinds(files: RunFiles, pairs: RunPairs) -> NDArray[np.str_]:
    """(N,) "train", "val" or "gap": the split is made again, which is exact; gaps are not told where it is another."""
    kinds = np.full(len(pairs.cache), "train")
    kinds[pairs.val] = "val"
    try:
        section = SplitSection.model_validate(files.recipe.get("split", {}))
        split = split_pairs(pairs.cache.stamp_ns, pairs.cache.bag, section, int(files.recipe.get("seed", 0)))
    except (ValueError, UserError):
        return kinds
    if np.array_equal(split.val, pairs.val):
        used = np.union1d(split.train, split.val)
        kinds[np.setdiff1d(np.arange(len(kinds)), used)] = "gap"
    return kinds


def coverage_rows(files: RunFiles) -> list[dict[str, Any]]:
    """Pairs of each of the teacher's answers, the commonest first; all labels of the set."""
    labels = files.report.get("coverage", {}).get("labels", {})
    most = max((item["train"] + item["val"] for item in labels.values()), default=0)
    return [
        {"name": name, **item, "bar": stacked([("train", item["train"]), ("val", item["val"])], most)}
        for name, item in sorted(labels.items(), key=lambda entry: -(entry[1]["train"] + entry[1]["val"]))
    ]


def curation_rows(files: RunFiles) -> list[dict[str, Any]]:
    """Kept and dropped pairs of each pseudo-label that the teacher gave."""
    given = [entry for entry in files.report.get("curation", {}).items() if entry[1]["candidates"]]
    most = max((figures["candidates"] for _, figures in given), default=0)
    return [
        {
            "name": name,
            "merged": ", ".join(figures.get("merged", [])),
            "kept": figures["kept"],
            "dropped": figures["dropped"],
            "least": figures.get("least_confidence_kept"),
            "median": figures.get("median_confidence_kept"),
            "bar": stacked([("kept", figures["kept"]), ("dropped", figures["dropped"])], most),
        }
        for name, figures in sorted(given, key=lambda entry: -entry[1]["candidates"])
    ]


def curation_rule(files: RunFiles) -> str:
    """Why pairs were dropped, by the recipe."""
    curation = files.recipe.get("curation", {})
    method = curation.get("method")
    if method == "per_class_top_q":
        return f"Of each pseudo-label the {curation.get('q', 0):.0%} were kept of which the teacher is surest."
    if method == "ratio":
        return f"Of all pairs the {curation.get('ratio', 0):.0%} were kept of which the teacher is surest."
    if method == "threshold":
        return f"Pairs were kept of which the teacher is surer than {curation.get('threshold', 0)}."
    return ""


def student_rows(files: RunFiles, seconds: Mapping[str, float]) -> dict[str, Any]:
    """A row for each figure, a column for each student."""
    students = files.students
    rows = []
    for key, title, digits in (
        ("agreement", "agreement with the teacher", None),
        ("cosine", "cosine to the teacher", 3),
        ("ece", "calibration error", 3),
    ):
        for modality, name in MODALITIES.items():
            values = [student.get(key, {}).get(modality) for student in students.values()]
            if any(value is not None for value in values):
                style = modality if digits is None else ""
                rows.append({"title": f"{title}, {name}", "values": values, "digits": digits, "style": style})
    sizes = [student.get("bytes") for student in students.values()]
    return {
        "names": [STUDENTS[name] for name in students],
        "rows": rows,
        "sizes": sizes,
        "milliseconds": [1e3 * seconds[name] if name in seconds else None for name in students],
    }


def dropped_words(files: RunFiles) -> str:
    """How many pairs went where, one sentence."""
    pairs, curation = files.report.get("pairs", {}), files.report.get("curation", {})
    gone = sum(figures["dropped"] for figures in curation.values())
    parts = [f"{pairs.get('train', 0)} pairs were learned from", f"{pairs.get('val', 0)} validate"]
    parts += [f"{gone} were dropped by curation"] if gone else []
    parts += (
        [f"{pairs['in_gaps']} lie too near in time to a validation pair and were left out"]
        if pairs.get("in_gaps")
        else []
    )
    return "; ".join(parts) + "."
