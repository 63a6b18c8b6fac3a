"""Training and validation pairs, apart by bag, by sequence, or by blocks of time with gaps. Labels are never asked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.sequences import SEQUENCE_GAP_S, number_sequences
from edgevl_train.sections import SplitSection

MANY = 10  # from so many on, whole bags or sequences may stand for the rest; one of a few is one day or one room
GOLDEN_RATIO = (1 + 5**0.5) / 2
SET_SINCE_NS = 1_400_000_000_000_000_000  # 2014: a clock that says less was never set
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

    "bag": whole bags, drawn with ``seed``, whose pairs come as near to ``val_fraction`` as they can. "sequence": the
    same with whole sequences (see SEQUENCE_GAP_S; they are at least ``gap_s`` apart), spread evenly over the recording.
    "time": in each bag up to ``blocks`` runs of pairs in time order, spread evenly over it (one: its end), together
    ``val_fraction`` of its pairs; training pairs less than ``gap_s`` from one are left out, for neighbours in time look
    alike. A bag has fewer blocks where the gaps would take more than 0.3 of its time.

    However they are chosen, training pairs less than ``gap_s`` from a validation pair of another bag are left out, too:
    a recorder that begins a new file each minute, or a log that was taken from a raw bag. Only stamps of a clock tell;
    whole milliseconds are of a program.

    "auto": "bag" where there are ten bags or more and whole ones give between half and twice the fraction. Otherwise
    "sequence" for the bags of short sequences (most of their pairs lie in ones of 30 s at most, as in a collection) if
    they have ten sequences or more, of which whole ones give between half and twice the fraction; and "time" for all
    other bags: a robot goes from room to room, a few pauses of its drive do not make it a collection, and the end of a
    drive is one room.

    Args:
        stamp_ns: (N,) int64; bag: (N,) int64, number of the bag of each pair.

    Returns:
        ``by`` is "bag", "sequence", "time", or "sequence and time" where bags differ.

    Raises:
        UserError: a part would be empty.
    """
    fraction = section.val_fraction
    sequence = number_sequences(stamp_ns, bag, max(SEQUENCE_GAP_S, section.gap_s))
    names = np.unique(bag)
    val = np.isin(bag, _near(bag, fraction, np.random.default_rng([seed, 0x5B17]).permutation(len(names))))
    if section.by == "bag" or (section.by == "auto" and len(names) >= MANY and _is_fair(val, fraction)):
        by, train = "bag", ~val
    else:
        whole = _kept_whole(stamp_ns, bag, sequence, section)
        by = "sequence" if whole.all() else "sequence and time" if whole.any() else "time"
        train, val = np.zeros(len(bag), bool), np.zeros(len(bag), bool)
        val[whole] = _spread_sequences(sequence[whole], fraction)
        train[whole] = ~val[whole]
        train[~whole], val[~whole] = _spread_blocks(stamp_ns[~whole], bag[~whole], section)
    train &= ~_near_another_bag(stamp_ns, bag, val, section.gap_s)
    if not train.any() or not val.any():
        raise UserError(
            f"{len(bag)} pairs of {len(names)} bag(s), {len(np.unique(sequence))} sequence(s), leave {train.sum()} for "
            f"training and {val.sum()} for validation (split.by={section.by}, val_fraction={fraction}, "
            f"gap_s={section.gap_s}): log more, or change split"
        )
    rows = np.arange(len(bag))
    return Split(rows[train], rows[val], by, int((~train & ~val).sum()))


def _near_another_bag(
    stamp_ns: NDArray[np.int64], bag: NDArray[np.int64], val: NDArray[np.bool_], gap_s: float
) -> NDArray[np.bool_]:
    """Which pairs lie less than ``gap_s`` from a validation pair of another bag."""
    near = np.zeros(len(bag), bool)
    clocked = of_a_clock(stamp_ns, bag)
    for name in np.unique(bag[clocked]):
        own = bag == name
        near[own] = nearer_than(round(gap_s * 1e9), stamp_ns[own], stamp_ns[val & clocked & ~own])
    return near


def of_a_clock(stamp_ns: NDArray[np.int64], bag: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs have the stamps of a clock: two of one stamp are one, whatever their bags are called.

    Args:
        stamp_ns: (N,) int64; bag: (N,) int64, number of the bag of each pair.
    """
    return np.isin(bag, [name for name in np.unique(bag) if _is_of_a_clock(int(stamp_ns[bag == name].min()))])


def nearer_than(gap_ns: int, stamp_ns: NDArray[np.int64], others_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of (N,) stamps lie less than ``gap_ns`` from one of the (M,) others; none where there are no others."""
    if not len(others_ns):
        return np.zeros(len(stamp_ns), bool)
    others_ns = np.sort(others_ns)
    after = np.searchsorted(others_ns, stamp_ns)
    later, earlier = others_ns[np.minimum(after, len(others_ns) - 1)], others_ns[np.maximum(after - 1, 0)]
    return np.minimum(np.abs(later - stamp_ns), np.abs(stamp_ns - earlier)) < gap_ns


def _is_of_a_clock(first_ns: int) -> bool:
    """Whether a bag that begins then has the stamps of a clock that was set, not of an import or a simulation."""
    return first_ns > SET_SINCE_NS and first_ns % 1_000_000 != 0


def _is_fair(val: NDArray[np.bool_], fraction: float) -> bool:
    """Whether whole bags or sequences came near enough to the fraction."""
    return bool(len(val)) and fraction / 2 <= val.mean() <= fraction * 2


def _kept_whole(
    stamp_ns: NDArray[np.int64], bag: NDArray[np.int64], sequence: NDArray[np.int64], section: SplitSection
) -> NDArray[np.bool_]:
    """Which pairs are split by whole sequences; the others by blocks of time."""
    if section.by != "auto" or not len(bag):
        return np.full(len(bag), section.by == "sequence")
    first, last = np.full(sequence.max() + 1, np.iinfo(np.int64).max), np.zeros(sequence.max() + 1, np.int64)
    np.minimum.at(first, sequence, stamp_ns)
    np.maximum.at(last, sequence, stamp_ns)
    of_pair_s = (last - first)[sequence] / 1e9  # pairs are asked, for a long drive may have many single ones around it
    short = [name for name in np.unique(bag) if np.median(of_pair_s[bag == name]) <= SEQUENCE_GAP_S]
    whole = np.isin(bag, short)
    many = len(np.unique(sequence[whole])) >= MANY
    return whole & (many and _is_fair(_spread_sequences(sequence[whole], section.val_fraction), section.val_fraction))


def _spread_sequences(sequence: NDArray[np.int64], fraction: float) -> NDArray[np.bool_]:
    """Which pairs validate: those of whole sequences, evenly from all over, beginning in the middle.

    Multiples of the golden ratio, modulo 1, are spread evenly however many of them are taken.
    """
    count = len(np.unique(sequence))
    order = np.argsort((np.arange(count) - count // 2) * GOLDEN_RATIO % 1)
    return np.isin(sequence, _near(sequence, fraction, order))


def _near(group: NDArray[np.int64], fraction: float, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups, asked in ``order``, as long as adding one brings their share nearer to the fraction; never all of them.

    Args:
        group: (N,) int64, of each pair; order: (G,) int64, places among the G sorted groups.
    """
    names, counts = np.unique(group, return_counts=True)
    wanted, have = fraction * len(group), 0
    chosen: list[np.int64] = []
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
    return ~chosen & ~nearer_than(gap_ns, stamp_ns, stamp_ns[chosen])
