"""Where a student's first weights come from."""

import torch

from edgevl_core.base.errors import UserError, one_line
from edgevl_train.pruning.prune import prune
from edgevl_train.restore import earlier_student, load_float_student
from edgevl_train.sections import StudentSection
from edgevl_train.stage_sections import Stage1Section
from edgevl_train.student.network import Student, build_student
from edgevl_train.student.pretrained import from_timm, from_tower, is_tower
from edgevl_train.student.widths import widths_of
from edgevl_train.teacher.loading import Teacher


def new_student(section: StudentSection, teacher: Teacher, seed: int) -> Student:
    """The section's student with its first weights; ``origin`` says where they are from, in words.

    ``start_from``: those of an earlier run, pruned where ``prune_share`` says. ``merge``: those of the first of these
    runs, until there are pairs to merge them by. ``pretrained``: "teacher", those of its image tower; "timm", timm's
    own, downloaded; a file; "auto", the first of teacher and timm that can be had, random ones if neither. Left out:
    random, by ``seed``.

    Raises:
        UserError: the student cannot be built, or the weights cannot be had or do not fit.
    """
    if section.start_from is not None:
        student = earlier_student(section.start_from, section, teacher)
        return student if section.prune_share is None else _pruned(student, section)
    if section.merge:
        # All of them, so that none is refused after the first slow steps.
        first, *_ = [load_float_student(run, section, teacher.embed_dim) for run in section.merge]
        return first
    torch.manual_seed(seed)
    name, pretrained = section.name, section.pretrained
    named = pretrained in ("teacher", "timm", "auto")
    student = build_student(
        name,
        teacher.embed_dim,
        head=section.head,
        size_px=section.size_px,
        backbone=section.backbone,
        pretrained=None if named else pretrained,
        pretrained_mean=section.pretrained_mean,
        pretrained_std=section.pretrained_std,
        widths=section.widths,
    )
    tower = teacher.model.visual
    if pretrained == "teacher" or (pretrained == "auto" and is_tower(student.backbone, tower)):
        from_tower(student.backbone, student.head, tower, teacher.preprocess, name, section.size_px)
        student.origin = "the teacher's image tower"
    elif pretrained in ("timm", "auto"):
        try:
            from_timm(student.backbone, name, section.size_px)
            student.origin = "timm's pretrained backbone"
        except UserError as error:
            if pretrained == "timm":
                raise
            reason, _, _ = str(error).partition(": pass ")  # what to pass is said once, with the warning
            student.origin = f"random weights, for {reason}"
    else:
        student.origin = "random weights" if pretrained is None else f"the backbone in {pretrained}"
    return student


def check_stage1(student: Student, section: Stage1Section, size_px: int) -> None:
    """Whether a new student of ``size_px``, its first weights in it, can learn as the section says.

    Raises:
        UserError: a share of random weights is to be kept; the student is built for pictures of one size, and small
            ones are to come first.
    """
    if section.start_share and student.origin.startswith("random weights"):
        raise UserError(
            f"stage1.start_share={section.start_share:g} keeps a share of the first weights, and these are "
            f"{student.origin}: use 0, or give student.pretrained=FILE or student.start_from=RUN"
        )
    if not section.small_share:
        return
    side = section.small_px(size_px)
    try:
        with torch.no_grad():
            student.eval()(torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = one_line(str(error), 100)
        raise UserError(
            f"stage1.small_share={section.small_share:g}: student {student.name!r} takes one size of picture "
            f"({reason}): use 0, or take another student"
        ) from error


def _pruned(student: Student, section: StudentSection) -> Student:
    """Raises UserError: it cannot be pruned, or not to the widths that the section has."""
    assert section.prune_share is not None
    pruned = prune(student, section.prune_share, section.size_px)
    if section.widths and section.widths != own_widths(pruned, section):
        raise UserError(
            f"student.prune_share={section.prune_share:g} of {section.start_from} gives other widths than "
            "student.widths: set student.prune_share=null to go on with a run that is pruned, student.widths={} to "
            "prune it further"
        )
    before, after = (sum(p.numel() for p in network.parameters()) / 1e6 for network in (student, pruned))
    share = f"{section.prune_share:g}: {before:.2f} -> {after:.2f} M parameters"
    pruned.origin = f"student of {section.start_from}, pruned by {share}"
    return pruned


def own_widths(student: Student, section: StudentSection) -> dict[str, tuple[int, ...]]:
    """Of the layers that pruning has made narrower than those of the section's timm model."""
    with torch.random.fork_rng(devices=[]):
        full = build_student(
            section.name, student.embed_dim, head=section.head, size_px=section.size_px, backbone=section.backbone
        )
    return widths_of(student, full)
