"""Does a student's embedding find the moment it was taken, among the teacher's?"""

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1024  # queries at a time: N x N cosines need not be held at once


def retrieved_first(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    stamp_ns: NDArray[np.int64],
    bag: NDArray[np.int64],
    window_s: float,
) -> tuple[float, float]:
    """Share of pairs whose nearest teacher embedding is of their own moment, and what chance gives.

    Args:
        queries: (N, D) float32, the student's.
        gallery: (N, D) float32, L2-normalised, the teacher's of the RGB images of the same pairs.
        stamp_ns, bag: (N,) int64, when and in which bag.
        window_s: how far in time, inclusive, and in the same bag, still counts as the same moment.
    """
    hits = near_pairs = 0
    for start in range(0, len(queries), _BLOCK):
        rows = slice(start, start + _BLOCK)
        first = (queries[rows] @ gallery.T).argmax(1)
        near = np.abs(stamp_ns[rows, None] - stamp_ns) <= round(window_s * 1e9)
        near &= bag[rows, None] == bag
        hits += int(near[np.arange(len(first)), first].sum())
        near_pairs += int(near.sum())
    return hits / len(queries), near_pairs / len(queries) ** 2
