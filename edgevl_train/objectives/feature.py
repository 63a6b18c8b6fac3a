"""Distances between a student's and its teacher's embedding, both L2-normalised, (B, D) float32."""

from collections.abc import Callable

from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]


def l1_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over elements of |s - t| (EdgeVL, arXiv 2403.04908, section 3.2)."""
    return (student - teacher).abs().mean()


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over pairs of 1 - cos(s, t)."""
    return 1 - (student * teacher).sum(-1).mean()


def mse_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over elements of (s - t)^2 (CLIP-KD, arXiv 2307.12732); for unit vectors 2 / D of the cosine distance."""
    return (student - teacher).square().mean()


DISTANCES: dict[str, Distance] = {"l1": l1_distance, "cosine": cosine_distance, "mse": mse_distance}
