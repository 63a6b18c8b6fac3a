"""Names are shown as they were written, in tables and in plots: neither rich's markup nor matplotlib's formulas."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edgevl_cli.ablation import show_ablation
from edgevl_cli.benchmark.picture import draw as draw_benchmark
from edgevl_cli.benchmark.table import show as show_benchmark
from edgevl_cli.compare import show_comparison
from edgevl_cli.decision_table import show_decision
from edgevl_cli.evaluation_tables import show_evaluation
from edgevl_core.draw.plots import as_written
from edgevl_train.ablation.figures import ROWS, compare, spread_of
from edgevl_train.ablation.plot import draw_ablation
from edgevl_train.comparison.plot import draw_comparison
from edgevl_train.evaluation.evaluate import evaluate_all
from edgevl_train.evaluation.evaluation_plot import draw as draw_evaluation
from edgevl_train.evaluation.predictors import bundle_predictor
from edgevl_train.evaluation.report import write_report
from tests.core.tiny import write_colour_bundle
from tests.train.evaluation.test_evaluate import write_rooms
from tests.train.evaluation.test_report import made_up_run

pytestmark = pytest.mark.unit
NAME = r"[/2] [old] :car: $\x_$"  # each part of it is refused, or swallowed, by one of the two
FIGURES = ("top1_rgb", "top1_depth", "top1_mean")


def evaluation(tmp_path: Path) -> dict[str, Any]:
    """Of colours, of which one bears the name."""
    bag = write_rooms(tmp_path / "bag")
    write_colour_bundle(tmp_path / "bundle")
    found = evaluate_all({"it": bundle_predictor(tmp_path / "bundle")}, [bag], leave_out=["blue"])["it"]
    text = json.dumps(found)
    for word in ("red", "blue"):
        text = text.replace(f'"{word}"', json.dumps(f"{word} {NAME}"))
    return {**json.loads(text), "model": NAME}


def ablation() -> dict[str, Any]:
    figures = [{row: dict.fromkeys(FIGURES, 0.5 + seed / 9) for row in ROWS} for seed in range(2)]
    names = {row: f"{NAME} {name}" for row, name in ROWS.items()}
    return {"seeds": [0, 1], "test": [NAME], "names": names, **compare(figures)}


def comparison() -> dict[str, Any]:
    row = dict.fromkeys(("top1_rgb", "top1_depth", "held_out_agreement_mean"), spread_of([0.5]))
    return {
        "figure": "top1",
        "test": [NAME],
        "seeds": [0],
        "fractions": [10, 100],
        "pairs": {"10": 5, "100": 50},
        "recipes": {NAME: {"int8": {"bytes": 1e6, "ms": [1, 2, 3]}}},
        "cells": {NAME: {"10": {"stage2_int8": row}, "100": {"stage2_int8": row}}},
        "verdicts": {},
    }


def decision() -> dict[str, Any]:
    figures = {"rgb": 0.9, "depth": 0.8, "rgbd": 0.9, "rgb_dim": 0.5, "rgbd_dim": 0.7}
    row = {"pairs": 9, "teacher_dim": 0.5, "adapted": figures}
    return {"rows": {f"red {NAME}": row, "all": row}, "deploy": False, "sentence": f"all are '{NAME}'"}


def benchmark() -> dict[str, Any]:
    ms = {"median": 2.0, "q1": 1.0, "q3": 3.0}
    row = {
        "model": NAME,
        "kind": "student",
        "precision": "float",
        "runtime": "ONNX Runtime",
        "bytes": 1e6,
        "ms": ms,
        "all_threads_ms": None,
        "times_faster_than_float": None,
        "times_faster_than_teacher": {},
        "times_faster_than_int8_teacher": {},
        "of_int8_peak": None,
        "size_px": 64,
        "parameters": 1e6,
        "gmacs": 1.0,
    }
    return {
        "machine": {"cpu": "it", "cores": 1, "flags": [], "versions": {}},
        "load": {"start": 0.0, "end": 0.0},
        "settings": {"rounds": 3},
        "peak_int8_gmac_s": 1.0,
        "busy": True,
        "rows": [row],
        "students": [],
        "left_out": [NAME],
        "budget": None,
        "node": None,
        "accuracy": None,
    }


@pytest.mark.parametrize(
    ("show", "times"),
    [
        pytest.param(lambda path: show_evaluation(evaluation(path)), 4, id="evaluation"),
        pytest.param(lambda path: show_ablation(ablation(), path), 7, id="ablation"),
        pytest.param(lambda path: show_comparison(comparison(), path), 3, id="comparison"),
        pytest.param(lambda path: show_decision(decision()), 2, id="decision"),
        pytest.param(lambda path: show_benchmark(benchmark()), 2, id="benchmark"),
    ],
)
def test_in_a_table(
    show: Callable[[Path], None],
    times: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    show(tmp_path)
    assert capsys.readouterr().out.count(NAME) >= times


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda path: draw_evaluation(evaluation(path.parent)), id="evaluation"),
        pytest.param(lambda path: draw_ablation(ablation(), path), id="ablation"),
        pytest.param(lambda path: draw_comparison(comparison(), path), id="comparison"),
        pytest.param(lambda path: draw_benchmark(benchmark()), id="benchmark"),
    ],
)
def test_in_a_plot(draw: Callable[[Path], object], tmp_path: Path) -> None:
    draw(tmp_path / "plot.png")  # matplotlib refuses the formula


def test_in_the_picture_of_a_run(tmp_path: Path) -> None:
    """It costs a whole training."""
    run = made_up_run(tmp_path / "run", {NAME: 50, "kitchen": 20})
    report = json.loads((run / "report.json").read_text())
    report["coverage"] = {"labels": {NAME: {"train": 3, "val": 0}}, "covered": 0, "given": 1}
    report["decision"] = {"sentence": NAME}
    (run / "report.json").write_text(json.dumps(report))
    assert write_report(run).is_file()


def _picture(text: str, **settings: bool) -> bytes:
    figure = Figure(figsize=(2, 0.4))
    FigureCanvasAgg(figure)
    figure.text(0.05, 0.3, text, **settings)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="raw")
    return buffer.getvalue()


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from(r"$\_a{}"), max_size=8))
def test_every_letter_is_drawn(text: str) -> None:
    assert _picture(as_written(text)) == _picture(text, parse_math=False)
