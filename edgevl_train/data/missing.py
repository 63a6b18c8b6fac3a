"""Depth that a camera did not measure: ragged patches, cracks, and the rim of its field of view.

So are holes of time-of-flight and structured-light cameras: where light grazes, comes back from two places or not at
all, and outside the round spot that is lit. A student of filled depth does not know them (docs/results.md).
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from edgevl_train.sections import MissingDepthSection

MISSING_DRAWS = 5
"""Uniform numbers that :func:`lose_depth` wants per image."""
_COARSE, _FINE = 6, 4  # patches a side of an image, and of its ragged edges
_WEIGHTS = (1.0, 0.35, 0.35)  # of patches, edges and single pixels
_DARKEST_RIM = 0.7


def lose_depth(codes: Tensor, section: MissingDepthSection, draw: Tensor) -> Tensor:
    """Some of the images with a share of their depth missing: code 0 in all channels.

    Args:
        codes: (B, 3, S, S) float32, encoded depth; changed in place.
        draw: (B, 5) float32, uniform in 0..1.

    Returns:
        ``codes``.
    """
    chosen = (draw[:, 0] < section.probability).nonzero().flatten()
    if not len(chosen):
        return codes
    side = codes.shape[-1]
    corners = (draw[chosen, 1:3] * (side + 1)).long().clamp_(max=side).tolist()
    draw, sheet = draw[chosen].to(codes.device), _sheet(2 * side).to(codes.device)
    field = torch.stack([sheet[y : y + side, x : x + side] for y, x in corners])
    at = torch.linspace(-1, 1, side, device=codes.device).square()
    field = field - (_DARKEST_RIM * draw[:, 4]).view(-1, 1, 1) * (at.view(-1, 1) + at) / 2
    lost = field < (section.max_share * draw[:, 3]).view(-1, 1, 1) - 0.1
    codes[chosen] = codes[chosen].masked_fill(lost.unsqueeze(1), 0.0)
    return codes


@lru_cache(maxsize=2)
def _sheet(side: int) -> Tensor:
    """(side, side) float32, always the same: smooth and rough noise together, by rank, so uniform in 0..1."""
    generator = torch.Generator().manual_seed(0xDE97)
    total = torch.zeros(side, side)
    for weight, cells in zip(_WEIGHTS, (2 * _COARSE, 2 * _COARSE * _FINE, side), strict=True):
        noise = torch.randn(1, 1, cells, cells, generator=generator)
        layer = functional.interpolate(noise, side, mode="bilinear", align_corners=False)[0, 0]
        total += weight * layer / layer.std()
    return (total.flatten().argsort().argsort().float() / (side * side - 1)).view(side, side)
