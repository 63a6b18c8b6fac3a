"""The demo's offline figures: teacher and students on the test homes, in one pass over one bag."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def offline_figures(
    run_dir: Path, teacher_spec: str, bag: Path, labels: Path, on_pairs: Callable[[int], None]
) -> dict[str, Any]:
    """top1 {teacher, student_fp32, ptq_int8, student_int8} x {rgb, depth, rgbd}, sizes in bytes, latency in ms.

    ``top1`` is over frames that show at least 5 % furniture, ``top1_all_frames`` over all. ``latency_ms``: the median
    of one image through ONNX Runtime, one thread.
    """
    from edgevl_core.bundle.student_bundle import STUDENT_FP32, STUDENT_INT8, load_bundle
    from edgevl_train.evaluation.evaluate import evaluate_all
    from edgevl_train.evaluation.predictors import bundle_predictor, teacher_predictor
    from edgevl_train.teacher.loading import image_tower_bytes, load_teacher

    bundle, baseline = run_dir / "bundle", run_dir / "bundle_ptq"
    teacher = load_teacher(teacher_spec)
    predictors = {
        "student_fp32": bundle_predictor(
            load_bundle(baseline), labels=labels, fp32=True
        ),  # which the PTQ student was made of
        "ptq_int8": bundle_predictor(load_bundle(baseline, threads=2), labels=labels),
        "student_int8": bundle_predictor(load_bundle(bundle, threads=2), labels=labels),
    }
    predictors["teacher"] = teacher_predictor(teacher, labels, view=predictors["student_int8"].view)
    figures = evaluate_all(predictors, [bag], on_progress=on_pairs)
    files = {
        "student_fp32": baseline / STUDENT_FP32,
        "ptq_int8": baseline / STUDENT_INT8,
        "student_int8": bundle / STUDENT_INT8,
    }
    sizes = {name: path.stat().st_size for name, path in files.items()}
    sizes["teacher"] = sum(p.numel() * p.element_size() for p in teacher.model.visual.parameters())
    sizes["vit_b_32_image_tower"] = image_tower_bytes("ViT-B-32")
    return {
        "top1": {name: result["top1"] for name, result in figures.items()},
        "top1_all_frames": {name: result["top1_all_frames"] for name, result in figures.items()},
        "test_frames": {key: figures["teacher"][key] for key in ("samples", "with_furniture")},
        "confusion": {name: result["confusion"] for name, result in figures.items()},
        "labels": figures["teacher"]["labels"],
        "size_bytes": sizes,
        "latency_ms": {name: _median_ms(path) for name, path in files.items()},
    }


def home_figures(out: Path, teacher_spec: str, bags: Path, labels: Path) -> dict[str, Any]:
    """top1 {teacher, before, after} x {lit, dark} x {rgb, depth, rgbd} of one home on another day; and the decision.

    before: the student of many homes; after: the same, adapted to a drive through this home.
    """
    from edgevl_cli.demo.run import HOME_RUN
    from edgevl_core.bundle.student_bundle import load_bundle
    from edgevl_train.evaluation.evaluate import evaluate_all
    from edgevl_train.evaluation.predictors import bundle_predictor, teacher_predictor
    from edgevl_train.teacher.loading import load_teacher

    predictors = {
        "before": bundle_predictor(load_bundle(out / "run/bundle", threads=2), labels=labels),
        "after": bundle_predictor(load_bundle(out / HOME_RUN / "bundle", threads=2), labels=labels),
    }
    predictors["teacher"] = teacher_predictor(load_teacher(teacher_spec), labels, view=predictors["after"].view)
    lit, dark = (evaluate_all(predictors, [bags / name]) for name in ("other_day", "other_day_dark"))
    decision = json.loads((out / HOME_RUN / "report.json").read_text(encoding="utf-8"))["decision"]
    return {
        "top1": {name: {"lit": lit[name]["top1"], "dark": dark[name]["top1"]} for name in predictors},
        "decision": decision["sentence"],
    }


def _median_ms(onnx_path: Path, repetitions: int = 200) -> float:
    """Median time of one image (batch 1, one thread) after a warm-up."""
    from edgevl_core.engine import Engine

    engine = Engine(onnx_path, threads=1)
    pixels = np.zeros((1, 3, engine.size_px, engine.size_px), np.uint8)
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        engine(pixels)
        times.append(time.perf_counter() - start)
    return float(np.median(times[repetitions // 5 :]) * 1e3)
