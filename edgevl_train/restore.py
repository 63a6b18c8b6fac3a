"""The best weights of a stage, from the run directory of ``edgevl adapt`` back into a network."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.files import STUDENT_INT8, check_file
from edgevl_core.bundle.manifest import Manifest, read_manifest
from edgevl_core.bundle.self_test import try_student
from edgevl_train.quantise import fake_quantise, fuse
from edgevl_train.recipe import load_recipe
from edgevl_train.run_directory import FLOAT_STUDENT, read_inputs
from edgevl_train.sections import StudentSection
from edgevl_train.student.network import Student, build_student
from edgevl_train.student.normalisation import adopt_biases
from edgevl_train.teacher.model import TEACHER_KEY, Teacher, as_noted_by_earlier, teacher_key

Network = TypeVar("Network", bound=nn.Module)
STAGES = ("stage2", "stage1")  # the later one first
# What reading a file raises that is no checkpoint, or one of something else.
DAMAGED = (AttributeError, EOFError, KeyError, OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError)


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that ``path`` names: a file, or a run directory, whose last stage it is.

    Raises:
        UserError: neither.
    """
    files = [path] if path.is_file() else [path / "checkpoints" / f"{stage}.pt" for stage in STAGES]
    found = [file for file in files if file.is_file() and file.stem in STAGES]
    if not found:
        raise UserError(
            f"{path} is no model: accepted are a bundle directory, a run directory of `edgevl adapt` or its "
            "checkpoints/stage1.pt or stage2.pt, and a teacher (open_clip:...)"
        )
    return found[0]


def run_of(checkpoint: Path) -> Path:
    """The run directory that a checkpoint lies in.

    Raises:
        UserError: there is no recipe where it must be.
    """
    run = checkpoint.resolve().parents[1]
    if not (run / "recipe.yaml").is_file():
        raise UserError(
            f"{checkpoint}: no recipe.yaml in {run}, and without it the student cannot be built: pass a checkpoint "
            "inside its run directory"
        )
    return run


def check_teacher(run: Path, teacher: Teacher) -> None:
    """Refuse a teacher that the run was not made with: its label vectors would lie in another space.

    Raises:
        UserError: it is another one, or the run does not say.
    """
    if read_inputs(run).get("teacher") not in _keys(teacher):
        raise UserError(
            f"{run} was made with another teacher than {teacher.id} (name, weights, config.json and preprocessing "
            "count): pass that one as --teacher"
        )


def _keys(teacher: Teacher) -> set[str]:
    """By which a finished run or bundle may know this teacher."""
    return {teacher_key(each) for each in as_noted_by_earlier(teacher)}


def as_noted_in(run: Path, teacher: Teacher) -> Teacher:
    """The teacher to go on with in a run: one of an earlier version did not note a config.json, and keeps its key."""
    older = replace(teacher, config_sha256="")
    return older if read_inputs(run).get("teacher") == teacher_key(older) else teacher


def check_bundle_teacher(bundle: Path, manifest: Manifest, teacher: Teacher) -> None:
    """As :func:`check_teacher`, of a bundle; one of an earlier version notes name and weights alone.

    Raises:
        UserError: it is another one.
    """
    if manifest.teacher != teacher.name:
        raise UserError(
            f"{bundle} was made with the teacher {manifest.teacher}, not {teacher.name}: pass that one as --teacher"
        )
    if TEACHER_KEY in manifest.metrics and manifest.metrics[TEACHER_KEY] not in _keys(teacher):
        raise UserError(
            f"{bundle} was made with the teacher {teacher.name}, whose config.json or preprocessing was another then: "
            "pass it as --teacher as it was"
        )


def earlier_student(run: Path, section: StudentSection, teacher: Teacher) -> Student:
    """The float student with which an earlier run ended its stage 1.

    Raises:
        UserError: no such run, or one that has not got so far; it was made with another teacher or another student.
    """
    checkpoint = run / FLOAT_STUDENT
    if not checkpoint.is_file():
        raise UserError(f"student.start_from={run}: no checkpoints/stage1.pt in it; a run of `edgevl adapt` is needed")
    check_teacher(run, teacher)
    theirs = load_recipe(run_of(checkpoint) / "recipe.yaml").student
    if other := [key for key in ("name", "head", "backbone") if getattr(theirs, key) != getattr(section, key)]:
        differences = ", ".join(f"{key} {getattr(theirs, key)!r}, not {getattr(section, key)!r}" for key in other)
        raise UserError(f"student.start_from={run}: its student has {differences}: choose the same student")
    if section.prune_share is None and theirs.widths != section.widths:
        raise UserError(
            f"student.start_from={run}: its student has other student.widths ({_pruned(theirs)}, not "
            f"{_pruned(section)}): leave widths out, they come with the run"
        )
    return load_float_student(run, section.model_copy(update={"widths": theirs.widths}), teacher.embed_dim)


def earlier_bundle(run: Path) -> Path | None:
    """The bundle of an earlier run, whose int8 student a new one is held against; None where it has none.

    Raises:
        UserError: its manifest or that student is damaged.
    """
    bundle = run / "bundle"
    if not bundle.is_dir():
        return None
    try:
        check_file(bundle, read_manifest(bundle), STUDENT_INT8)
        try_student(bundle / STUDENT_INT8)
    except UserError as error:
        raise UserError(
            f"student.start_from={run}: {error}; or remove that bundle, and the run's float student takes its place"
        ) from error
    return bundle


def _pruned(section: StudentSection) -> str:
    return f"{len(section.widths)} layers pruned" if section.widths else "none pruned"


def load_float_student(run: Path, section: StudentSection, embed_dim: int) -> Student:
    """The float student with which a run ended its stage 1, in eval mode; see :func:`load_student`.

    Raises:
        UserError: the run has not got so far.
    """
    student, content = _filled(run / FLOAT_STUDENT, section, embed_dim, "{}.bias", lambda student: student)
    stage1, epoch = load_recipe(run / "recipe.yaml").stage1, content["epoch"]
    if not stage1.ends(epoch, content["best"]["epoch"]):
        raise UserError(
            f"{run} was cut off after {epoch} of {stage1.epochs} epochs of stage 1, or is still at work: let it end, "
            "with --resume"
        )
    return student


def load_student(checkpoint: Path, section: StudentSection, embed_dim: int) -> nn.Module:
    """The float student of stage 1 or the fake-quantised one of stage 2, with its best weights, in eval mode.

    Args:
        section: the recipe's; embed_dim: the teacher's.

    Raises:
        UserError: the file cannot be read, or holds another network.
    """
    if checkpoint.stem == "stage2":
        quantised, _ = _filled(
            checkpoint, section, embed_dim, "network.{}.layer.bias", lambda s: fake_quantise(fuse(s))
        )
        return quantised
    student, _ = _filled(checkpoint, section, embed_dim, "{}.bias", lambda student: student)
    return student


def _filled(
    checkpoint: Path, section: StudentSection, embed_dim: int, bias_of: str, form: Callable[[Student], Network]
) -> tuple[Network, dict[str, Any]]:
    """``form`` of the section's student with the best weights, and what else the file holds.

    Args:
        bias_of: a convolution's bias in the file.
    """
    student = build_student(
        section.name,
        embed_dim,
        head=section.head,
        size_px=section.size_px,
        backbone=section.backbone,
        widths=section.widths,
    )
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        best = content["best"]["state"]
        if not all(value.isfinite().all() for value in best.values()):
            raise ValueError("it has weights that are no numbers")
        adopt_biases(student, lambda name: bias_of.format(name) in best)
        network = form(student)
        network.load_state_dict(best)
    except DAMAGED as error:
        reason = one_line(str(error), 160)
        raise UserError(
            f"{checkpoint} is no {checkpoint.stem} checkpoint of {section.name} with {embed_dim} dimensions "
            f"({reason}): it is damaged, or belongs to another recipe or teacher"
        ) from error
    return network.eval(), content
