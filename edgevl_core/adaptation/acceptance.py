"""Whether a new bundle may replace the current one: better on the newest held-back pairs, no worse on earlier ones."""

import json
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


def comparisons(bags: Sequence[str], output: bytes, source: str) -> list[Compared]:
    """Both bundles on each bag, from what ``edgevl evaluate CANDIDATE BAG... --against CURRENT --json -`` wrote.

    Args:
        bags: as they were given to it; source: names it in an error.

    Raises:
        UserError: it is no JSON, or lacks an agreement of one of the bundles on one of the bags.
    """
    try:
        figures = json.loads(output)
    except ValueError as error:
        raise UserError(f"{source} wrote no JSON") from error
    figures = figures if isinstance(figures, dict) else {}
    candidate, current = (_by_bag(of, source, len(bags)) for of in (figures, figures.get("current")))
    return [Compared(*row) for row in zip(bags, current, candidate, strict=True)]


def _by_bag(figures: Any, source: str, count: int) -> list[float]:
    """Mean over RGB and depth of the agreement with the teacher, bag by bag."""
    by_bag = figures.get("teacher_agreement_by_bag") if isinstance(figures, Mapping) else None
    if not isinstance(by_bag, list) or len(by_bag) != count or not all(map(_is_agreement, by_bag)):
        raise UserError(
            f"{source}: no teacher_agreement_by_bag of {' and '.join(MODALITIES)} for both bundles on {count} bags in "
            "the evaluation"
        )
    return [sum(float(bag[name]) for name in MODALITIES) / len(MODALITIES) for bag in by_bag]


def _is_agreement(by_modality: Any) -> bool:
    return isinstance(by_modality, Mapping) and all(
        isinstance(by_modality.get(name), int | float) for name in MODALITIES
    )


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
