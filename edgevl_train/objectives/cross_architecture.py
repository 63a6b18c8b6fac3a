"""Projectors from a convolutional student's last map into its teacher's tokens (arXiv 2207.05273; Clip4Retrofit).

A teacher's tokens are here the cells of a GRID x GRID grid over its last map, each the mean of its neighbourhood and
normalised over the channels, see :mod:`edgevl_train.teacher.tokens`: (B, P, T), P = GRID^2. So any image tower can
teach, and none has to run in training. Both projectors are trained beside the student, and thrown away.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgevl_train.teacher.tokens import GRID, grid_cells


class PartialCrossAttention(nn.Module):
    """PCA: the student attends as the teacher does, partly by the teacher's own tokens (section 3.2, equations 2-4).

    Queries, keys and values of the student come from three 3x3 convolutions. The teacher's tokens stand for its
    queries, keys and values, which not every tower has.
    """

    def __init__(self, width: int, teacher_width: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(width, teacher_width, 3, padding=1) for _ in range(3))

    def forward(self, map_: Tensor, tokens: Tensor) -> Tensor:
        """(B, C, H, W) and (B, P, T) -> mean squares of what attention and value-value maps differ by."""
        query, key, value = (grid_cells(convolution(map_)) for convolution in self.project)
        share = torch.rand((), device=tokens.device)  # one p a batch: how much of the student is swapped
        mixed = [_swapped(each, tokens, share) for each in (query, key, value)]
        attention = functional.mse_loss(_attention(*mixed), _attention(tokens, tokens, tokens))
        return attention + functional.mse_loss(_products(value), _products(tokens))


def _swapped(student: Tensor, tokens: Tensor, share: Tensor) -> Tensor:
    """The student's elements, each with probability ``share`` the teacher's instead."""
    return torch.where(torch.rand_like(student) < share, tokens, student)


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return functional.softmax(query @ key.transpose(1, 2) / query.shape[-1] ** 0.5, dim=-1) @ value


def _products(value: Tensor) -> Tensor:
    return value @ value.transpose(1, 2) / value.shape[-1] ** 0.5


class GroupLinear(nn.Module):
    """GL: one linear layer for each neighbourhood, 16 in all (section 3.3, equation 5).

    The paper compares every patch of a neighbourhood; a linear layer of a mean is the mean of what it makes of each.
    """

    def __init__(self, width: int, teacher_width: int) -> None:
        super().__init__()
        layers = [nn.Linear(width, teacher_width) for _ in range(GRID * GRID)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, map_: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, P, T) float32, to be near the teacher's tokens."""
        return torch.einsum("bpc,pct->bpt", grid_cells(map_), self.weight.float()) + self.bias.float()
