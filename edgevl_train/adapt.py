"""``edgevl adapt``: bags and a teacher in, a verified student bundle out.

cache -> teacher embeddings -> curation -> stage 1 -> stage 2 -> export -> calibration -> bundles -> report.
Every step leaves its result in the run directory; a run that was cut off goes on from there. The true rooms
are never read.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.files import check_files
from edgevl_core.bundle.fusion import DEFAULT_TRUST
from edgevl_core.bundle.signing import check_key, sign_bundle
from edgevl_core.bundle.student_bundle import STUDENT_INT8, read_manifest
from edgevl_core.engine import Engine
from edgevl_train.data.coverage import Coverage
from edgevl_train.data.run_data import RunData
from edgevl_train.evaluation.confidence import at_a_bound
from edgevl_train.evaluation.decision import Decision, Judged, decide
from edgevl_train.evaluation.predictors import student_on_numpy
from edgevl_train.evaluation.report import write_report
from edgevl_train.export_bundle import (
    Exported,
    Measured,
    Students,
    deliver,
    export_students,
    measure,
    on_images,
    write_calibration,
)
from edgevl_train.loggers import check_logger, following
from edgevl_train.merge.soup import merge_for
from edgevl_train.metrics_file import OnRecord
from edgevl_train.prepare import Setup, TrainingInputs, gather, open_inputs, prepare
from edgevl_train.progress import RunProgress
from edgevl_train.recipe import Recipe
from edgevl_train.restore import STAGES, earlier_bundle, earlier_student
from edgevl_train.run_directory import at_work, check_out, write_json
from edgevl_train.training.batch_norms import restore_for
from edgevl_train.training.checkpoint import Best
from edgevl_train.training.context import RunContext
from edgevl_train.training.distributed import start_fabric
from edgevl_train.training.signals import terminable
from edgevl_train.training.stage1_distillation import distil
from edgevl_train.training.stage2_contrastive import contrast, quantised_copy

CHECKPOINTS = [f"checkpoints/{stage}.pt" for stage in STAGES]


def adapt(  # noqa: PLR0913 - what a run is made of, where it goes, and who hears of it
    bags: Sequence[Path | str],
    teacher_spec: str,
    labels_path: Path | str,
    out: Path | str,
    recipe: Recipe,
    resume: bool = False,
    signing_key: Path | None = None,
    loggers: Sequence[str] = (),
    on_ready: Callable[[], None] = lambda: None,
) -> Path:
    """Distil the teacher into a student for the places in ``bags``.

    Args:
        bags: rosbag2 directories or files with RGB and depth, or glob patterns of them.
        teacher_spec: see :func:`edgevl_train.teacher.loading.load_teacher`.
        labels_path: the robot's label file, or the name of a shipped one.
        out: run directory: recipe.yaml, inputs.json, status.json, metrics.jsonl, cache/,
            teacher_embeddings.*, checkpoints/, onnx/, calibration.npz, report.json, report.png, bundle/, bundle_ptq/
            (the baseline). A new one, unless ``resume``.
        signing_key: private key file that signs ``out/bundle``; None: it is not signed.
        loggers: of :data:`edgevl_train.loggers.LOGGERS`, told of each epoch; each keeps its files in ``out/<name>``.
        on_ready: called once all inputs are checked; from then on the run itself tells how far it is.

    Returns:
        ``out/bundle``.

    Raises:
        UserError: wrong input; nothing that existed was changed.
    """
    out = Path(out)
    check_out(out, resume=resume)
    if signing_key is not None:
        check_key(signing_key)
    for logger in loggers:
        check_logger(logger)
    setup = prepare(bags, teacher_spec, labels_path, recipe, out=out)
    on_ready()
    fabric = start_fabric(
        recipe, network=setup.student
    )  # from here on several processes, where the recipe or torchrun says so
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    if not fabric.is_global_zero:
        # The first process delivers, and tells that it was stopped.
        with contextlib.suppress(SystemExit, KeyboardInterrupt), terminable():
            _run(setup, out, RunProgress(None, _shares(recipe), stream=io.StringIO()), fabric)
        raise SystemExit(0)
    out.mkdir(parents=True, exist_ok=True)
    with at_work(out), terminable(), RunProgress(out / "status.json", _shares(recipe)) as progress:
        with following(loggers, out, progress.say) as on_record:
            bundle = _run(setup, out, progress, fabric, on_record)
        if signing_key is not None:
            sign_bundle(bundle, signing_key)  # also one that an earlier, interrupted run had made
        manifest = read_manifest(bundle)
        decision = json.loads((out / "report.json").read_text(encoding="utf-8"))["decision"]
        refused = "" if decision["deploy"] else decision["sentence"]
        progress.result(bundle, manifest.bundle_id, decision["sentence"], refused)
        write_report(out)  # last: a picture that cannot be drawn is to cost no bundle
    return bundle


@dataclass(frozen=True)
class _Trained:
    """Both stages' students, on the CPU, and their best epochs; what stage 1 began with, where it was merged."""

    students: Students
    stage1: Best
    stage2: Best
    merged: dict[str, Any] | None


def _run(
    setup: Setup, out: Path, progress: RunProgress, fabric: Fabric, on_record: OnRecord = lambda record: None
) -> Path:
    inputs = open_inputs(setup, out, fabric)
    if (bundle := out / "bundle").exists() and (out / "report.json").is_file():
        if not (fault := _fault_of(bundle)):
            return bundle
        if lacking := [name for name in CHECKPOINTS if not (out / name).is_file()]:
            raise UserError(f"{fault}; {out} has no {', '.join(lacking)} to make it again from: copy the run again")
        progress.say(f"warning: {fault}: it is made again from the run's checkpoints")
        if fabric.is_global_zero:
            shutil.rmtree(bundle)
    if setup.chosen:
        progress.say(setup.chosen)
    if setup.students:
        progress.say(setup.students.line())
    for warning in setup.warnings:
        progress.say(f"warning: {warning}")
    gathered = gather(setup, inputs, out, progress, fabric)
    progress.say(gathered.coverage.line())
    for warning in gathered.warnings[len(setup.warnings) :]:
        progress.say(f"warning: {warning}")
    context = RunContext(fabric, out, inputs.fingerprint, progress.update, on_record)
    trained = _train(setup, gathered.data, context, progress)
    progress.stage("export")
    return _deliver(setup, gathered, trained, out, progress) if fabric.is_global_zero else out / "bundle"


def _fault_of(bundle: Path) -> str:
    """What is wrong with a bundle that was delivered; empty: nothing."""
    try:
        check_files(bundle, read_manifest(bundle))
    except UserError as error:
        return str(error)
    return ""


def _train(setup: Setup, data: RunData, context: RunContext, progress: RunProgress) -> _Trained:
    recipe = setup.recipe
    progress.stage("stage1")
    restore_for(setup.student, data, recipe.student, progress.say)
    merged = merge_for(setup.student, data, recipe.student, progress.say)
    stage1 = distil(setup.student, data, recipe, context)
    progress.stage("stage2")
    quantised = quantised_copy(setup.student, data, recipe.stage2)
    # Always in 32 bits: bfloat16 cannot hold the 256 levels that the fake quantisers imitate.
    stage2 = contrast(quantised, data, recipe, replace(context, fabric=start_fabric(recipe, "32-true")))
    return _Trained(Students(setup.student.cpu(), quantised.cpu()), stage1, stage2, merged)


def _deliver(setup: Setup, gathered: TrainingInputs, trained: _Trained, out: Path, progress: RunProgress) -> Path:
    """ONNX files, what is measured of them, the decision, the report and the bundles."""
    recipe, data, warnings = setup.recipe, gathered.data, list(gathered.warnings)
    files = export_students(trained.students, data, recipe.student, recipe.stage2, out / "onnx")
    write_calibration(data, out / "calibration.npz")
    progress.update(1, 3, "calibration")
    measured = {
        name: measure(files[name], data, recipe.preprocess, recipe.calibration) for name in ("fp32", "ptq", "int8")
    }
    if bounds := at_a_bound(measured["int8"].calibration.temperature):
        warnings.append(
            f"the temperature of {', '.join(bounds)} is at its bound: confidence says little; log more pairs"
        )
        progress.say(f"warning: {warnings[-1]}")
    progress.update(2, 3, "decision and bundles")
    exported = Exported(files, measured)
    decision = _decide(setup, data, measured["int8"], _doubts(gathered.coverage, trained.stage2.metrics))
    ending = {
        "students": exported.figures(),
        "warnings": warnings,
        "decision": asdict(decision),
        "wall_s": progress.wall_s(),
    }
    write_json(out / "report.json", _report(gathered, trained) | ending)
    answers = gathered.coverage.as_report()["labels"]
    training = {"answers": answers, "warnings": warnings, "decision": decision.sentence}
    return deliver(setup, gathered, exported, training, out)


def _report(gathered: TrainingInputs, trained: _Trained) -> dict[str, Any]:
    """What report.json says of the data and of the training."""
    data, split = gathered.data, gathered.split
    return {
        "pairs": {
            "all": len(gathered.cache),
            "train": len(data.train),
            "val": len(data.val),
            "in_gaps": split.dropped,
        },
        "split_by": split.by,
        "coverage": gathered.coverage.as_report(),
        "curation": gathered.curation.report,
        "bags": gathered.cache.index["bags"],
        **({} if trained.merged is None else {"merged": trained.merged}),
        "stage1": {"epoch": trained.stage1.epoch, "val": trained.stage1.metrics},
        "stage2": {"epoch": trained.stage2.epoch, "val": trained.stage2.metrics},
    }


def _decide(setup: Setup, data: RunData, student: Measured, doubts: Sequence[str]) -> Decision:
    """Against the bundle of the run that it starts from, or that run's float student where it has none."""
    base, start = None, setup.recipe.student.start_from
    if start is not None and (bundle := earlier_bundle(start)) is not None:
        base = Judged(on_images(Engine(bundle / STUDENT_INT8, threads=2)), read_manifest(bundle).trust)
    elif start is not None:
        student_before = earlier_student(start, setup.recipe.student, setup.teacher)
        base = Judged(on_images(student_on_numpy(student_before)), DEFAULT_TRUST)
    return decide(
        data, setup.labels.names, Judged(student.embed, student.trust), base, setup.teacher.encode_squares, doubts
    )


def _doubts(coverage: Coverage, metrics: Mapping[str, float]) -> list[str]:
    """Why the student should not be used unseen, one sentence each; empty where there is no reason."""
    at_chance = (
        []
        if metrics["above_chance"]
        else ["its agreement with the teacher never rose above chance, so the last epoch was kept"]
    )
    return coverage.doubts() + at_chance


def _shares(recipe: Recipe) -> dict[str, float]:
    """Expected time per stage, in passes of one image through the student's training step; only ratios matter."""
    per_epoch = 2.0
    return {
        "cache": 1.5,
        "teacher": 0.3 * recipe.views.count,
        "stage1": per_epoch * recipe.stage1.epochs,
        "stage2": 2 * per_epoch * recipe.stage2.epochs + 0.5,
        "export": 2.0,
    }
