"""What may be merged: runs of one network, one input, one teacher and one label file, that go back to one base."""

from collections.abc import Sequence
from pathlib import Path

from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.manifest import MANIFEST_FILE
from edgevl_train.recipe import Recipe, load_recipe, override, parse_recipe
from edgevl_train.run_directory import FLOAT_STUDENT, INPUTS_FILE, RECIPE_FILE, read_inputs

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
    check_once([(run, str(run.resolve())) for run in runs])
    return runs


def check_once(given: Sequence[tuple[Path, str]]) -> None:
    """Refuse what would count twice.

    Args:
        given: each path, and what it is known by: where it really lies, or the hash of its weights.

    Raises:
        UserError: two are the same.
    """
    known: dict[str, Path] = {}
    for path, key in given:
        if key in known:
            raise UserError(f"{known[key]} and {path} are the same student, given twice: name each once")
        known[key] = path


def _run_of(path: Path) -> Path:
    if (path / MANIFEST_FILE).is_file():
        if all((path.parent / name).is_file() for name in NEEDED):
            return path.parent
        raise UserError(
            f"{path} is a bundle, which holds no float weights to average (what is in it is folded and rounded): give "
            f"the run of `edgevl adapt` that made it, at least its {', '.join(NEEDED)}"
        )
    _check_there(path)
    return path


def _check_there(run: Path) -> None:
    if missing := [name for name in NEEDED if not (run / name).is_file()]:
        raise UserError(f"{run} has no {', '.join(missing)}: give a run directory of `edgevl adapt`")


def check_alike(recipe: Recipe, labels: Path) -> None:
    """Refuse runs whose average would be nobody's student, or not the one that the recipe describes.

    Args:
        recipe: of the merged student, with its runs.
        labels: the label file of the merged student.

    Raises:
        UserError: another network, input, or label file; one student twice; no common base.
    """
    runs, merged = recipe.student.merge, recipe.student
    for run in runs:
        _check_there(run)
    check_once([(run, sha256_file(run / FLOAT_STUDENT)) for run in runs])
    for run in runs:
        theirs = load_recipe(run / RECIPE_FILE)
        for key in _STUDENT:
            _same(run, f"student.{key}", getattr(theirs.student, key), getattr(merged, key))
        if theirs.student.widths != merged.widths:
            raise UserError(f"{run} is pruned otherwise than {runs[0]}: students of the same widths can be merged")
        _same(run, "input", theirs.robot_preprocess(), recipe.robot_preprocess())
    mine = sha256_file(labels)
    if other := [str(run) for run in runs if read_inputs(run).get("labels") != mine]:
        raise UserError(f"{', '.join(other)}: made for other labels than those of {labels}: pass theirs as --labels")
    if not set.intersection(*(_ancestry(run) for run in runs)):
        raise UserError(
            f"{', '.join(map(str, runs))} go back to no common student: weights can be averaged where each was adapted "
            "with student.start_from=BASE of one BASE"
        )


def _same(run: Path, what: str, theirs: object, merged: object) -> None:
    if theirs != merged:
        raise UserError(
            f"{run}: its {what} is {theirs}, that of the merged student {merged}: students of one kind can be merged, "
            "and --set does not change it"
        )


def _ancestry(run: Path, known: frozenset[Path] = frozenset()) -> set[str]:
    """SHA-256 of the float students that a run's goes back to, its own included, as far as their runs are here.

    ``known``: runs that led here; none is asked twice, should one have been made again from a student it had begun.
    """
    if run.resolve() in known or not all((run / name).is_file() for name in NEEDED):
        return set()
    known |= {run.resolve()}
    found, student = {sha256_file(run / FLOAT_STUDENT)}, load_recipe(run / RECIPE_FILE).student
    first = str(read_inputs(run).get("first_weights"))
    if student.prune_share is not None:
        # Of other weights other channels were taken out: they have no base in common, however they are called.
        return found | {f"{first} pruned by {student.prune_share:g}"}
    if student.start_from is not None:
        return found | {first} | _ancestry(student.start_from, known)
    if student.merge:
        return found | set.intersection(*(_ancestry(each, known) for each in student.merge))
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
    data["student"] |= {"prune_share": None, "budget_ms": None}
    data["student"] |= {"merge": tuple(runs), "merge_choice": choice}
    data["stage1"]["epochs"] = data["stage2"]["epochs"] = 0
    # Topics, homes and the course of time are those of the robot's drive, not of the pairs at hand.
    data |= {"one_home": False, "temporal": defaults["temporal"]}
    data["split"] = defaults["split"] | {"val_fraction": JUDGING_SHARE}
    data["cache"] |= {"rgb": None, "depth": None}
    data["teacher"] |= {key: defaults["teacher"][key] for key in ("students", "students_share")}
    # So are processors and processes.
    data |= {key: defaults[key] for key in ("accelerator", "devices", "num_nodes", "threads")}
    for setting in settings:
        override(data, setting)
    return parse_recipe(data, origin=f"of {runs[0]}, for a merged student")
