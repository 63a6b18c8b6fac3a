"""``edgevl adapt``: bags and a teacher in, a verified student bundle out.

cache -> teacher embeddings -> curation -> stage 1 -> stage 2 -> export -> calibration -> bundles -> report.
Every step leaves its result in the run directory; a run that was cut off goes on from there. The true rooms
are never read.
"""

import contextlib
import io
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch
from lightning_fabric import Fabric

from edgevl_core.bundle import read_manifest
from edgevl_train.cache import expected_pairs
from edgevl_train.contrast import contrast, quantised_copy
from edgevl_train.deliver import Students, deliver, export_students
from edgevl_train.distil import distil
from edgevl_train.interrupt import terminable
from edgevl_train.material import Setup, gather, open_inputs, prepare
from edgevl_train.processes import start_fabric
from edgevl_train.progress import RunProgress
from edgevl_train.recipe import Recipe
from edgevl_train.report import write_report
from edgevl_train.rundir import check_out, write_json


def adapt(
    bags: Sequence[Path | str],
    teacher_spec: str,
    labels_path: Path | str,
    out: Path | str,
    recipe: Recipe,
    resume: bool = False,
) -> Path:
    """Distil the teacher into a student for the places in ``bags``.

    Args:
        bags: rosbag2 directories or files with RGB and depth, or glob patterns of them.
        teacher_spec: see :func:`edgevl_train.teacher.load_teacher`.
        labels_path: the robot's label file, or the name of a shipped one.
        out: run directory: recipe.yaml, inputs.json, status.json, metrics.jsonl, cache/,
            teacher_embeddings.*, checkpoints/, onnx/, report.json, report.png, bundle/, bundle_ptq/ (the
            baseline). A new one, unless ``resume``.

    Returns:
        ``out/bundle``.

    Raises:
        UserError: wrong input; nothing that existed was changed.
    """
    out = Path(out)
    check_out(out, resume=resume)
    setup = prepare(bags, teacher_spec, labels_path, recipe)
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
    with terminable(), RunProgress(out / "status.json", _shares(recipe)) as progress:
        bundle = _run(setup, out, progress, fabric)
        progress.result(bundle, read_manifest(bundle).bundle_id)
    return bundle


def plan(
    bags: Sequence[Path | str], teacher_spec: str, labels_path: Path | str, out: Path | str, recipe: Recipe
) -> str:
    """What :func:`adapt` would do, having checked everything that can be checked without training."""
    check_out(Path(out), resume=False)
    setup = prepare(bags, teacher_spec, labels_path, recipe)
    lines = [f"{bag}: up to {expected_pairs(bag)} pairs" for bag in setup.bags]
    parameters = sum(p.numel() for p in setup.student.parameters()) / 1e6
    student, teacher = recipe.student, setup.teacher
    origin = f", starts from {student.start_from}" if student.start_from else ""
    lines += [
        f"teacher {teacher.id}: {teacher.size_px} px, {teacher.embed_dim} dimensions, {recipe.views.count} views",
        f"student {student.name}: {student.size_px} px, {parameters:.1f} M parameters, {student.head} head{origin}",
        f"labels: {', '.join(setup.labels.names)}",
        f"stage 1: {recipe.stage1.epochs} epochs; stage 2: {recipe.stage2.epochs} epochs; seed {recipe.seed}",
        f"out: {out} (nothing was written)",
    ]
    return "\n".join(lines)


def _run(setup: Setup, out: Path, progress: RunProgress, fabric: Fabric) -> Path:
    recipe = setup.recipe
    inputs = open_inputs(setup, out, fabric)
    if (out / "bundle").exists():
        return out / "bundle"
    material = gather(setup, inputs, out, progress, fabric)
    cache, split, bank, data = material.cache, material.split, material.bank, material.data
    progress.stage("stage1")
    fingerprint = inputs.fingerprint
    stage1 = distil(setup.student, data, recipe, fabric, out, fingerprint, progress.update)
    progress.stage("stage2")
    quantised = quantised_copy(setup.student, data, recipe)
    # Always in 32 bits: bfloat16 cannot hold the 256 levels that the fake quantisers imitate.
    stage2 = contrast(quantised, data, recipe, start_fabric(recipe, "32-true"), out, fingerprint, progress.update)
    progress.stage("export")
    if not fabric.is_global_zero:
        return out / "bundle"
    files = export_students(Students(setup.student.cpu(), quantised.cpu()), data, recipe, out / "onnx")
    report = {
        "pairs": {"all": len(cache), "train": len(data.train), "val": len(data.val), "in_gaps": split.dropped},
        "split_by": split.by,
        "curation": material.curation.report,
        "bags": cache.index["bags"],
        "stage1": {"epoch": stage1.epoch, "val": stage1.metrics},
        "stage2": {"epoch": stage2.epoch, "val": stage2.metrics},
    }
    progress.update(1, 2, "calibration and bundles")
    bundle, figures = deliver(files, data, bank, setup.labels.names, setup.teacher, recipe, report, out, _now())
    write_json(out / "report.json", report | figures | {"wall_s": progress.wall_s()})
    write_report(out)
    return bundle


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


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
