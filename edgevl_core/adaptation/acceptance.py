"""Whether a new bundle may replace the current one: better on the newest held-back pairs, no worse on earlier ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgevl_core.adaptation.records import BundleRef
from edgevl_core.base.errors import UserError

MODALITIES = ("rgb", "depth")
# Agreements are shares of a count of pairs: differences below this are rounding, not pairs.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Compared:
    """Agreement with the teacher (0..1) of two bundles on one held-back bag."""

    bag: str
    current: float
    candidate: float


def agreement(figures: Mapping[str, Any], source: str) -> float:
    """Mean over RGB and depth of the agreement with the teacher, from what ``edgevl evaluate`` wrote.

    Raises:
        UserError: the figures hold none.
    """
    by_modality = figures.get("teacher_agreement")
    if not isinstance(by_modality, Mapping) or not all(
        isinstance(by_modality.get(name), int | float) for name in MODALITIES
    ):
        raise UserError(f"{source}: no teacher_agreement of {' and '.join(MODALITIES)} in the evaluation")
    return sum(float(by_modality[name]) for name in MODALITIES) / len(MODALITIES)


def verdict(compared: Sequence[Compared], min_gain: float, max_loss: float) -> str:
    """Why the candidate is refused, in one line; empty: it is accepted.

    Args:
        compared: one entry per held-back bag, newest last; empty: accepted.
        min_gain: on the newest bag the candidate must be better by more than this.
        max_loss: on each earlier bag it may be worse by at most this: no forgetting.
    """
    if not compared:
        return ""
    *earlier, newest = compared
    reasons = []
    if newest.candidate - newest.current <= min_gain + ROUNDING:
        reasons.append(f"{_figures(newest)}, must be more than {min_gain:g} better on the newest")
    reasons += [
        f"{_figures(bag)}, may lose at most {max_loss:g}"
        for bag in earlier
        if bag.current - bag.candidate > max_loss + ROUNDING
    ]
    return "; ".join(reasons)


def outdated(compared_with: BundleRef | None, current: BundleRef | None) -> str:
    """Why a comparison no longer counts: another bundle has come into use since it was planned; empty: it counts."""
    if current is None or (compared_with is not None and compared_with.id == current.id):
        return ""
    beaten = compared_with.path if compared_with is not None else "nothing"
    return f"it was compared with {beaten}, but {current.path} is in use now"


def _figures(bag: Compared) -> str:
    return f"agreement with the teacher on {bag.bag} {bag.candidate:.4f}, now {bag.current:.4f}"
