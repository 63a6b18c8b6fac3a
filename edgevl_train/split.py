"""Training and validation pairs, apart by sequence: by bag, or by blocks of time with gaps. Labels are never asked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevl_core.errors import UserError
from edgevl_train.recipe import SplitSection

MANY_BAGS = 10  # from so many on, whole bags may stand for the rest; one of a few is one day or one room
GAPS_SHARE = 0.3  # of a bag's time that the gaps beside its validation blocks may take


@dataclass(frozen=True)
class Split:
    """Row numbers (int64, sorted) of the two parts, how they were made, and how many rows fell into gaps."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    by: str
    dropped: int


def split_pairs(stamp_ns: NDArray[np.int64], bag: NDArray[np.int64], section: SplitSection, seed: int) -> Split:
    """Choose validation pairs.

    "bag": whole bags, drawn with ``seed``, whose pairs come as near to ``val_fraction`` as they can. "time": in each
    bag up to ``blocks`` runs of pairs in time order, spread evenly over it (one: its end), together ``val_fraction``
    of its pairs; training pairs less than ``gap_s`` from one are left out, for neighbours in time look alike. A bag
    has fewer blocks where the gaps would take more than 0.3 of its time. "auto": "bag" where there are ten bags or
    more and whole ones give between half and twice the fraction, otherwise "time": a robot goes from room to room,
    and the end of a drive is one room.

    Args:
        stamp_ns: (N,) int64; bag: (N,) int64, number of the bag of each pair.

    Raises:
        UserError: a part would be empty.
    """
    by = section.by
    chosen = _bags_near(bag, section.val_fraction, seed)
    share = np.isin(bag, chosen).mean() if len(bag) else 0.0
    if by == "auto":
        many = len(np.unique(bag)) >= MANY_BAGS
        by = "bag" if many and section.val_fraction / 2 <= share <= section.val_fraction * 2 else "time"
    if by == "bag":
        val = np.isin(bag, chosen)
        train = ~val
    else:
        train, val = _spread_blocks(stamp_ns, bag, section)
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


def _spread_blocks(
    stamp_ns: NDArray[np.int64], bag: NDArray[np.int64], section: SplitSection
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    train, val = np.zeros(len(bag), bool), np.zeros(len(bag), bool)
    gap_ns = round(section.gap_s * 1e9)  # whole nanoseconds: a stamp of today as a float is 256 ns coarse
    for name in np.unique(bag):
        rows = np.flatnonzero(bag == name)
        rows = rows[np.argsort(stamp_ns[rows], kind="stable")]
        held = round(section.val_fraction * len(rows))
        blocks = _blocks(stamp_ns[rows], held, gap_ns, section.blocks)
        val[rows[blocks]] = True
        train[rows[_far_from(stamp_ns[rows], blocks, gap_ns)]] = True
    return train, val


def _blocks(stamp_ns: NDArray[np.int64], held: int, gap_ns: int, most: int) -> NDArray[np.bool_]:
    """Which of one bag's pairs, in time order, validate: blocks of nearly equal size, one in each of equal parts.

    A single block is the bag's end, which has a gap on one side only. Several lie at a place in their parts that no
    period of the drive is likely to share: a third of the way.
    """
    chosen = np.zeros(len(stamp_ns), bool)
    if not held:
        return chosen
    span_ns = int(stamp_ns[-1] - stamp_ns[0])
    affordable = int(GAPS_SHARE * span_ns / (2 * gap_ns)) if gap_ns else most
    count = max(1, min(most, held, affordable))
    if count == 1:
        chosen[-held:] = True
        return chosen
    parts = np.linspace(0, len(stamp_ns), count + 1).astype(np.int64)
    sizes = np.diff(np.linspace(0, held, count + 1).astype(np.int64))
    for start, stop, size in zip(parts, parts[1:], sizes):
        first = start + (stop - start - size) // 3
        chosen[first : first + size] = True
    return chosen


def _far_from(stamp_ns: NDArray[np.int64], chosen: NDArray[np.bool_], gap_ns: int) -> NDArray[np.bool_]:
    """Which of one bag's pairs, in time order, are none of ``chosen`` and at least ``gap_ns`` from each of them."""
    if not chosen.any():
        return ~chosen
    held_ns = stamp_ns[chosen]
    after = np.searchsorted(held_ns, stamp_ns)
    later = held_ns[np.minimum(after, len(held_ns) - 1)]
    earlier = held_ns[np.maximum(after - 1, 0)]
    nearest_ns = np.minimum(np.abs(later - stamp_ns), np.abs(stamp_ns - earlier))
    return ~chosen & (nearest_ns >= gap_ns)
