"""``edgevl adapt``: bags and a teacher in, a verified student bundle out.

cache -> teacher embeddings -> curation -> stage 1 -> stage 2 -> export -> calibration -> bundles -> report.
Every step leaves its result in the run directory; a run that was cut off goes on from there. The true rooms
are never read.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from edgevl_core.bundle import read_manifest
from edgevl_core.errors import UserError
from edgevl_core.label_bank import LabelBank, build_label_bank
from edgevl_core.labels import LabelSet, label_file, load_labels
from edgevl_train.cache import INDEX, Cache, build_cache, cache_key, expected_pairs, find_bags, open_cache
from edgevl_train.contrast import contrast, quantised_copy
from edgevl_train.curate import Curation, curate
from edgevl_train.data import RunData
from edgevl_train.deliver import Students, deliver, export_students
from edgevl_train.distil import distil
from edgevl_train.embeddings import embed_views
from edgevl_train.interrupt import terminable
from edgevl_train.precision import resolve_precision
from edgevl_train.progress import RunProgress
from edgevl_train.recipe import Recipe
from edgevl_train.report import write_report
from edgevl_train.rundir import Inputs, check_out, describe_inputs, open_run, write_json
from edgevl_train.split import Split, split_pairs
from edgevl_train.student import Student, build_student
from edgevl_train.teacher import Teacher, load_teacher
from edgevl_train.views import draw_views


@dataclass(frozen=True)
class Setup:
    """Everything that is checked before the first slow step."""

    bags: list[Path]
    teacher: Teacher
    labels: LabelSet
    superset: LabelSet | None
    labels_path: Path
    recipe: Recipe
    student: Student


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
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    out.mkdir(parents=True, exist_ok=True)
    with terminable(), RunProgress(out / "status.json", _shares(recipe)) as progress:
        bundle = _run(setup, out, progress)
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
    lines += [
        f"teacher {teacher.id}: {teacher.size_px} px, {teacher.embed_dim} dimensions, {recipe.views.count} views",
        f"student {student.name}: {student.size_px} px, {parameters:.1f} M parameters, {student.head} head",
        f"labels: {', '.join(setup.labels.names)}",
        f"stage 1: {recipe.stage1.epochs} epochs; stage 2: {recipe.stage2.epochs} epochs; seed {recipe.seed}",
        f"out: {out} (nothing was written)",
    ]
    return "\n".join(lines)


def prepare(bags: Sequence[Path | str], teacher_spec: str, labels_path: Path | str, recipe: Recipe) -> Setup:
    """Load and check the inputs.

    Raises:
        UserError: no bags or one named twice, a bag without RGB or depth, labels, teacher or student that do
            not load.
    """
    paths = find_bags(bags)
    resolved = [path.resolve() for path in paths]
    if twice := sorted({str(p) for p in paths if resolved.count(p.resolve()) > 1}):
        raise UserError(f"bags given twice: {', '.join(twice)}: name each once")
    labels = load_labels(labels_path)
    superset = load_labels(recipe.curation.superset) if recipe.curation.superset else None
    for path in paths:
        expected_pairs(path)
    teacher = load_teacher(
        teacher_spec,
        batch=recipe.teacher.batch,
        precision=resolve_precision(recipe.teacher.precision, _device(recipe)),
        device=_device(recipe),
    )
    torch.manual_seed(recipe.seed)
    student = build_student(
        recipe.student.name,
        teacher.embed_dim,
        head=recipe.student.head,
        backbone=recipe.student.backbone,
        pretrained=recipe.student.pretrained,
    )
    return Setup(paths, teacher, labels, superset, label_file(labels_path), recipe, student)


def _run(setup: Setup, out: Path, progress: RunProgress) -> Path:
    recipe = setup.recipe
    progress.stage("cache")
    superset = label_file(recipe.curation.superset) if recipe.curation.superset else None
    inputs = describe_inputs(setup.bags, setup.teacher, setup.labels_path, superset, recipe)
    open_run(out, inputs, recipe)
    if (out / "bundle").exists():
        return out / "bundle"
    cache = _cache(setup, inputs, out, progress)
    split = split_pairs(cache.stamp_ns, cache.bag, recipe.split, recipe.seed)
    bank = build_label_bank([setup.labels] + ([setup.superset] if setup.superset else []), setup.teacher.encode_text)
    data, curation = _data(setup, cache, split, bank, out, progress)
    progress.stage("stage1")
    fingerprint = inputs.fingerprint
    stage1 = distil(setup.student, data, recipe, _fabric(recipe), out, fingerprint, progress.update)
    progress.stage("stage2")
    quantised = quantised_copy(setup.student, data, recipe)
    # Always in 32 bits: bfloat16 cannot hold the 256 levels that the fake quantisers imitate.
    stage2 = contrast(quantised, data, recipe, _fabric(recipe, "32-true"), out, fingerprint, progress.update)
    progress.stage("export")
    files = export_students(Students(setup.student.cpu(), quantised.cpu()), data, recipe, out / "onnx")
    report = {
        "pairs": {"all": len(cache), "train": len(data.train), "val": len(data.val), "in_gaps": split.dropped},
        "split_by": split.by,
        "curation": curation.report,
        "bags": cache.index["bags"],
        "stage1": {"epoch": stage1.epoch, "val": stage1.metrics},
        "stage2": {"epoch": stage2.epoch, "val": stage2.metrics},
    }
    progress.update(1, 2, "calibration and bundles")
    bundle, figures = deliver(files, data, bank, setup.labels.names, setup.teacher, recipe, report, out, _now())
    write_json(out / "report.json", report | figures | {"wall_s": progress.wall_s()})
    write_report(out)
    return bundle


def _cache(setup: Setup, inputs: Inputs, out: Path, progress: RunProgress) -> Cache:
    hashes = [digest for _, digest in inputs.bags]
    directory = out / "cache"
    if (directory / INDEX).exists():
        cache = open_cache(directory)
        if cache.key == cache_key(hashes, setup.recipe):
            return cache
        raise UserError(f"training cache {directory} is of other bags or settings: remove it, it is made again")
    return build_cache(setup.bags, directory, setup.recipe, progress.update, bag_hashes=hashes)


def _data(
    setup: Setup, cache: Cache, split: Split, bank: LabelBank, out: Path, progress: RunProgress
) -> tuple[RunData, Curation]:
    """Views, the teacher's embeddings of them, and what curation keeps of the training part."""
    recipe, teacher = setup.recipe, setup.teacher
    views = draw_views(len(cache), recipe.views, recipe.seed)
    progress.stage("teacher")
    targets = embed_views(teacher, cache, views, out, progress.update, only_full=split.val)
    own = bank.select(setup.labels.names)
    superset = build_label_bank([setup.superset], teacher.encode_text) if setup.superset else own
    of_train = np.asarray(targets[0, split.train], np.float32)
    names = list(superset.names)
    curation = curate(of_train, superset.vectors, names, teacher.logit_scale, recipe.curation)
    pseudo_label = np.full(len(cache), -1, np.int64)
    pseudo_label[split.train] = curation.pseudo_label
    kept = split.train[curation.kept]
    return (
        RunData(cache, views, targets, kept, split.val, pseudo_label, own.vectors, teacher.logit_scale),
        curation,
    )


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


def _fabric(recipe: Recipe, precision: str | None = None) -> Fabric:
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    return Fabric(
        accelerator=recipe.accelerator,
        devices=1,
        precision=precision or resolve_precision(recipe.precision, _device(recipe)),
    )  # type: ignore[arg-type]


def _device(recipe: Recipe) -> str:
    return "cuda" if recipe.accelerator != "cpu" and torch.cuda.is_available() else "cpu"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
