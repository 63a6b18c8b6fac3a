"""Angles between images and texts (EdgeVL, arXiv 2403.04908, figure 3)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def angle_statistics(cosines: NDArray[np.float32], target: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """How far images lie from the text of the right label, and from the nearest wrong one.

    Args:
        cosines: (N, C) float32, N >= 1, between image embeddings and the labels' text vectors.
        target: (N,) int64, the right label.

    Returns:
        right and, where C > 1, wrong: {mean, std, deciles (nine, 10 % to 90 %), histogram}, all in degrees; histogram
        {start, counts}: pairs per whole degree from ``start`` on.
    """
    rows = np.arange(len(cosines))
    found = {"right": _statistics(cosines[rows, target])}
    if cosines.shape[1] > 1:
        others = cosines.copy()
        others[rows, target] = -np.inf
        found["wrong"] = _statistics(others.max(1))
    return found


def _statistics(cosine: NDArray[np.float32]) -> dict[str, Any]:
    degrees = np.degrees(np.arccos(np.clip(cosine.astype(np.float64), -1, 1)))
    whole = np.minimum(degrees.astype(np.int64), 179)
    start = int(whole.min())
    return {
        "mean": float(degrees.mean()),
        "std": float(degrees.std()),
        "deciles": np.quantile(degrees, np.arange(1, 10) / 10).tolist(),
        "histogram": {"start": start, "counts": np.bincount(whole - start).tolist()},
    }
