"""What adaptation_manager must still know after its own restart: one JSON file in out_dir. No ROS.

The job that runs or has ended unheard, the bundles the classifier has had, and what the triggers count from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from edgevl_core.adaptation.records import BundleRef, read, write
from edgevl_core.adaptation.triggers import PairCount
from edgevl_core.base.errors import UserError

FILE = "manager.json"
MAX_HISTORY = 20
# A bundle that ends the classifier (no memory, a crash of the GPU) would be handed to each of its next lives. Three
# times: a developer or a robot that starts again a few times loses nothing.
MAX_RESUMED, RESUMED_WITHIN_S = 3, 600.0

History = tuple[BundleRef, ...]


class Job(BaseModel):
    """A started job, to be found again: process number and birth rule out another process of that number."""

    run: Path
    pid: int
    born: str
    command: tuple[str, ...]
    log: Path


class Life(BaseModel):
    """The classifier's life that was heard of last: from its configuration to its clean-up, or its end.

    Attributes:
        publishers: of its label set, by their ids in DDS: those of another life are others.
        began_with: id of the bundle that its parameter ``bundle`` named, "": none; None: that is not known.
        bundle: id of the bundle that it had last.
    """

    model_config = ConfigDict(frozen=True)

    publishers: tuple[str, ...]
    began_with: str | None
    bundle: str


class AdaptationState(BaseModel):
    """See the module's text.

    Attributes:
        job: the one that runs, or whose end has not been dealt with yet.
        history: bundles that the classifier has had, newest last: the last is the one that it should have.
        life: None: it was never heard of.
        resumed_s: when a classifier that had begun anew was last handed a bundle, seconds since 1970, newest last.
        started_s: when the last adaptation was started, seconds since 1970; 0: never.
        pairs: new ones since then.
    """

    job: Job | None = None
    history: History = ()
    life: Life | None = None
    resumed_s: tuple[float, ...] = ()
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


def after_load(history: Sequence[BundleRef], before: BundleRef | None, loaded: BundleRef | None) -> History:
    """The history once ``loaded`` has taken the place of ``before`` (which somebody else may have loaded).

    None: no bundle, or one that is not known.
    """
    entries = [*history]
    for bundle in (before, loaded):
        if bundle is not None and (not entries or entries[-1].id != bundle.id):
            entries.append(bundle)
    return tuple(entries[-MAX_HISTORY:])


def previous(history: Sequence[BundleRef], current: BundleRef | None) -> BundleRef:
    """The bundle before the current one; the last of all where the current one is none of them, or there is none.

    Raises:
        UserError: there is none, or it is no longer on disk.
    """
    older = [*history]
    if current is not None and current.id in [bundle.id for bundle in older]:
        while older.pop().id != current.id:
            pass
    if not older:
        raise UserError("no earlier bundle is known: nothing to roll back to")
    if not Path(older[-1].path).is_dir():
        raise UserError(f"the earlier bundle {older[-1].path} is no longer there: load another by hand")
    return older[-1]


class Heard(NamedTuple):
    """What a label set of the classifier says, by :func:`heard`.

    Attributes:
        life, history: to be remembered, once ``resume`` is dealt with.
        resume: the bundle that the classifier should have instead; None: it has the right one.
        given_up: why the bundle in use last is not handed over, and no longer in use; "": that is not so.
    """

    life: Life
    history: History
    resume: BundleRef | None = None
    given_up: str = ""


def heard(memory: AdaptationState, publishers: Sequence[str], bundle: BundleRef | None, now_s: float) -> Heard | None:
    """What follows from the bundle that the classifier has now; None: nothing, it is as it was.

    One that a person loads while the classifier lives is a choice, and so is a parameter ``bundle`` other than before.
    A classifier that begins anew as it began before has only forgotten what was put in use since,
    and what it has been handed for that too often in a short time is given up: the bundle may be what ends it.

    What it has when it is heard of first in a life counts as its parameter. Where a person loads a bundle before that,
    the parameter is not known: a later life that begins with it looks like a person's choice, and is left as it is.

    Args:
        publishers: of the classifier's label set.
        bundle: None: it has none.
        now_s: seconds since 1970.
    """
    known, history, bundle_id = memory.life, memory.history, bundle.id if bundle is not None else ""
    if known is not None and {*publishers} <= {*known.publishers}:
        if bundle_id == known.bundle:
            return None
        return Heard(known.model_copy(update={"bundle": bundle_id}), after_load(history, None, bundle))
    life = Life(publishers=tuple(publishers), began_with=bundle_id, bundle=bundle_id)
    began_with = known.began_with if known is not None else None
    if not history or (bundle_id == history[-1].id == began_with):
        return Heard(life, history)
    if bundle_id == history[-1].id:  # by its parameter, or handed over before it was heard of
        return Heard(life.model_copy(update={"began_with": None}), history)
    as_before = bundle_id in {entry.id for entry in history} if began_with is None else bundle_id == began_with
    if bundle_id and not as_before:
        return Heard(life, after_load(history, None, bundle))
    # Without its sign: the clock of a robot that has none of its own may be set back when it starts.
    if sum(abs(now_s - at_s) < RESUMED_WITHIN_S for at_s in memory.resumed_s) >= MAX_RESUMED:
        often = f"was handed to the classifier {MAX_RESUMED} times in {RESUMED_WITHIN_S / 60:g} minutes"
        why = f"{history[-1].path} {often}, which began anew each time, and is given up: ~/rollback loads it again"
        return Heard(life, after_load(history, None, bundle), given_up=why)
    return Heard(life, history, resume=history[-1])


def after_resume(resumed_s: Sequence[float], now_s: float) -> tuple[float, ...]:
    """``resumed_s`` once a bundle has been handed over ``now_s``, as many as count."""
    return (*resumed_s, now_s)[-MAX_RESUMED:]


def after_rollback(history: Sequence[BundleRef], target: BundleRef) -> History:
    """The history up to ``target``, its last occurrence: a second rollback goes further back."""
    entries = [*history]
    while entries and entries[-1].id != target.id:
        entries.pop()
    return tuple(entries)
