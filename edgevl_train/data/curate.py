"""Curation: which pairs are worth learning from, by the teacher's confidence on RGB. No label is read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.fusion import probabilities
from edgevl_train.sections import CurationSection


@dataclass(frozen=True)
class Curation:
    """What was kept.

    Attributes:
        kept: (M,) int64, row numbers among the N candidates, sorted.
        pseudo_label: (N,) int64, the teacher's most probable name of the superset, the first of its group.
        confidence: (N,) float32, the probability of that group.
        report: per group of labels, by its first name: candidates, kept, dropped; least and median confidence
            kept (None where none is); ``merged``, the group's other names.
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

    Labels that mean the same to the teacher are merged first: apart they would split their own probability, and
    their images would be dropped.

    "per_class_top_q": the most confident share q of each pseudo-class, at least one pair of each; rare scenes
    survive. "ratio": the most confident share of all pairs (what the paper's code does with its 0.25).
    "threshold": confidence at or above the threshold (what the paper's text says).

    Args:
        embeddings: (N, D), the teacher's of the whole RGB frames, L2-normalised.
        bank: (C, D), text vectors of the superset, L2-normalised; names: their C names.

    Raises:
        UserError: nothing is left.
    """
    leader = merge_labels(bank, section.merge_above)
    p = probabilities(embeddings, bank, logit_scale, temperature=1.0)
    p = p @ (leader[:, None] == np.arange(len(bank))).astype(np.float32)
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
        names[i]: _figures(confidence[pseudo_label == i], keep[pseudo_label == i])
        | {"merged": [names[j] for j in np.flatnonzero(leader == i) if j != i]}
        for i in np.unique(leader)
    }
    return Curation(np.flatnonzero(keep), pseudo_label, confidence.astype(np.float32), report)


def merge_labels(bank: NDArray[np.float32], above: float) -> NDArray[np.int64]:
    """For each of C labels the first label of its group, (C,) int64.

    A label joins the first group whose first label has a cosine above ``above`` with it. Comparing with the first
    only keeps a chain of similar words from becoming one group.

    Args:
        bank: (C, D), L2-normalised; above: 1 merges nothing, not even equal vectors.
    """
    leader = np.arange(len(bank))
    if above >= 1:
        return leader
    near = bank @ bank.T > above
    for i in range(len(bank)):
        firsts = np.flatnonzero(near[i, :i] & (leader[:i] == np.arange(i)))
        if len(firsts):
            leader[i] = firsts[0]
    return leader


def _most_confident(rows: NDArray[np.int64], confidence: NDArray[np.float32], share: float) -> NDArray[np.int64]:
    count = max(1, round(share * len(rows))) if len(rows) else 0
    return rows[np.argsort(-confidence[rows], kind="stable")[:count]]


def _figures(confidence: NDArray[np.float32], keep: NDArray[np.bool_]) -> dict[str, Any]:
    """Counts and confidences of one group's candidates."""
    kept = confidence[keep]
    return {
        "candidates": len(keep),
        "kept": len(kept),
        "dropped": len(keep) - len(kept),
        "least_confidence_kept": round(float(kept.min()), 4) if len(kept) else None,
        "median_confidence_kept": round(float(np.median(kept)), 4) if len(kept) else None,
    }
