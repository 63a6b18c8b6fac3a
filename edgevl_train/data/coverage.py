"""What a run's pairs show, by the teacher's own answers: what training and validation cover, and what that is worth.

The true rooms are never asked. A warning is one sentence: what was seen, what the student will be worth, what to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GIVEN_SHARE = 0.02  # of all pairs: a label that the teacher gives less often may be a slip of its own
ONE_ROOM_SHARE = 0.9
FEW_PAIRS = 100  # 30 pairs of a home were worth a student that is right in half of its rooms
FEW_OF_A_LABEL = 10


@dataclass(frozen=True)
class Coverage:
    """Pairs by the teacher's answer.

    Attributes:
        labels: the label set; train, val: (C,) int64, pairs of each label.
    """

    labels: tuple[str, ...]
    train: NDArray[np.int64]
    val: NDArray[np.int64]

    @property
    def given(self) -> NDArray[np.bool_]:
        """(C,): labels that the teacher gives often enough, see :func:`least_pairs`."""
        return self._pairs >= least_pairs(self._pairs)

    @property
    def covered(self) -> NDArray[np.bool_]:
        """(C,): those of them that validation shows."""
        return self.given & (self.val > 0)

    @property
    def stands(self) -> bool:
        """Whether validation covers more than half of the labels given, and so may choose and calibrate."""
        return int(self.covered.sum()) > int(self.given.sum()) / 2

    def line(self) -> str:
        """One line for people."""
        shown = ", ".join(
            f"{name} {train}/{val}"
            for name, train, val, given in zip(self.labels, self.train, self.val, self.given, strict=True)
            if given
        )
        return (
            f"validation covers {self.covered.sum()} of the {self.given.sum()} labels that the teacher gives "
            f"(training/validation pairs: {shown})"
        )

    def as_report(self) -> dict[str, Any]:
        """For report.json."""
        pairs = zip(self.labels, self.train.tolist(), self.val.tolist(), strict=True)
        return {
            "labels": {name: {"train": train, "val": val} for name, train, val in pairs},
            "given": int(self.given.sum()),
            "covered": int(self.covered.sum()),
            "stands": self.stands,
        }

    def doubts(self) -> list[str]:
        """Why the student should not be used unseen; empty where these pairs give no reason."""
        found = []
        total, commonest = int(self._pairs.sum()), int(self._pairs.argmax())
        share = float(self._pairs[commonest]) / max(total, 1)
        if int(self.given.sum()) == 1:
            found.append(
                f"the teacher calls all pairs {self.labels[commonest]!r}: the student will say nothing else, and "
                "nothing can tell whether it is right; look at the labels file and the teacher, or log other rooms"
            )
        elif share >= ONE_ROOM_SHARE:
            found.append(
                f"{share:.0%} of the pairs are {self.labels[commonest]!r} to the teacher: the student will know one "
                "room; log the others too, some minutes in each"
            )
        if total < FEW_PAIRS:
            found.append(
                f"{total} pairs, after curation and gaps, are few: expect a student that is often wrong, and do not "
                f"trust figures of {int(self.val.sum())} validation pairs; log {2 * FEW_PAIRS} or more, from all rooms"
            )
        if not self.stands:
            missing = ", ".join(self._names(self.given & (self.val == 0)))
            found.append(
                f"validation shows {self.covered.sum()} of {self.given.sum()} labels (not {missing}): it chooses no "
                "epoch, the last one is kept, and training pairs calibrate with it; log more, or set split.by=time, "
                "split.blocks=10 and a smaller split.gap_s"
            )
        return found

    def warnings(self) -> list[str]:
        """What a person should know before the student is used: the doubts, and what is thin; empty if nothing is."""
        thin = self.given & (self.train < FEW_OF_A_LABEL)
        if not thin.any() or int(self.given.sum()) == 1:
            return self.doubts()
        rare = ", ".join(f"{name} ({self.train[self.labels.index(name)]})" for name in self._names(thin))
        return [*self.doubts(), f"few training pairs of {rare}: log more of these rooms"]

    @property
    def _pairs(self) -> NDArray[np.int64]:
        return self.train + self.val

    def _names(self, chosen: NDArray[np.bool_]) -> list[str]:
        return [name for name, wanted in zip(self.labels, chosen, strict=True) if wanted]


def least_pairs(pairs: NDArray[np.int64]) -> float:
    """From how many pairs on a label is given on purpose: 2 % of all, or half an even share where labels are many."""
    present = max(1, int((pairs > 0).sum()))
    return max(1.0, min(GIVEN_SHARE, 0.5 / present) * float(pairs.sum()))


def measure_coverage(
    labels: Sequence[str], answer: NDArray[np.int64], train: NDArray[np.int64], val: NDArray[np.int64]
) -> Coverage:
    """Count the teacher's answers.

    Args:
        labels: C names.
        answer: (N,) int64, the teacher's answer to each pair's RGB, row of ``labels``.
        train, val: int64 rows of the pairs that are trained on and validated.
    """
    counts = (np.bincount(answer[rows], minlength=len(labels)) for rows in (train, val))
    return Coverage(tuple(labels), *counts)
