"""Two networks in the place of one: each camera has its own."""

import torch
from torch import Tensor, nn


class Apart(nn.Module):
    """A student for RGB and one for depth, trained together (DeViT's members, arXiv 2309.05015, one a camera).

    In training it takes what the shared student takes: (2B, 3, S, S) pixels, RGB first, then depth of the same pairs.
    Outside training it cannot tell what it is shown: the networks answer in turn, as validation asks for RGB and for
    depth of the same rows.
    """

    def __init__(self, rgb: nn.Module, depth: nn.Module) -> None:
        super().__init__()
        self.rgb, self.depth = rgb, depth
        self._depth_is_next = False

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) uint8 or float 0..255 -> (N, D), L2-normalised."""
        if self.training:
            rgb, depth = pixels.chunk(2)
            return torch.cat([self.rgb(rgb), self.depth(depth)])
        network = self.depth if self._depth_is_next else self.rgb
        self._depth_is_next = not self._depth_is_next
        return network(pixels)
