"""How well low confidence tells the scenes that no label names."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS = 50
FALSE_UNKNOWN = 0.1


def unknown_roc(known: NDArray[np.float32], unknown: NDArray[np.float32]) -> dict[str, Any]:
    """ROC of "unknown where certainty is below a threshold".

    Args:
        known: (K,) certainty of pairs whose label is in the set, K >= 1, rightly named or not.
        unknown: (U,) certainty of pairs whose label is not, U >= 1.

    Returns:
        auroc: chance that an unknown pair is less certain than a known one, ties counted half (0.5: no use);
        caught_at_10_percent: share of the unknown pairs below the highest threshold that calls at most a tenth of the
        known ones unknown; false_unknown, caught: lists, the curve.
    """
    known, unknown = np.sort(known), np.sort(unknown)
    below, up_to = (np.searchsorted(unknown, known, side) for side in ("left", "right"))
    steps = np.unique(np.linspace(0, len(known), POINTS + 1).astype(np.int64))
    thresholds = np.append(known, np.inf)[steps]
    return {
        "auroc": float((below + up_to).mean() / 2 / len(unknown)),
        "caught_at_10_percent": _below(unknown, known[int(FALSE_UNKNOWN * len(known))]),
        "false_unknown": (np.searchsorted(known, thresholds, "left") / len(known)).tolist(),
        "caught": (np.searchsorted(unknown, thresholds, "left") / len(unknown)).tolist(),
    }


def _below(rising: NDArray[np.float32], threshold: float) -> float:
    return float(np.searchsorted(rising, threshold, "left") / len(rising))
