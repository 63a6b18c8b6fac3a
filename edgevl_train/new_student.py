"""Where a student's first weights come from."""

import torch

from edgevl_core.base.errors import UserError
from edgevl_train.restore import earlier_student, load_float_student
from edgevl_train.sections import StudentSection
from edgevl_train.student.network import Student, build_student
from edgevl_train.student.pretrained import from_timm, from_tower, is_tower
from edgevl_train.teacher.loading import Teacher


def new_student(section: StudentSection, teacher: Teacher, seed: int) -> Student:
    """The section's student with its first weights; ``origin`` says where they are from, in words.

    ``start_from``: those of an earlier run. ``merge``: those of the first of these runs, until there are pairs to merge
    them by. ``pretrained``: "teacher", those of its image tower;
    "timm", timm's own, downloaded; a file; "auto", the first of teacher and timm that can be had, random ones if
    neither. Left out: random, by ``seed``.

    Raises:
        UserError: the student cannot be built, or the weights cannot be had or do not fit.
    """
    if section.start_from is not None:
        return earlier_student(section.start_from, section, teacher)
    if section.merge:
        return load_float_student(section.merge[0], section, teacher.embed_dim)
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
