"""Right and wrong answers, counted by label."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.bundle.manifest import Modality


def confusion_matrix(true: NDArray[np.int64], answer: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(C, C) int64: rows true, columns answered."""
    return np.bincount(true * count + answer, minlength=count * count).reshape(count, count)


def top1_and_macro(matrix: NDArray[np.int64]) -> tuple[float, float]:
    """Share of right answers, and the mean of the recalls of the labels that occur."""
    total = matrix.sum(1)
    recall = np.diag(matrix)[total > 0] / total[total > 0]
    return float(np.diag(matrix).sum() / max(total.sum(), 1)), float(recall.mean()) if len(recall) else 0.0


def per_class(labels: Sequence[str], matrices: Mapping[Modality, NDArray[np.int64]]) -> dict[str, dict[str, Any]]:
    """Per label: n, and by modality recall (None: it does not occur) and precision (None: never answered).

    Args:
        matrices: by modality, (C, C) confusion of the same pairs.
    """
    right = {name: np.diag(matrix) for name, matrix in matrices.items()}
    return {
        label: {
            "n": int(next(iter(matrices.values()))[row].sum()),
            "recall": {name: _share(right[name][row], matrix[row].sum()) for name, matrix in matrices.items()},
            "precision": {name: _share(right[name][row], matrix[:, row].sum()) for name, matrix in matrices.items()},
        }
        for row, label in enumerate(labels)
    }


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
