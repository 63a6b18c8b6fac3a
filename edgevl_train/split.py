"""Training and validation pairs, apart by sequence: by bag, or by blocks of time with a gap. Labels are never asked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevl_core.errors import UserError
from edgevl_train.recipe import SplitSection


@dataclass(frozen=True)
class Split:
    """Row numbers (int64, sorted) of the two parts, how they were made, and how many rows fell into gaps."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    by: str
    dropped: int


def split_pairs(stamp_ns: NDArray[np.int64], bag: NDArray[np.int64], section: SplitSection, seed: int) -> Split:
    """Choose validation pairs.

    "bag": whole bags, drawn with ``seed``, whose pairs come as near to ``val_fraction`` as they can. "time":
    in each bag the last ``val_fraction`` of its pairs in time order; training pairs less than ``gap_s``
    before them are left out, for neighbours in time look alike. "auto": "bag" where whole bags give between
    half and twice the fraction, otherwise "time".

    Args:
        stamp_ns: (N,) int64; bag: (N,) int64, number of the bag of each pair.

    Raises:
        UserError: a part would be empty.
    """
    by = section.by
    chosen = _bags_near(bag, section.val_fraction, seed)
    share = np.isin(bag, chosen).mean() if len(bag) else 0.0
    if by == "auto":
        by = "bag" if section.val_fraction / 2 <= share <= section.val_fraction * 2 else "time"
    if by == "bag":
        val = np.isin(bag, chosen)
        train = ~val
    else:
        train, val = _last_blocks(stamp_ns, bag, section)
    if not train.any() or not val.any():
        raise UserError(
            f"{len(bag)} pairs of {len(np.unique(bag))} bag(s) leave {train.sum()} for training and {val.sum()} for "
            f"validation (split.by={section.by}, val_fraction={section.val_fraction}, gap_s={section.gap_s}): "
            "log more, or change split"
        )
    rows = np.arange(len(bag))
    return Split(rows[train], rows[val], by, int((~train & ~val).sum()))


def _bags_near(bag: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.int64]:
    """Bags, in random order, as long as adding one brings their share nearer to the fraction; never all of them."""
    names, counts = np.unique(bag, return_counts=True)
    order = np.random.default_rng([seed, 0x5B17]).permutation(len(names))
    wanted, have, chosen = fraction * len(bag), 0, []
    for i in order:
        if len(chosen) < len(names) - 1 and abs(have + counts[i] - wanted) < abs(have - wanted):
            chosen.append(names[i])
            have += counts[i]
    return np.array(chosen, dtype=np.int64)


def _last_blocks(
    stamp_ns: NDArray[np.int64], bag: NDArray[np.int64], section: SplitSection
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    train, val = np.zeros(len(bag), bool), np.zeros(len(bag), bool)
    for name in np.unique(bag):
        rows = np.flatnonzero(bag == name)
        rows = rows[np.argsort(stamp_ns[rows], kind="stable")]
        held = round(section.val_fraction * len(rows))
        if held == 0:
            train[rows] = True
            continue
        val[rows[-held:]] = True
        first_ns = int(stamp_ns[rows[-held]])
        earlier = rows[:-held]
        # In whole nanoseconds: a stamp of today as a float is 256 ns coarse.
        train[earlier[stamp_ns[earlier] <= first_ns - round(section.gap_s * 1e9)]] = True
    return train, val
