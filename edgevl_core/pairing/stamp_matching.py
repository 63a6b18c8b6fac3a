"""Optimal one-to-one matching of two ascending sequences of stamps, given out prefix by prefix.

On a line some optimal matching never crosses (swapping the partners of a crossing pair costs nothing), so it
is a path through the grid of "the first i of a and the first j of b are dealt with", as in edit distance. The
value of a path is compared by number of pairs, then by total skew, then by a hash of the stamps: the hash
makes the optimum unique, so that every sound way to find it finds the same one.

Which prefix is certain? Every future message continues a path that leaves the grid on its far border. A
border cell that is worse than another one whatever comes can be left out; what the best paths to all
remaining cells have in common is certain. The bounds: a cell that leaves k more messages open gains at most
those k pairs, each with at least the skew to the earliest stamp that may still come.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

_HASH_BITS = 24
_SKEW_UNIT = 1 << 40  # room for the hashes of 2**16 pairs below one nanosecond of skew
_PAIR = _SKEW_UNIT << 60  # more than any total skew: one pair more always wins


@dataclass(frozen=True)
class Prefix:
    """Decisions on the first ``length_a`` and ``length_b`` stamps: pairs of indices, the rest unmatched."""

    length_a: int = 0
    length_b: int = 0
    pairs: Sequence[tuple[int, int]] = field(default_factory=tuple)

    def __bool__(self) -> bool:
        return self.length_a > 0 or self.length_b > 0


def certain_prefix(a: Sequence[int], b: Sequence[int], next_a: int, next_b: int, max_skew: int) -> Prefix:
    """The decisions that hold in the optimum whatever comes after.

    Args:
        a, b: strictly ascending stamps.
        next_a, next_b: every later stamp of the stream is at least this.
        max_skew: largest distance of a pair, inclusive, in the unit of the stamps.
    """
    open_a, open_b = _first_open(a, next_b, max_skew), _first_open(b, next_a, max_skew)
    if not a or not b:
        return Prefix(open_a, open_b)
    value = _values(a, b, max_skew)
    border = _survivors(value, a, b, (open_a, open_b), (next_a, next_b))
    paths = [(_path(value, i, j), i, j) for i, j in border]
    common = 0
    shortest = min(len(path) for path, _, _ in paths)
    first = paths[0][0]
    while common < shortest and all(path[common] == first[common] for path, _, _ in paths):
        common += 1
    # Beyond the common pairs, what every path leaves unmatched before its next pair is certain as well.
    length_a = min(path[common][0] if common < len(path) else i for path, i, _ in paths)
    length_b = min(path[common][1] if common < len(path) else j for path, _, j in paths)
    return Prefix(length_a, length_b, first[:common])


def forced_prefix(a: Sequence[int], b: Sequence[int], max_skew: int) -> Prefix:
    """A first decision where nothing is certain yet: up to and with one pair; all where there is no pair.

    Pairing the two earliest stamps whenever they are close enough never costs a pair, whatever comes. Of all
    paths to the cell where that leads, the one with the least skew is taken: so a bounded look-ahead loses no
    pair, only some skew.
    """
    i = j = end_a = end_b = 0
    while i < len(a) and j < len(b):
        if abs(a[i] - b[j]) <= max_skew:
            i, j = i + 1, j + 1
            end_a, end_b = i, j
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    path = _path(_values(a[:end_a], b[:end_b], max_skew), end_a, end_b)
    if not path:
        return Prefix(len(a), len(b))
    i, j = path[0]
    return Prefix(i + 1, j + 1, path[:1])


def _first_open(stamps: Sequence[int], next_other: int, max_skew: int) -> int:
    """Index of the first stamp that a later message of the other stream can still reach."""
    for index, stamp in enumerate(stamps):
        if stamp + max_skew >= next_other:
            return index
    return len(stamps)


def _values(a: Sequence[int], b: Sequence[int], max_skew: int) -> list[list[int]]:
    """(len(a) + 1) x (len(b) + 1): value of the best matching of the first i of a with the first j of b."""
    previous = [0] * (len(b) + 1)
    rows = [previous]
    for stamp_a in a:
        row = [0]
        best = 0
        for j, stamp_b in enumerate(b):
            best = max(best, previous[j + 1])
            skew = abs(stamp_a - stamp_b)
            if skew <= max_skew:
                best = max(best, previous[j] + _PAIR - skew * _SKEW_UNIT + _hash(stamp_a, stamp_b))
            row.append(best)
        rows.append(row)
        previous = row
    return rows


def _hash(stamp_a: int, stamp_b: int) -> int:
    mixed = (stamp_a * 0x9E3779B97F4A7C15 + stamp_b * 0xC2B2AE3D27D4EB4F) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    return mixed >> (64 - _HASH_BITS)


def _path(value: list[list[int]], i: int, j: int) -> list[tuple[int, int]]:
    """Pairs of the best matching of the first i with the first j, ascending."""
    pairs = []
    while i and j:
        here = value[i][j]
        if here == value[i - 1][j]:
            i -= 1
        elif here == value[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _survivors(
    value: list[list[int]],
    a: Sequence[int],
    b: Sequence[int],
    first_open: tuple[int, int],
    following: tuple[int, int],
) -> list[tuple[int, int]]:
    """The border cells (i, len(b)) and (len(a), j) through which the optimum may still pass."""
    m, n = len(a), len(b)
    # (cell, value as it is, value if every message it leaves open found the best partner that may still come)
    side_a = _side([value[i][n] for i in range(m + 1)], a, first_open[0], following[1])
    side_b = _side(value[m], b, first_open[1], following[0])
    cells = []
    for side, other, cell_of in ((side_a, side_b, lambda k: (k, n)), (side_b, side_a, lambda k: (m, k))):
        best_other = max(reached for _, reached, _ in other)
        first, last = side[0][0], side[-1][0]
        best_later = -1  # best possible value among the cells that deal with more messages
        for k, reached, possible in reversed(side):
            # A cell that reaches no more than its predecessor has the same pairs and leaves less open.
            needless = k > first and reached == side[k - first - 1][1]
            beaten = possible <= best_later or (k < last and possible <= best_other)
            if not needless and not beaten:
                cells.append(cell_of(k))
            best_later = max(best_later, possible)
    return cells


def _side(values: list[int], stamps: Sequence[int], first_open: int, next_other: int) -> list[tuple[int, int, int]]:
    side = []
    possible = 0
    for k in range(len(stamps), first_open - 1, -1):
        if k < len(stamps):
            # Less than 1 << _HASH_BITS for the hash, so the bound is never reached.
            possible += _PAIR - max(0, next_other - stamps[k]) * _SKEW_UNIT + (1 << _HASH_BITS)
        side.append((k, values[k], values[k] + possible))
    return side[::-1]
