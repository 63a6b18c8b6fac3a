"""Views of a pair: crop boxes and flips shared by RGB and depth, drawn once; depth-only augmentation.

The teacher's embedding of a view is computed once and used in every epoch that shows this view (MobileCLIP's
dataset reinforcement, arXiv 2311.17049), so the boxes are drawn up front and kept, not drawn while training.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgevl_core.camera.depth import LINEAR_RANGE_M, LOG_CODES, LOG_RANGE_M
from edgevl_train.sections import DepthAugmentSection, ViewsSection


@dataclass(frozen=True)
class Views:
    """K views of N pairs.

    Attributes:
        boxes: (K, N, 4) float32: x0, y0, x1, y1 in 0..1 of the frame.
        flips: (K, N) bool: mirrored left to right after the crop.
    """

    boxes: NDArray[np.float32]
    flips: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """K."""
        return self.boxes.shape[0]

    @property
    def key(self) -> str:
        """Hex digest of the views."""
        return hashlib.sha256(self.boxes.tobytes() + self.flips.tobytes()).hexdigest()


def draw_views(pairs: int, section: ViewsSection, seed: int) -> Views:
    """Draw K views for each of ``pairs``; view 0 is the whole frame, not flipped: what the robot sees.

    The others are RandomResizedCrop's: area uniform in min_scale..max_scale, aspect log-uniform in
    1/max_aspect .. max_aspect, place uniform.
    """
    generator = np.random.default_rng([seed, 0x71E3])
    shape = (section.count, pairs)
    area = generator.uniform(section.min_scale, section.max_scale, shape)
    log_aspect = math.log(section.max_aspect)
    aspect = np.exp(generator.uniform(-log_aspect, log_aspect, shape))
    width, height = np.minimum(np.sqrt(area * aspect), 1.0), np.minimum(np.sqrt(area / aspect), 1.0)
    x0, y0 = generator.uniform(0, 1, shape) * (1 - width), generator.uniform(0, 1, shape) * (1 - height)
    boxes = np.stack([x0, y0, x0 + width, y0 + height], -1).astype(np.float32)
    flips = generator.random(shape) < (0.5 if section.flip else 0.0)
    boxes[0], flips[0] = (0.0, 0.0, 1.0, 1.0), False
    return Views(boxes, flips)


def crop(images: Tensor, boxes: Tensor, flips: Tensor, size_px: int, *, nearest: bool) -> Tensor:
    """Cut one box out of each image, resize it and flip it, all at once.

    Args:
        images: (B, H, W, 3) uint8.
        boxes: (B, 4) float32 in 0..1; flips: (B,) bool.
        size_px: side S of the result.
        nearest: for encoded depth. A pixel's code depends on this pixel only ("minmax": and on the whole
            frame's range), so taking the nearest code is the same as taking the nearest depth and encoding
            it.

    Returns:
        (B, 3, S, S) float32 of whole numbers 0..255.
    """
    x0, y0, x1, y1 = boxes.unbind(1)
    direction = torch.where(flips, -1.0, 1.0)
    zero = torch.zeros_like(x0)
    # grid_sample's coordinates run from -1 to 1 over the outer edges of the image (align_corners=False).
    theta = torch.stack([direction * (x1 - x0), zero, x0 + x1 - 1, zero, y1 - y0, y0 + y1 - 1], 1).view(-1, 2, 3)
    grid = functional.affine_grid(theta, [len(images), 3, size_px, size_px], align_corners=False)
    pixels = images.permute(0, 3, 1, 2).float()
    mode = "nearest" if nearest else "bilinear"
    return functional.grid_sample(pixels, grid, mode=mode, padding_mode="border", align_corners=False).round_()


def _range_m(codes: Tensor, encoding: str) -> Tensor:
    """(B, 3, S, S) codes -> (B, S, S) metres."""
    if encoding == "metric":
        return codes[:, 0] * (LINEAR_RANGE_M / 255)
    return LOG_RANGE_M[0] * ((codes[:, 0] - 1) / LOG_CODES).exp()


def _scaled(codes: Tensor, factor: Tensor, encoding: str) -> Tensor:
    """The codes of as many times the range; (B, S, S) factors."""
    if encoding == "metric":
        linear, inverse, valid = codes.unbind(1)
        return torch.stack([linear * factor, inverse / factor, valid], 1).clamp(0, 255)
    moved = (codes + LOG_CODES * factor.log().unsqueeze(1)).clamp(1, 255)
    return torch.where(codes > 0, moved, codes)


DEPTH_DRAWS = 6
"""Uniform numbers that :func:`augment_depth` wants per image."""
_SMALLEST_FACTOR = 0.1  # noise never turns a range negative


def augment_depth(codes: Tensor, section: DepthAugmentSection, encoding: str, draw: Tensor, noise: Tensor) -> Tensor:
    """A slightly wrong scale, noise that grows with the square of the range, missing patches: as depth cameras do.

    A stereo or structured-light camera measures disparity, d = c / z, with a constant error, hence an error
    of z^2 in the range z. All changes of the range are one factor per pixel, which scales the linear code, divides the
    inverse one and moves the logarithmic one: all keep telling the same depth, and invalid pixels (0) stay 0.

    Args:
        codes: (B, 3, S, S) float32 0..255, encoded depth.
        encoding: what by, see :func:`edgevl_core.camera.depth.encode_depth`; minmax has no scale, so only holes are
            made.
        draw: (B, 6) float32, uniform in 0..1.
        noise: (B, S, S) float32, standard normal; not looked at where ``section.noise_m_at_1m`` is 0.

    Returns:
        (B, 3, S, S) float32 of whole numbers 0..255, a new tensor.
    """
    height, width = codes.shape[-2:]
    draw = draw.to(codes.device)
    if encoding != "minmax" and (section.range_jitter or section.noise_m_at_1m):
        factor = (1 + section.range_jitter * (2 * draw[:, 0] - 1)).view(-1, 1, 1)
        if section.noise_m_at_1m:
            relative = section.noise_m_at_1m * _range_m(codes, encoding) * noise.to(codes.device)  # sigma z^2 / z
            factor = (factor * (1 + relative)).clamp_min(_SMALLEST_FACTOR)
        codes = _scaled(codes, factor.expand(-1, height, width), encoding).round()
    side_y, side_x = draw[:, 1] * section.hole_max_side, draw[:, 2] * section.hole_max_side
    top, left = draw[:, 3] * (1 - side_y), draw[:, 4] * (1 - side_x)
    y = ((torch.arange(height, device=codes.device) + 0.5) / height).view(1, -1, 1)
    x = ((torch.arange(width, device=codes.device) + 0.5) / width).view(1, 1, -1)
    inside = (y >= top.view(-1, 1, 1)) & (y < (top + side_y).view(-1, 1, 1))
    inside = inside & (x >= left.view(-1, 1, 1)) & (x < (left + side_x).view(-1, 1, 1))
    inside &= (draw[:, 5] < section.hole_probability).view(-1, 1, 1)
    return codes.masked_fill(inside.unsqueeze(1), 0.0)
