"""Exits after a student's stages, each of which names the place by itself (OFA-KD, arXiv 2310.19444).

OFA-KD's exits give logits over fixed classes. Here each gives an embedding that is scored against frozen text vectors,
so that words stay open. The exits are trained beside the student, and thrown away.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def exit_loss(student: Tensor, teacher: Tensor, bank: Tensor, logit_scale: float, gamma: float) -> Tensor:
    """Mean over images of -sum over words of [(p_T + 1_argmax)^gamma - 1_argmax] log p_S (OFA-KD, equation 5).

    ``gamma`` above 1 lifts the teacher's own answer over the rest; at 1 this is soft cross-entropy.

    Args:
        student, teacher: (B, D), L2-normalised; bank: (C, D), text vectors.
    """
    wanted = functional.softmax(logit_scale * teacher @ bank.T, dim=1)
    answer = functional.one_hot(wanted.argmax(1), len(bank)).to(wanted.dtype)
    weight = (wanted + answer) ** gamma - answer
    return -(weight * functional.log_softmax(logit_scale * student @ bank.T, dim=1)).sum(1).mean()


class Exits(nn.Module):
    """A projector for each stage, (B, C, H, W) -> (B, D): mean over the map, two layers, unit length."""

    def __init__(self, widths: Sequence[int], embed_dim: int) -> None:
        super().__init__()
        self.projectors = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, embed_dim))
            for width in widths
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """A map of each stage -> (B, D) float32 of each, L2-normalised."""
        means = [each.float().mean((2, 3)) for each in maps]
        found = [projector(mean).float() for projector, mean in zip(self.projectors, means, strict=True)]
        return [functional.normalize(each, dim=-1) for each in found]


def mean_exit_loss(exits: Sequence[Tensor], teacher: Tensor, bank: Tensor, logit_scale: float, gamma: float) -> Tensor:
    """Mean of :func:`exit_loss` over exits, each (B, D)."""
    return torch.stack([exit_loss(each, teacher, bank, logit_scale, gamma) for each in exits]).mean()
