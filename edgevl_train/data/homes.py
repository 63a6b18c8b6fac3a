"""Whether drives are of one home, by what the teacher sees: the same label looks alike where it is the same room.

Of each embedding the part along its label's direction is taken away; what is left tells one kitchen from another. Its
nearest neighbour of the same label lies as near in another drive through the same home as elsewhere in its own drive,
and at more than twice the distance in another home: in four simulated homes 1 - cosine was 0.015 to 0.032 against
0.063 to 0.11.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

APART = 1.7  # times the distance within a drive
NEAR_IN_TIME_S = 15.0  # neighbours in time of the same drive show the same things
MOST_PAIRS, MOST_BAGS = 400, 12  # of a bag; compared
FEWEST_PAIRS = 20


def unlike_bags(
    embeddings: NDArray[np.float32], stamp_ns: NDArray[np.int64], bag: NDArray[np.int64], bank: NDArray[np.float32]
) -> list[tuple[int, int]]:
    """Pairs of bags that look like different homes.

    Args:
        embeddings: (N, D), the teacher's of the whole RGB frames; bank: (C, D), the label set's; both L2-normalised.
        stamp_ns, bag: (N,) int64.
    """
    drives = {}
    for name in np.unique(bag)[:MOST_BAGS]:
        rows = np.flatnonzero(bag == name)
        if len(rows) >= FEWEST_PAIRS:
            rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_PAIRS)).astype(np.int64)]
            drives[int(name)] = (*_residuals(embeddings[rows], bank), stamp_ns[rows])
    within = {name: _distance(*drive, *drive, same=True) for name, drive in drives.items()}
    found = []
    for one, other in combinations(drives, 2):
        between = max(
            _distance(*drives[one], *drives[other], same=False), _distance(*drives[other], *drives[one], same=False)
        )
        # Where nothing can be compared, as in drives that pass each room once and quickly, the distance is NaN.
        if between > APART * max(within[one], within[other]) and np.isfinite([within[one], within[other]]).all():
            found.append((one, other))
    return found


def warnings(
    embeddings: NDArray[np.float32],
    stamp_ns: NDArray[np.int64],
    bag: NDArray[np.int64],
    bank: NDArray[np.float32],
    names: Sequence[str],
) -> list[str]:
    """One sentence for each pair of bags, by ``names``, that look like different homes."""
    return [
        f"bags {names[one]} and {names[other]} look like two homes to the teacher: the student will serve each less "
        "well than one of its own; adapt to one home at a time, or log where the robot is to work"
        for one, other in unlike_bags(embeddings, stamp_ns, bag, bank)
    ]


def _residuals(
    embeddings: NDArray[np.float32], bank: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What is left of each embedding without its label's direction, of length 1; and the labels."""
    label = (embeddings @ bank.T).argmax(1)
    left = embeddings - (embeddings * bank[label]).sum(1, keepdims=True) * bank[label]
    return left / np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-12), label


def _distance(
    mine: NDArray[np.float32],
    my_label: NDArray[np.int64],
    my_ns: NDArray[np.int64],
    theirs: NDArray[np.float32],
    their_label: NDArray[np.int64],
    their_ns: NDArray[np.int64],
    same: bool,
) -> float:
    """Median over pairs of 1 - cosine to the nearest of the same label; NaN where there is none to compare with."""
    cosine = mine @ theirs.T
    comparable = my_label[:, None] == their_label
    if same:
        comparable &= np.abs(my_ns[:, None] - their_ns) >= round(NEAR_IN_TIME_S * 1e9)
    nearest = np.where(comparable, cosine, -np.inf).max(1)
    nearest = nearest[np.isfinite(nearest)]
    return float(1 - np.median(nearest)) if len(nearest) else float("nan")
