"""Pairs of earlier runs, for a student that goes on from one: what it has learned before is kept by seeing it again.

Rehearsal (Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science 1995). Nothing is
decoded and no teacher is run again: a run directory keeps the pairs and the teacher's embedding of every view.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.errors import UserError
from edgevl_core.label_bank import LabelBank
from edgevl_train.cache import open_cache
from edgevl_train.curate import Curation
from edgevl_train.data import RunData
from edgevl_train.embeddings import open_embeddings
from edgevl_train.recipe import Recipe, load_recipe, parse_recipe
from edgevl_train.teacher import Teacher
from edgevl_train.temporal import smoothed
from edgevl_train.views import draw_views

MOST_VALIDATION_PAIRS = 512  # of one run: validation is done after every epoch


def inherited(recipe: Recipe) -> Recipe:
    """The recipe, with what it leaves open about the student and its images taken from ``student.start_from``.

    Raises:
        UserError: there is no run of that name.
    """
    run = recipe.student.start_from
    if run is None:
        return recipe
    if not (run / "recipe.yaml").is_file():
        raise UserError(f"student.start_from={run}: no recipe.yaml in it; pass the run directory of an `edgevl adapt`")
    theirs, mine = load_recipe(run / "recipe.yaml").model_dump(), recipe.model_dump()
    for section, keys in {
        "student": ("name", "size_px", "head", "backbone"),
        "preprocess": ("depth_encoding", "rotation_deg"),
        "cache": ("size_px", "max_skew_s"),
    }.items():
        given = getattr(recipe, section).model_fields_set
        mine[section] |= {key: theirs[section][key] for key in keys if key not in given}
    return parse_recipe(mine, origin=f"after student.start_from={run}")


def earlier_pairs(
    recipe: Recipe, teacher: Teacher, own: LabelBank, judge: Callable[[NDArray[np.float32]], Curation]
) -> tuple[RunData, ...]:
    """What the runs before have learned from, newest first; empty where ``replay.share`` is 0 or there are none.

    Args:
        own: text vectors of the label set in use.
        judge: curation of (N, D) embeddings of whole RGB frames, as for the new pairs.

    Raises:
        UserError: a run no longer has its pairs, or has them in another form.
    """
    if not recipe.replay.share:
        return ()
    return tuple(_pairs_of(run, recipe, teacher, own, judge) for run in _ancestors(recipe))


def _ancestors(recipe: Recipe) -> Iterator[Path]:
    """The run that this one starts from, the one which that started from, and so on."""
    run = recipe.student.start_from
    while run is not None:
        yield run
        run = load_recipe(run / "recipe.yaml").student.start_from


def _pairs_of(
    run: Path,
    recipe: Recipe,
    teacher: Teacher,
    own: LabelBank,
    judge: Callable[[NDArray[np.float32]], Curation],
) -> RunData:
    theirs = load_recipe(run / "recipe.yaml")
    if theirs.robot_preprocess() != recipe.robot_preprocess():
        raise UserError(
            f"pairs of {run} are {theirs.robot_preprocess()}, not {recipe.robot_preprocess()}: use the same, or "
            "replay.share=0"
        )
    try:
        cache = open_cache(run / "cache")
        views = draw_views(len(cache), theirs.views, theirs.seed)
        targets, whole, first = open_embeddings(run, teacher, cache, views)
    except UserError as error:
        raise UserError(
            f"replay of {run}: {error}; keep cache/ and teacher_embeddings.* of a run that others start from, or set "
            "replay.share=0 (the student will forget other homes)"
        ) from error
    targets = smoothed(targets, cache.stamp_ns, cache.bag, theirs.temporal)
    curation = judge(np.asarray(targets[0, whole], np.float32))
    pseudo_label = np.full(len(cache), -1, np.int64)
    pseudo_label[whole] = curation.pseudo_label
    spread = np.linspace(0, len(first) - 1, min(len(first), MOST_VALIDATION_PAIRS)).astype(np.int64)
    return RunData(
        cache, views, targets, whole[curation.kept], first[spread], pseudo_label, own.vectors, teacher.logit_scale
    )
