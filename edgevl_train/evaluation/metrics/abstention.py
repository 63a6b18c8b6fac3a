"""What refusing to answer buys: accuracy of the answers that are left."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS = 51


def abstention_curve(certainty: NDArray[np.float32], right: NDArray[np.bool_]) -> dict[str, Any]:
    """Coverage against accuracy while the confidence threshold falls (El-Yaniv and Wiener, JMLR 2010).

    Pairs of equal certainty are answered together, so the order of the pairs does not matter.

    Args:
        certainty, right: (N,), N >= 1.

    Returns:
        threshold, coverage, accuracy: lists of at most 51 points, coverage rising to 1: of the pairs at or above the
        threshold, their share and how many of them are right. area: under the whole curve, 0..1; accuracy at full
        coverage where certainty says nothing, and more where it does.
    """
    order = np.argsort(-certainty, kind="stable")
    falling = certainty[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    coverage = (last + 1) / len(falling)
    accuracy = np.cumsum(right[order])[last] / (last + 1)
    shown = np.unique(np.linspace(0, len(last) - 1, min(POINTS, len(last))).round().astype(np.int64))
    return {
        "threshold": falling[last][shown].tolist(),
        "coverage": coverage[shown].tolist(),
        "accuracy": accuracy[shown].tolist(),
        "area": float((np.diff(coverage, prepend=0.0) * accuracy).sum()),
    }
