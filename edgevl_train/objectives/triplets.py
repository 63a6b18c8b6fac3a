"""Semi-hard triplets of a batch, and the loss of them. All embeddings are L2-normalised, (B, D) float32."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Triplets:
    """Row numbers into the mined batch, (T,) int64 each."""

    anchor: Tensor
    positive: Tensor
    negative: Tensor


def pairwise_distance(x: Tensor) -> Tensor:
    """(B, B) Euclidean distances of L2-normalised rows: sqrt(2 - 2 cos), with a finite gradient at 0."""
    return (2 - 2 * x @ x.T).clamp_min(1e-7).sqrt()


@torch.no_grad()
def mine_semi_hard(
    distance: Tensor, label: Tensor, margin: float, negatives: int, group: Tensor | None = None
) -> Triplets:
    """Semi-hard triplets of a batch (FaceNet, arXiv 1503.03832), as EdgeVL's stage 2 takes them.

    For each anchor the positive is the nearest other row with its label, and the negatives are up to
    ``negatives`` of the nearest rows of other labels with d_p < d_n < d_p + margin. Anchors without either
    give no triplet.

    Args:
        distance: (B, B); label: (B,) int64.
        group: (B,) int64; where given, triplets stay within a group (one modality, as in the paper).
    """
    same = label.unsqueeze(0) == label.unsqueeze(1)
    allowed = torch.ones_like(same) if group is None else group.unsqueeze(0) == group.unsqueeze(1)
    own = torch.eye(len(label), dtype=torch.bool, device=label.device)
    d_p, positive = distance.masked_fill(~(same & allowed & ~own), torch.inf).min(1)
    semi_hard = ~same & allowed & (distance > d_p.unsqueeze(1)) & (distance < d_p.unsqueeze(1) + margin)
    semi_hard &= d_p.isfinite().unsqueeze(1)
    d_n, nearest = distance.masked_fill(~semi_hard, torch.inf).topk(min(negatives, len(label)), dim=1, largest=False)
    anchor, column = d_n.isfinite().nonzero(as_tuple=True)
    return Triplets(anchor, positive[anchor], nearest[anchor, column])


def triplet_loss(distance: Tensor, triplets: Triplets, margin: float) -> Tensor:
    """Mean of max(0, d_p - d_n + margin), p = 2 (EdgeVL, section 3.3); 0 (with a gradient of 0) without triplets."""
    d_p = distance[triplets.anchor, triplets.positive]
    d_n = distance[triplets.anchor, triplets.negative]
    return (d_p - d_n + margin).clamp_min(0).sum() / max(len(triplets.anchor), 1)
