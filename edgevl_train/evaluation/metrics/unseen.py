"""What is left of the open vocabulary: scenes of which the last adaptation has seen none."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.bundle.manifest import Modality
from edgevl_train.data.coverage import least_pairs
from edgevl_train.evaluation.predictions import Answers


def unseen_words(
    labels: Sequence[str],
    pairs_of: Mapping[int, int],
    found: Mapping[Modality, Answers],
    target: NDArray[np.int64],
    teacher: NDArray[np.int64] | None,
) -> dict[str, Any]:
    """Accuracy on the frames of labels that adaptation never saw, the whole label set to choose from.

    Args:
        labels: C names.
        pairs_of: training pairs of each row of ``labels``, by the teacher's answer; a row that is missing had none.
        target: (N,) right row, or -1; teacher: (N,) the teacher's answer, where there is a teacher.

    Returns:
        {"unseen": {"labels", "frames", "top1" by modality, "teacher_top1" or None}}; {} where no frame shows one.
    """
    least = least_pairs(np.array(list(pairs_of.values()), np.int64))
    rows = [row for row in range(len(labels)) if pairs_of.get(row, 0) < least]
    frames = np.isin(target, rows)
    if not frames.any():
        return {}
    shown = np.unique(target[frames])
    return {
        "unseen": {
            "labels": [labels[row] for row in shown],
            "frames": int(frames.sum()),
            "top1": {name: float((answer.label[frames] == target[frames]).mean()) for name, answer in found.items()},
            "teacher_top1": None if teacher is None else float((teacher[frames] == target[frames]).mean()),
        }
    }
