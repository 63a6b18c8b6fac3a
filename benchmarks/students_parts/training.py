"""The same training for every student, over the same cache, views and targets; its figures, kept one by one."""

import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.engine import Engine
from edgevl_train.ablation.figures import Figures
from edgevl_train.ablation.trial import Trial
from edgevl_train.data.cache import hash_bag
from edgevl_train.data.run_data import RunData
from edgevl_train.evaluation.evaluate import evaluate_all
from edgevl_train.evaluation.predictors import engine_predictor
from edgevl_train.export_bundle import Measured, measure
from edgevl_train.prepare import Setup, gather, open_inputs, prepare
from edgevl_train.progress import RunProgress
from edgevl_train.quantise import export_fp32
from edgevl_train.recipe import Recipe, dump_recipe, load_recipe, override, parse_recipe
from edgevl_train.training.distributed import start_fabric
from students_parts.candidates import REFERENCE, Candidate
from students_parts.tasks import Task

MODALITIES = ("rgb", "depth", "rgbd")


@dataclass(frozen=True)
class Lessons:
    """What all students of one task learn from; made once in ``directory``."""

    task: Task
    setup: Setup
    data: RunData
    bank: LabelBank
    fingerprint: str
    directory: Path
    test_hashes: tuple[str, ...]


def recipe_of(task: Task, candidate: Candidate, size_px: int, real_data: Path, settings: Sequence[str]) -> Recipe:
    """The task's recipe with this student."""
    data = load_recipe(task.recipe).model_dump()
    data["student"] = candidate.section(size_px, real_data)
    data["cache"]["size_px"] = size_px * 5 // 4  # what crops are cut from
    # What a recipe's own student takes besides, and others may not: transformers have one size.
    data["stage1"] |= {"small_share": 0.0, "start_share": 0.0}
    data["accelerator"], data["threads"] = "cpu", 2
    for setting in settings:
        override(data, setting)
    return parse_recipe(data, origin=f"of {candidate.name}, {task.name}")


def lessons(task: Task, directory: Path, size_px: int) -> Lessons:
    """Cache, the teacher's embeddings and curation, for all students; the recipe's training plays no part in them."""
    recipe = recipe_of(task, Candidate(REFERENCE, REFERENCE), size_px, Path(), ())
    common = directory / "common"
    torch.set_num_threads(recipe.threads)
    setup = prepare(task.train, task.teacher, task.labels, recipe, out=common)
    fabric = start_fabric(recipe)
    inputs = open_inputs(setup, common, fabric)
    with RunProgress(None, {"cache": 1.0, "teacher": 1.0}, stream=sys.stderr) as progress:
        gathered = gather(setup, inputs, common, progress, fabric)
    bank = gathered.bank.select(task.judged or setup.labels.names)
    hashes = tuple(hash_bag(bag) for bag in task.test)
    return Lessons(task, setup, gathered.data, bank, inputs.fingerprint, directory, hashes)


def row(learn: Lessons, candidate: Candidate, recipe: Recipe, seed: int) -> dict[str, Any]:
    """Figures of the float student and the int8 one of stage 2, found where they have been made."""
    digest = hashlib.sha256(dump_recipe(recipe)).hexdigest()[:8]
    folder = "".join(c if c.isalnum() or c == "_" else "-" for c in candidate.name)
    directory = learn.directory / f"{folder}_{digest}" / f"seed{seed}"
    directory.mkdir(parents=True, exist_ok=True)
    shares = {f"seed {seed}, {stage}": share for stage, share in _shares(recipe).items()}
    with RunProgress(directory / "status.json", shares) as progress:

        def judged(files: dict[str, Path], recipe: Recipe) -> Figures:
            return _judged(files, recipe, learn)

        trial = Trial(learn.setup, learn.data, learn.fingerprint, seed, directory, progress, judged, learn.test_hashes)
        figures = trial.kept("figures", recipe, _train)
    return {
        "task": learn.task.name,
        "name": candidate.name,
        "seed": seed,
        "recipe": digest,
        "lr": recipe.stage1.lr,
        "epochs": [recipe.stage1.epochs, recipe.stage2.epochs],
        "train_pairs": len(learn.data.train),
        **figures,
    }


def _shares(recipe: Recipe) -> dict[str, float]:
    return {"stage 1": 2.0 * recipe.stage1.epochs, "int8": 4.0 * recipe.stage2.epochs + 0.5, "figures": 2.0}


def _train(trial: Trial, recipe: Recipe, directory: Path) -> dict[str, Path]:
    """Files of the float student and the int8 one."""
    started = time.monotonic()
    student = trial.stage1(recipe, directory)
    files = {"float": directory / "float.onnx", "int8": trial.stage2(student, recipe, directory, "int8")}
    export_fp32(student.cpu(), files["float"], recipe.student.size_px)
    (directory / "wall_s").write_text(f"{time.monotonic() - started:.0f}", encoding="utf-8")
    return files


def _judged(files: dict[str, Path], recipe: Recipe, learn: Lessons) -> Figures:
    """Top-1 and macro on the judging bags by modality, with the trust in each camera that a bundle would have.

    agreement: with the teacher, on validation pairs, the mean of RGB and depth.
    """
    measured = {kind: measure(file, learn.data, recipe.preprocess, recipe.calibration) for kind, file in files.items()}
    predictors = {
        kind: engine_predictor(
            kind,
            Engine(file, threads=2),
            recipe.robot_preprocess(),
            learn.bank,
            learn.data.logit_scale,
            measured[kind].trust,
        )
        for kind, file in files.items()
    }
    found = evaluate_all(predictors, learn.task.test, settings=recipe.cache.pairs)
    figures = {
        kind: {f"{name}_{modality}": each[name][modality] for name in ("top1", "macro") for modality in MODALITIES}
        | {"frames": each["with_furniture"], "agreement": _agreement(measured[kind])}
        for kind, each in found.items()
    }
    seconds = float((files["float"].parent / "wall_s").read_text(encoding="utf-8"))
    return figures | {"training": {"wall_s": seconds}}


def _agreement(measured: Measured) -> float:
    agreement = measured.calibration.agreement
    return (agreement.rgb + agreement.depth) / 2
