"""Photometric augmentation of RGB, a whole batch at once."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from edgevl_train.sections import LowLightSection

# RGB -> luma and two chroma axes (NTSC's YIQ), in which saturation is a scale and hue a rotation.
_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


COLOUR_DRAWS = 4
"""Uniform numbers that :func:`shift_colour` wants per image."""


def shift_colour(
    pixels: Tensor, draw: Tensor, *, brightness: float, contrast: float, saturation: float, hue_rad: float
) -> Tensor:
    """Change light and colour of each image by its own random amounts.

    Brightness, contrast (around the image's mean) and saturation are factors in 1 +- the argument; hue is a
    rotation by up to +- ``hue_rad``. Twice the strengths of a recipe that says none were clearly worse on simulated
    homes.

    Args:
        pixels: (B, 3, H, W) float32, 0..255.
        draw: (COLOUR_DRAWS, B) float32, uniform in 0..1.

    Returns:
        (B, 3, H, W) float32, 0..255, a new tensor.
    """
    count = len(pixels)
    draw = (2 * draw - 1).to(pixels.device)
    angle = draw[3] * hue_rad
    chroma = 1 + draw[2] * saturation
    rotation = torch.zeros(count, 3, 3, device=pixels.device)
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = chroma * torch.cos(angle)
    rotation[:, 1, 2], rotation[:, 2, 1] = -chroma * torch.sin(angle), chroma * torch.sin(angle)
    to_yiq = _TO_YIQ.to(pixels.device)
    gain = (1 + draw[0] * brightness) * (1 + draw[1] * contrast)
    matrix = gain.view(-1, 1, 1) * (torch.linalg.inv(to_yiq) @ rotation @ to_yiq)
    mean = pixels.mean((1, 2, 3))
    offset = -draw[1] * contrast * (1 + draw[0] * brightness) * mean
    out = torch.einsum("bij,bjhw->bihw", matrix, pixels) + offset.view(-1, 1, 1, 1)
    return out.clamp_(0, 255)


DIM_DRAWS = 6
"""Uniform numbers that :func:`dim` wants per image."""


def dim(pixels: Tensor, section: LowLightSection, draw: Tensor) -> Tensor:
    """Some of the images as a camera gives them at dusk: less light, another curve, and its own noise.

    Args:
        pixels: (B, 3, S, S) float32 0..255; changed in place.
        draw: (B, 6) float32, uniform in 0..1.

    Returns:
        ``pixels``, 0..255.
    """
    chosen = (draw[:, 0] < section.probability).nonzero().flatten()
    if not len(chosen):
        return pixels
    draw = draw[chosen]
    gain = torch.exp(math.log(section.min_gain) * draw[:, 1])
    gamma = torch.exp(math.log(section.max_gamma) * (2 * draw[:, 2] - 1))
    pixels[chosen] = under_light(pixels[chosen], gain, gamma, section.noise * draw[:, 3], draw[:, 4:])
    return pixels


def under_light(pixels: Tensor, gain: Tensor, gamma: Tensor, noise: Tensor, place: Tensor) -> Tensor:
    """255 gain (x / 255)^gamma plus normal noise, clamped.

    Args:
        pixels: (B, 3, S, S) float32 0..255.
        gain, gamma, noise: (B,) float32; the noise's standard deviation is in levels of 255.
        place: (B, 2) float32, uniform in 0..1: which part of one fixed sheet of noise is used. Fresh noise for each
            image would take longer than all other augmentation together.
    """
    side = pixels.shape[-1]
    sheet = _noise_sheet(2 * side)
    corner = (place * (side + 1)).long().clamp_(max=side).tolist()
    grain = torch.stack([sheet[:, y : y + side, x : x + side] for y, x in corner]).to(pixels.device)
    gain, gamma, noise = (value.to(pixels.device).view(-1, 1, 1, 1) for value in (gain, gamma, noise))
    return (255 * gain * (pixels / 255) ** gamma + noise * grain).clamp_(0, 255)


@lru_cache(maxsize=2)
def _noise_sheet(side: int) -> Tensor:
    """(3, side, side) float32, standard normal, always the same."""
    return torch.randn(3, side, side, generator=torch.Generator().manual_seed(0x10_11_64))


def random_boxes(count: int, min_scale: float, max_aspect: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random crops (area uniform in min_scale..1) and flips: (count, 4) float32 in 0..1 and (count,) bool."""
    draw = torch.rand(5, count, generator=generator)
    area = min_scale + (1 - min_scale) * draw[0]
    aspect = torch.exp(math.log(max_aspect) * (2 * draw[1] - 1))
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    x0, y0 = draw[2] * (1 - width), draw[3] * (1 - height)
    return torch.stack([x0, y0, x0 + width, y0 + height], 1), draw[4] < 0.5
