"""What every student is fed: pixels, so normalised that in int8 they are themselves the quantised activation."""

from torch import Tensor, nn

PIXEL_ZERO_POINT = 128
PIXEL_SCALE = 1.0 / 64.0


class PixelNormalise(nn.Module):
    """(N, 3, S, S) uint8 or float 0..255 -> float32 in [-2, 1.984]: (x - 128) / 64, exact in binary."""

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.float() - PIXEL_ZERO_POINT) * PIXEL_SCALE
