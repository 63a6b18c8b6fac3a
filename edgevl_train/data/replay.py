"""Pairs of earlier runs, for a student that goes on from one: what it has learned before is kept by seeing it again.

Rehearsal (Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science 1995). Nothing is
decoded and no teacher is run again: a run directory keeps the pairs and the teacher's embedding of every view.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_train.data.cache import Cache, open_cache
from edgevl_train.data.curate import Curation
from edgevl_train.data.embeddings import open_embeddings
from edgevl_train.data.run_data import RunData, spread
from edgevl_train.data.split import nearer_than, of_a_clock, split_pairs
from edgevl_train.data.temporal import smoothed
from edgevl_train.data.views import Views, draw_views
from edgevl_train.recipe import Recipe, load_recipe, parse_recipe
from edgevl_train.sections import StudentSection
from edgevl_train.teacher.loading import Teacher

MOST_VALIDATION_PAIRS = 512  # of one run: validation is done after every epoch


def inherited(recipe: Recipe) -> Recipe:
    """The recipe, with what it leaves open about the student and its images taken from ``student.start_from``.

    That path becomes absolute: a later run finds it from wherever it is started.

    Raises:
        UserError: there is no run of that name.
    """
    if recipe.student.start_from is None:
        return recipe
    run = recipe.student.start_from.absolute()
    theirs, mine = _recipe_of(run).model_dump(), recipe.model_dump()
    mine["student"]["start_from"] = run
    for section, keys in {
        "student": ("name", "size_px", "head", "backbone"),
        "preprocess": ("depth_encoding", "rotation_deg"),
        "cache": ("size_px", "max_skew_s"),
    }.items():
        given = getattr(recipe, section).model_fields_set
        mine[section] |= {key: theirs[section][key] for key in keys if key not in given}
    if recipe.student.prune_share is None and "widths" not in recipe.student.model_fields_set:
        mine["student"]["widths"] = theirs["student"]["widths"]
    return parse_recipe(mine, origin=f"after student.start_from={run}")


@dataclass(frozen=True)
class EarlierRun:
    """What an earlier run has kept.

    Attributes:
        targets: (K, N, D); train, val: rows that it could learn from (before curation), and was validated on.
    """

    cache: Cache
    views: Views
    targets: NDArray[np.float16]
    train: NDArray[np.int64]
    val: NDArray[np.int64]


def earlier_runs(recipe: Recipe, teacher: Teacher) -> list[EarlierRun]:
    """The runs whose pairs are replayed, newest first; none where ``replay.share`` is 0 or it starts from none.

    Raises:
        UserError: a run no longer has its pairs, or has them in another form; a student of another input cannot be gone
            on from.
    """
    start = recipe.student.start_from
    if start is not None and (other := _recipe_of(start).robot_preprocess()) != recipe.robot_preprocess():
        raise UserError(
            f"student.start_from={start}: its input is {other}, not {recipe.robot_preprocess()}: leave student.size_px "
            "and preprocess to that run, or begin with a new student"
        )
    return [_open(run, teacher) for run in _ancestors(recipe.student)] if recipe.replay.share else []


def earlier_pairs(
    runs: Sequence[EarlierRun],
    cache: Cache,
    val: NDArray[np.int64],
    gap_s: float,
    own: LabelBank,
    logit_scale: float,
    judge: Callable[[NDArray[np.float32]], Curation],
) -> tuple[RunData, ...]:
    """What the runs before have learned from, each bag from the newest run that has it; none that the new run has.

    Every run splits a bag in its own way: what an older one learned from may be a newer one's validation pair. A drive
    that has grown since, or was renamed or recovered, is another file, but its pairs have the same stamps: those are
    left out too, and what lies less than ``gap_s`` from a validation pair of a newer run. Only stamps of a clock tell.

    Args:
        runs: newest first.
        cache, val: the new run's pairs, and its validation rows.
        own: text vectors of the label set in use; logit_scale: the teacher's.
        judge: curation of (N, D) embeddings of whole RGB frames, as for the new pairs.
    """
    found, newer = [], [(cache, val)]
    for run in runs:
        again = np.any([_known(run.cache, *each, round(gap_s * 1e9)) for each in newer], axis=0)
        newer.append((run.cache, run.val))
        train, held = (rows[~again[rows]] for rows in (run.train, run.val))
        if not len(train):
            continue
        curation = judge(np.asarray(run.targets[0, train], np.float32))
        pseudo_label = np.full(len(run.cache), -1, np.int64)
        pseudo_label[train] = curation.pseudo_label
        kept, judged = train[curation.kept], spread(held, MOST_VALIDATION_PAIRS)
        found.append(RunData(run.cache, run.views, run.targets, kept, judged, pseudo_label, own.vectors, logit_scale))
    return tuple(found)


def _known(cache: Cache, newer: Cache, val: NDArray[np.int64], gap_ns: int) -> NDArray[np.bool_]:
    """Which pairs of an earlier run's cache a newer one has as well, or are too near to its validation rows."""
    theirs = {bag["sha256"] for bag in newer.index["bags"]}
    same_bag = [number for number, bag in enumerate(cache.index["bags"]) if bag["sha256"] in theirs]
    clocked = of_a_clock(newer.stamp_ns, newer.bag)
    same = nearer_than(1, cache.stamp_ns, newer.stamp_ns[clocked])
    near = nearer_than(gap_ns, cache.stamp_ns, newer.stamp_ns[val[clocked[val]]])
    return np.isin(cache.bag, same_bag) | (of_a_clock(cache.stamp_ns, cache.bag) & (same | near))


def _recipe_of(run: Path) -> Recipe:
    if not (run / "recipe.yaml").is_file():
        raise UserError(
            f"student.start_from={run}: no checkpoints/stage1.pt and recipe.yaml in it; a run of `edgevl adapt` is "
            "needed"
        )
    return load_recipe(run / "recipe.yaml")


def _ancestors(student: StudentSection) -> Iterator[Path]:
    """The run that this one starts from, the one which that started from, and so on.

    Raises:
        UserError: they come back to one of them, which was made again from a student that it had begun.
    """
    run = student.start_from
    known: list[Path] = []
    while run is not None:
        if (real := run.resolve()) in known:
            circle = " -> ".join(each.name for each in (*known, real))
            raise UserError(
                f"student.start_from goes round in a circle ({circle}): {real.name} was made again from a student that "
                "it had begun, and what it learned from before is gone; set replay.share=0 (the student will forget "
                "other homes), or start from another run"
            )
        known.append(real)
        yield run
        run = _recipe_of(run).student.start_from


def _open(run: Path, teacher: Teacher) -> EarlierRun:
    theirs = _recipe_of(run)
    try:
        cache = open_cache(run / "cache")
        views = draw_views(len(cache), theirs.views, theirs.seed)
        targets, whole, val = open_embeddings(run, teacher, cache, views)
        # Those in the gaps beside validation have all their views as well, and were not learned from.
        train = np.intersect1d(whole, split_pairs(cache.stamp_ns, cache.bag, theirs.split, theirs.seed).train)
    except UserError as error:
        raise UserError(
            f"replay of {run}: {error}; keep cache/ and teacher_embeddings.* of a run that others start from, or set "
            "replay.share=0 (the student will forget other homes)"
        ) from error
    return EarlierRun(cache, views, smoothed(targets, cache.stamp_ns, cache.bag, val, theirs.temporal), train, val)
