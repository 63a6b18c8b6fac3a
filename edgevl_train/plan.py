"""``edgevl adapt --dry-run``: what a run would do, having checked everything that can be checked without training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgevl_core.base.errors import UserError
from edgevl_train.data.split import Split, split_pairs
from edgevl_train.prepare import Setup, prepare
from edgevl_train.recipe import Recipe
from edgevl_train.run_directory import check_out

_COLUMNS = 60  # of the picture of a bag's time


def plan(
    bags: Sequence[Path | str],
    teacher_spec: str,
    labels_path: Path | str,
    out: Path | str,
    recipe: Recipe,
    *,
    resume: bool = False,
) -> str:
    """What :func:`edgevl_train.adapt.adapt` would do. Images are not decoded, so broken ones still count as pairs.

    Raises:
        UserError: wrong input, as for ``adapt``; a bag without pairs.
    """
    check_out(Path(out), resume=resume)
    setup = prepare(bags, teacher_spec, labels_path, recipe, out=Path(out) if resume else None)
    recipe, student, teacher = setup.recipe, setup.recipe.student, setup.teacher
    parameters = sum(p.numel() for p in setup.student.parameters()) / 1e6
    origin = f", starts from {student.start_from}" if student.start_from else ""
    lines = [
        *_split(setup),
        f"teacher {teacher.id}: {teacher.size_px} px, {teacher.embed_dim} dimensions, {recipe.views.count} views",
        *([setup.students.line()] if setup.students else []),
        f"student {student.name}: {student.size_px} px, {parameters:.1f} M parameters, {student.head} head{origin}",
        *([setup.chosen] if setup.chosen else []),
        f"labels: {', '.join(setup.labels.names)}",
        f"stage 1: {recipe.stage1.epochs} epochs; stage 2: {recipe.stage2.epochs} epochs; seed {recipe.seed}",
        *(f"warning: {warning}" for warning in setup.warnings),
        f"out: {out} (nothing was written)",
    ]
    return "\n".join(lines)


def _split(setup: Setup) -> list[str]:
    """A line a bag, with a picture of its time: "." trains, "V" validates, "-" is left out between them."""
    readers = [setup.recipe.cache.pairs.read(bag) for bag in setup.bags]
    found = [[pair.stamp_ns for pair in reader.recorded()] for reader in readers]
    for reader, stamps in zip(readers, found, strict=True):
        if not stamps:
            raise reader.no_pairs()
    stamp_ns = np.concatenate([np.array(stamps, np.int64) for stamps in found])
    bag = np.repeat(np.arange(len(found)), [len(stamps) for stamps in found])
    losses = [f"lost: {reader.path}: {loss}" for reader in readers for loss in reader.losses]
    try:
        split = split_pairs(stamp_ns, bag, setup.recipe.split, setup.recipe.seed)
    except UserError as error:  # too few pairs, perhaps because of these
        raise UserError("; ".join([str(error), *losses])) from error
    lines = [
        f"{len(bag)} pairs, split by {split.by}: {len(split.train)} to train on (before curation), {len(split.val)} to "
        f"validate, {split.dropped} in gaps; . trains, V validates, - is left out"
    ]
    for number, reader in enumerate(readers):
        rows = np.flatnonzero(bag == number)
        dropped = "".join(f", {count} {reason}" for reason, count in reader.stats.items())
        lines.append(f"{reader.path}: {len(rows)} pairs{dropped}  {_picture(split, rows)}")
    return lines + losses


def _picture(split: Split, rows: np.ndarray) -> str:
    kind = np.where(np.isin(rows, split.val), 2, np.where(np.isin(rows, split.train), 1, 0))
    parts = np.array_split(kind, min(_COLUMNS, len(kind))) if len(kind) else []
    return "".join("V" if 2 in part else "." if 1 in part else "-" for part in parts)
