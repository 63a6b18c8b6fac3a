"""Curation: which pairs are worth learning from, by the teacher's confidence on RGB. No label is read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.errors import UserError
from edgevl_core.fusion import probabilities
from edgevl_train.recipe import CurationSection


@dataclass(frozen=True)
class Curation:
    """What was kept.

    Attributes:
        kept: (M,) int64, row numbers among the N candidates, sorted.
        pseudo_label: (N,) int64, the teacher's most probable name of the superset.
        confidence: (N,) float32, its probability.
        report: per label: candidates, kept, dropped, least confidence kept.
    """

    kept: NDArray[np.int64]
    pseudo_label: NDArray[np.int64]
    confidence: NDArray[np.float32]
    report: dict[str, dict[str, Any]]


def curate(
    embeddings: NDArray[np.float32],
    bank: NDArray[np.float32],
    names: list[str],
    logit_scale: float,
    section: CurationSection,
) -> Curation:
    """Keep the pairs that the teacher is sure of.

    "per_class_top_q": the most confident share q of each pseudo-class, at least one pair of each; rare scenes
    survive. "ratio": the most confident share of all pairs (what the paper's code does with its 0.25).
    "threshold": confidence at or above the threshold (what the paper's text says).

    Args:
        embeddings: (N, D), the teacher's of the whole RGB frames, L2-normalised.
        bank: (C, D), text vectors of the superset, L2-normalised; names: their C names.

    Raises:
        UserError: nothing is left.
    """
    p = probabilities(embeddings, bank, logit_scale, temperature=1.0)
    pseudo_label, confidence = p.argmax(1), p.max(1)
    keep = np.zeros(len(p), bool)
    if section.method == "threshold":
        keep = confidence >= section.threshold
    elif section.method == "ratio":
        keep[_most_confident(np.arange(len(p)), confidence, section.ratio)] = True
    else:
        for label in np.unique(pseudo_label):
            keep[_most_confident(np.flatnonzero(pseudo_label == label), confidence, section.q)] = True
    if not keep.any():
        best = f"{confidence.max():.3f}" if len(p) else "none, there are no pairs"
        raise UserError(
            f"curation.threshold={section.threshold} keeps 0 of {len(p)} pairs (highest confidence: {best}): lower it, "
            "or use curation.method=per_class_top_q"
        )
    report = {
        name: {
            "candidates": int((pseudo_label == i).sum()),
            "kept": int((keep & (pseudo_label == i)).sum()),
            "dropped": int((~keep & (pseudo_label == i)).sum()),
            "least_confidence_kept": round(float(confidence[keep & (pseudo_label == i)].min()), 4)
            if (keep & (pseudo_label == i)).any()
            else None,
        }
        for i, name in enumerate(names)
    }
    return Curation(np.flatnonzero(keep), pseudo_label, confidence.astype(np.float32), report)


def _most_confident(rows: NDArray[np.int64], confidence: NDArray[np.float32], share: float) -> NDArray[np.int64]:
    count = max(1, round(share * len(rows))) if len(rows) else 0
    return rows[np.argsort(-confidence[rows], kind="stable")[:count]]
