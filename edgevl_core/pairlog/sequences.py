"""Which pairs of a bag were taken in one go. Only stamps say so: training never reads the truth topic."""

import numpy as np
from numpy.typing import NDArray

SEQUENCE_GAP_S = 30.0
"""A pause of so many seconds or more between neighbours of one bag begins a new sequence."""


def number_sequences(
    stamp_ns: NDArray[np.int64], bag: NDArray[np.int64], gap_s: float = SEQUENCE_GAP_S
) -> NDArray[np.int64]:
    """(N,) int64: the sequence of each pair, from 0 without gaps, bag after bag and in time order within each.

    Args:
        stamp_ns: (N,) int64, in any order; bag: (N,) int64, number of the bag of each pair.
        gap_s: seconds between neighbours from which on they belong to two sequences.
    """
    order = np.lexsort((stamp_ns, bag))
    begins = (np.diff(bag[order]) != 0) | (np.diff(stamp_ns[order]) >= round(gap_s * 1e9))
    number = np.zeros(len(bag), np.int64)
    number[order[1:]] = np.cumsum(begins)
    return number
