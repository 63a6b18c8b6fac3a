"""Run directories and logs on disk: a new run, which old ones go, which logs can be adapted to. No ROS."""

import re
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from edgevl_core.adaptation.records import BundleRef, Plan, log_file, plan_file, progress_file, read
from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.promise import read_promise

PLAN_SUFFIX = ".plan.json"
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check_run_name(name: str) -> None:
    """Refuse what is no plain name, and might lead out of the directory of runs; empty is allowed. Raises UserError."""
    if name and not RUN_NAME.fullmatch(name):
        raise UserError(
            f"parameter run_name = {name!r}: accepted: a name of letters, digits, '.', '-' and '_' that begins with a "
            "letter or digit; where runs are made is said by out_dir"
        )


def new_run(directory: Path, name: str) -> Path:
    """The path of a new run; an empty name: run_<UTC date and time>.

    Raises:
        UserError: a run of this name is there already, or it is no name for one.
    """
    check_run_name(name)
    run = directory / (name or time.strftime("run_%Y%m%dT%H%M%SZ", time.gmtime()))
    if run.exists():
        raise UserError(f"{run} exists already: give another run_name, or remove it first")
    return run


def made_by(directory: Path, bundle: BundleRef | None) -> Path | None:
    """The run that made the bundle: this manager's, or one of `edgevl adapt` by hand; None where it is in neither.

    A run of another manager is none of ours: it may be removed at any time.
    """
    if bundle is None:
        return None
    run = Path(bundle.path).resolve().parent  # the bundle may be in use through a link
    if plan_file(run).is_file():
        return directory / run.name if is_own(directory, run) else None
    return run if (run / "inputs.json").is_file() else None


def is_own(directory: Path, run: Path) -> bool:
    """Whether a run lies in a manager's directory."""
    return run.parent.resolve() == directory.resolve()


def origin(run: Path) -> Path:
    """The run that a manager's run began with, or that one began with, and so on: itself where its plan names none."""
    while (before := _start_of(run)) is not None:
        run = before
    return run


def _start_of(run: Path) -> Path | None:
    try:
        plan = read(Plan, plan_file(run))
    except UserError:
        return None  # a damaged plan says nothing of an earlier run; the run itself can still be gone on from
    before = plan.start_from if plan is not None else None
    return before if before is not None and (before.is_dir() or plan_file(before).is_file()) else None  # not removed


def make_directory(path: str, parameter: str) -> Path:
    """``path`` with ~ expanded, made if need be.

    Raises:
        UserError: it cannot be made.
    """
    directory = Path(path).expanduser().absolute()  # whoever is told of a run may have another working directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"parameter {parameter} = {directory} cannot be made ({error.strerror}): choose another place"
        ) from error
    return directory


def remove_old_runs(directory: Path, keep: int, in_use: Collection[Path]) -> list[Path]:
    """Remove runs older than the newest ``keep`` that have a bundle; those that were removed.

    Only what a manager started (its plan is there) and `edgevl adapt` made (inputs.json is there) is touched, never
    a run that holds one of the bundles ``in_use``, nor the one that such a run goes back to.
    """
    plans = sorted(directory.glob(f"*{PLAN_SUFFIX}"), key=lambda plan: plan.stat().st_mtime_ns, reverse=True)
    used = [bundle.resolve() for bundle in in_use]
    used += [origin(bundle.parent).resolve() / "bundle" for bundle in used if plan_file(bundle.parent).is_file()]
    bundles, removed = 0, []
    for run in [plan.with_name(plan.name.removesuffix(PLAN_SUFFIX)) for plan in plans]:
        if not (run / "inputs.json").is_file():
            continue
        if bundles >= keep and not any(bundle.is_relative_to(run.resolve()) for bundle in used):
            shutil.rmtree(run)
            for file in (progress_file(run), log_file(run), plan_file(run)):
                file.unlink(missing_ok=True)
            removed.append(run)
        bundles += (run / "bundle").is_dir()
    return removed


def closed_logs(directory: Path, open_log: str) -> list[str]:
    """The bags in ``directory`` that hold messages and are not being written, oldest name first."""
    still_open = Path(open_log).resolve() if open_log else None
    bags = sorted(path.parent for path in directory.glob("*/metadata.yaml"))
    return [str(bag) for bag in bags if bag.resolve() != still_open and _messages(bag) > 0]


def without(bags: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """``bags``, each once, but for those that are among ``others``, whatever their spelling."""
    left = {Path(bag).expanduser().resolve(): bag for bag in reversed(bags)}
    for other in others:
        left.pop(Path(other).expanduser().resolve(), None)
    return tuple(reversed(left.values()))


def _messages(bag: Path) -> int:
    """Number of messages by the bag's metadata; 0 where that cannot be read: no bag to train on."""
    promise, _ = read_promise(bag / "metadata.yaml")
    return sum(promise.by_topic.values())
