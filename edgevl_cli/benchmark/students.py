"""Students compared: how fast each is in int8, whether that helps on this processor, and which fits a budget."""

from collections.abc import Sequence
from typing import Any

from edgevl_cli.benchmark.files import FLOAT, TRAINED
from edgevl_cli.benchmark.run import ONNX_RUNTIME


def compare(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry per student in ONNX Runtime among the rows of :func:`edgevl_cli.benchmark.run.run`, smallest first.

    Compared with float is the int8 that the robot runs, the one that training writes; where there is none, the fastest
    file. ``best_int8`` is the fastest of all. ``int8_helps``: "yes" or "no" where at least three of four rounds agree
    that int8 is faster, or that it is not; "unclear" elsewhere.
    """
    by_model: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["kind"] == "student" and row["runtime"] == ONNX_RUNTIME:
            by_model.setdefault(row["model"], {})[row["precision"]] = row
    return sorted((_entry(rows_of) for rows_of in by_model.values()), key=lambda entry: entry["parameters"])


def _entry(by_precision: dict[str, dict[str, Any]]) -> dict[str, Any]:
    in_float = by_precision[FLOAT]
    best = min((row for key, row in by_precision.items() if key != FLOAT), key=lambda row: row["ms"]["median"])
    int8 = by_precision.get(TRAINED, best)
    return {
        **{key: in_float[key] for key in ("model", "size_px", "parameters", "gmacs")},
        "int8_bytes": int8["bytes"],
        "float_ms": in_float["ms"]["median"],
        "int8_ms": int8["ms"]["median"],
        "best_int8": best["precision"],
        "int8_gain": int8["times_faster_than_float"]["median"],
        "int8_helps": _helps(int8["times_faster_than_float"]),
    }


def _helps(gain: dict[str, float]) -> str:
    if gain["q1"] > 1:
        return "yes"
    return "no" if gain["q3"] <= 1 else "unclear"


def choose(students: Sequence[dict[str, Any]], budget_ms: float) -> dict[str, Any] | None:
    """The student with most parameters (what stands for its accuracy) whose best latency fits; None: none does."""
    fitting = [entry for entry in students if min(entry["float_ms"], entry["int8_ms"]) <= budget_ms]
    return max(fitting, key=lambda entry: entry["parameters"], default=None)
