"""What may be merged: runs of one network, one input, one teacher and one label file, that go back to one base."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.manifest import MANIFEST_FILE
from edgevl_train.recipe import Recipe, load_recipe, override, parse_recipe
from edgevl_train.run_directory import FLOAT_STUDENT, INPUTS_FILE

RECIPE_FILE = "recipe.yaml"
JUDGING_SHARE = 0.4  # of the pairs at hand: none is trained on, and they set how far each camera is believed
NEEDED = (RECIPE_FILE, INPUTS_FILE, FLOAT_STUDENT)  # of each robot; no picture is in them
_STUDENT = ("name", "size_px", "head", "backbone")


def find_runs(given: Sequence[Path]) -> tuple[Path, ...]:
    """The run directory that each path is, or whose bundle it is; absolute.

    Raises:
        UserError: fewer than two, one twice, no run, or a bundle that lies in none.
    """
    runs = tuple(_run_of(path.absolute()) for path in given)
    if len(runs) < 2:
        raise UserError(f"{len(runs)} runs to merge: give two or more runs of `edgevl adapt`")
    if twice := sorted({str(run) for run in runs if runs.count(run) > 1}):
        raise UserError(f"runs given twice: {', '.join(twice)}: name each once")
    return runs


def _run_of(path: Path) -> Path:
    if (path / MANIFEST_FILE).is_file():
        if (path.parent / FLOAT_STUDENT).is_file():
            return path.parent
        raise UserError(
            f"{path} is a bundle, which holds no float weights to average (what is in it is folded and rounded): give "
            f"the run of `edgevl adapt` that made it, at least its {', '.join(NEEDED)}"
        )
    if missing := [name for name in NEEDED if not (path / name).is_file()]:
        raise UserError(f"{path} has no {', '.join(missing)}: give a run directory of `edgevl adapt`")
    return path


def check_alike(runs: Sequence[Path], labels: Path) -> None:
    """Refuse runs whose average would be nobody's student.

    Args:
        labels: the label file of the merged student.

    Raises:
        UserError: another network, input, teacher, or label file; no common base.
    """
    first, recipes = runs[0], {run: load_recipe(run / RECIPE_FILE) for run in runs}
    theirs = {run: _inputs(run) for run in runs}
    for run in runs[1:]:
        for key in _STUDENT:
            _same(f"student.{key}", [(each, getattr(recipes[each].student, key)) for each in (first, run)])
        if recipes[run].student.widths != recipes[first].student.widths:
            raise UserError(f"{run} is pruned otherwise than {first}: students of the same widths can be merged")
        _same("input", [(each, recipes[each].robot_preprocess()) for each in (first, run)])
        if theirs[run]["teacher"] != theirs[first]["teacher"]:
            raise UserError(f"{run} has another teacher than {first}: students of one teacher can be merged")
    mine = sha256_file(labels)
    if other := [str(run) for run in runs if theirs[run]["labels"] != mine]:
        raise UserError(f"{', '.join(other)}: made for other labels than those of {labels}: pass theirs as --labels")
    if not set.intersection(*(_ancestry(run) for run in runs)):
        raise UserError(
            f"{', '.join(map(str, runs))} go back to no common student: weights can be averaged where each was adapted "
            "with student.start_from=BASE of one BASE"
        )


def _same(what: str, found: Sequence[tuple[Path, Any]]) -> None:
    (first, mine), (run, other) = found
    if mine != other:
        raise UserError(f"{run}: its {what} is {other}, that of {first} {mine}: students of one kind can be merged")


def _inputs(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / INPUTS_FILE).read_text(encoding="utf-8")))


def _ancestry(run: Path) -> set[str]:
    """SHA-256 of the float students that a run's goes back to, its own included, as far as their runs are here."""
    found: set[str] = set()
    at: Path | None = run
    while at is not None and (at / FLOAT_STUDENT).is_file() and (at / INPUTS_FILE).is_file():
        found.add(sha256_file(at / FLOAT_STUDENT))
        student = load_recipe(at / RECIPE_FILE).student
        if student.prune_share is not None:
            # Of other weights other channels were taken out: they have no base in common, however they are called.
            found.add(f"{_inputs(at)['first_weights']} pruned by {student.prune_share:g}")
            break
        if student.start_from is not None:
            found.add(str(_inputs(at)["first_weights"]))
        at = student.start_from
    return found


def merge_recipe(runs: Sequence[Path], choice: str, settings: Sequence[str]) -> Recipe:
    """The first run's recipe, for a student merged from all: nothing is trained unless ``settings`` ask for it.

    Args:
        choice: see :mod:`edgevl_train.merge.soup`.
        settings: overrides ``section.key=value``.

    Raises:
        UserError: a setting that is wrong.
    """
    data = load_recipe(runs[0] / RECIPE_FILE).model_dump()
    defaults = Recipe().model_dump()
    data["student"] |= {"start_from": None, "pretrained": None, "pretrained_mean": None, "pretrained_std": None}
    data["student"] |= {"prune_share": None}
    data["student"] |= {"merge": tuple(runs), "merge_choice": choice}
    data["stage1"]["epochs"] = data["stage2"]["epochs"] = 0
    # Topics, homes and the course of time are those of the robot's drive, not of the pairs at hand.
    data |= {"one_home": False, "temporal": defaults["temporal"]}
    data["split"] = defaults["split"] | {"val_fraction": JUDGING_SHARE}
    data["cache"] |= {"rgb": None, "depth": None}
    data["teacher"] |= {"students": ()}
    for setting in settings:
        override(data, setting)
    return parse_recipe(data, origin=f"of {runs[0]}, for a merged student")
