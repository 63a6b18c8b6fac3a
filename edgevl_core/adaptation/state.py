"""What adaptation_manager must still know after its own restart: one JSON file in out_dir. No ROS.

The job that runs or has ended unheard, the bundles the classifier has had, and what the triggers count from.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from edgevl_core.adaptation.records import BundleRef, read, write
from edgevl_core.adaptation.triggers import PairCount
from edgevl_core.base.errors import UserError

FILE = "manager.json"
MAX_HISTORY = 20

History = tuple[BundleRef, ...]


class Job(BaseModel):
    """A started job, to be found again: process number and birth rule out another process of that number."""

    run: Path
    pid: int
    born: str
    command: tuple[str, ...]
    log: Path


class AdaptationState(BaseModel):
    """See the module's text.

    Attributes:
        job: the one that runs, or whose end has not been dealt with yet.
        history: bundles that the classifier has had, newest last.
        started_s: when the last adaptation was started, seconds since 1970; 0: never.
        pairs: new ones since then.
    """

    job: Job | None = None
    history: History = ()
    started_s: float = 0.0
    pairs: PairCount = PairCount()


def load(directory: Path) -> AdaptationState:
    """The memory in ``directory``, an empty one at the first start.

    Raises:
        UserError: the file is there and cannot be understood.
    """
    try:
        return read(AdaptationState, directory / FILE) or AdaptationState()
    except UserError as error:
        raise UserError(f"{error}; remove the file to start without history") from error


def save(directory: Path, memory: AdaptationState) -> None:
    """Write it, whole or not at all."""
    write(directory / FILE, memory)


def after_load(history: Sequence[BundleRef], before: BundleRef | None, loaded: BundleRef) -> History:
    """The history once ``loaded`` has taken the place of ``before`` (which somebody else may have loaded)."""
    entries = [*history]
    for bundle in (before, loaded):
        if bundle is not None and (not entries or entries[-1].id != bundle.id):
            entries.append(bundle)
    return tuple(entries[-MAX_HISTORY:])


def previous(history: Sequence[BundleRef], current: BundleRef | None) -> BundleRef:
    """The bundle before the current one.

    Raises:
        UserError: there is none, or it is no longer on disk.
    """
    older = [*history]
    if older and (current is None or older[-1].id == current.id):
        older.pop()
    if not older:
        raise UserError("no earlier bundle is known: nothing to roll back to")
    if not Path(older[-1].path).is_dir():
        raise UserError(f"the earlier bundle {older[-1].path} is no longer there: load another by hand")
    return older[-1]


def after_rollback(history: Sequence[BundleRef], target: BundleRef) -> History:
    """The history up to ``target``, its last occurrence: a second rollback goes further back."""
    entries = [*history]
    while entries and entries[-1].id != target.id:
        entries.pop()
    return tuple(entries)
