"""How far a student is to be believed in bad light and with holes in depth, measured on validation pairs.

The light of the RGB images is turned down step by step, patches of depth are taken away; at each step the share of RGB
in the mixture is found with which both cameras together follow the teacher best.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgevl_core.bundle.fusion import DEFAULT_TRUST, NOISE, Curve, Trust, mean_luma, probabilities, valid_share
from edgevl_train.data.augment import under_light
from edgevl_train.data.run_data import commonest_share
from edgevl_train.evaluation.confidence import COLDEST, HOTTEST

GAINS = (1.0, 0.5, 0.3, 0.2, 0.12, 0.06, 0.03, 0.0)
HOLES = (0.0, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0)
SHARES = np.linspace(0.05, 0.95, 19)
TEMPERATURES = np.geomspace(COLDEST, HOTTEST, 24).astype(np.float32)
EVEN = 0.05  # cross-entropy that an uneven mixture must be worth: cameras that are as good as each other count the same
_PATCHES = 6  # holes are about a sixth of the image's side across
_SEED = 0x7257

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Step:
    """One step of light or of holes.

    Attributes:
        at: mean luma, or share of valid pixels; agreement: with the teacher's answer to the lit RGB, of this camera
            alone; share: of RGB in the best mixture with the other camera, whose image is whole.
    """

    at: float
    agreement: float
    share: float


def darkened(rgb: NDArray[np.uint8], gain: float) -> NDArray[np.uint8]:
    """(M, S, S, 3) uint8 in less light, with a camera's noise."""
    pixels = torch.from_numpy(rgb).permute(0, 3, 1, 2).float()
    place = torch.rand(len(rgb), 2, generator=torch.Generator().manual_seed(_SEED))
    even = torch.ones(len(rgb))
    dark = under_light(pixels, gain * even, even, NOISE * even, place).round_()
    return dark.byte().permute(0, 2, 3, 1).contiguous().numpy()


def punched(depth: NDArray[np.uint8], holes: float) -> NDArray[np.uint8]:
    """(M, S, S, 3) uint8 encoded depth with patches of each image, a share ``holes`` of its pixels, made invalid."""
    coarse = torch.randn(len(depth), 1, _PATCHES, _PATCHES, generator=torch.Generator().manual_seed(_SEED))
    field: Tensor = functional.interpolate(coarse, depth.shape[1:3], mode="bicubic", align_corners=False)[:, 0]
    limit = field.flatten(1).quantile(holes, dim=1).view(-1, 1, 1)
    gone = field <= limit if holes else torch.zeros_like(field, dtype=torch.bool)
    return np.where(gone.numpy()[..., None], np.uint8(0), depth)


def measure_trust(
    rgb: NDArray[np.uint8],
    depth: NDArray[np.uint8],
    target: NDArray[np.float32],
    *,
    embed: Embed,
    bank: NDArray[np.float32],
    logit_scale: float,
    depth_encoding: str = "metric",
) -> tuple[Trust, dict[str, Any]]:
    """Trust curves of one student, and what they were made from.

    Args:
        rgb, depth: (M, S, S, 3) uint8 network inputs of validation pairs; target: (M, D) the teacher's embedding of
            each lit RGB.
        embed: (M, S, S, 3) uint8 -> (M, D), L2-normalised.
        bank: (C, D) text vectors.
        depth_encoding: of "minmax" codes no hole can be made afterwards, since a hole changes the stretch of all: depth
            then fades by the default curve.

    Returns:
        The curves; and {"rgb", "depth"} -> one mapping a step, for the report.
    """
    soft = probabilities(target, bank, logit_scale, 1.0)
    answer = soft.argmax(1)

    def logits(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.float32(logit_scale) * (embed(pixels) @ bank.T)

    def agreement(own: NDArray[np.float32]) -> float:
        return float((own.argmax(1) == answer).mean())

    of_rgb, of_depth = logits(rgb), logits(depth)
    light, gaps = [], []
    for gain in GAINS:
        own = logits(pixels := darkened(rgb, gain))
        light.append(Step(float(mean_luma(pixels).mean()), agreement(own), _best_share(own, of_depth, soft)))
    for holes in HOLES:
        own = logits(pixels := punched(depth, holes))
        gaps.append(Step(float(valid_share(pixels).mean()), agreement(own), _best_share(of_rgb, own, soft)))
    chance = commonest_share(answer)
    lit = _odds(light[0].share)
    weights = [_odds(s.share) if s.agreement > chance else 0.0 for s in light]
    of_holes = _curve(gaps, [lit / _odds(s.share) if s.agreement > chance else 0.0 for s in gaps], lit)
    if depth_encoding == "minmax":
        usual = DEFAULT_TRUST.depth
        of_holes = Curve(at=usual.at, weight=tuple(weight / max(1.0, lit) for weight in usual.weight))
    trust = Trust(rgb=_curve(light, weights, lit), depth=of_holes)
    return trust, {"rgb": [vars(s) for s in light], "depth": [vars(s) for s in gaps], "chance": chance}


def _odds(share: float) -> float:
    """The weight of RGB beside depth's of 1 that gives it this share."""
    return share / (1 - share)


def _best_share(of_rgb: NDArray[np.float32], of_depth: NDArray[np.float32], soft: NDArray[np.float32]) -> float:
    """The share of RGB with which the mixture of (M, C) logits, at its best temperature, is nearest to ``soft``."""

    def cost(share: float) -> float:
        # A mixture of embeddings is one of their logits, so that all temperatures are tried at once: (T, M, C).
        logits = (share * of_rgb + (1 - share) * of_depth) / TEMPERATURES[:, None, None]
        logits -= logits.max(axis=2, keepdims=True)
        entropy = np.log(np.exp(logits).sum(axis=2)) - (soft * logits).sum(axis=2)
        return float(entropy.mean(axis=1).min()) + EVEN * (share - 0.5) ** 2

    return float(min(SHARES, key=cost))


def _curve(steps: list[Step], weights: list[float], lit: float) -> Curve:
    """Rising in ``at``; what is darker, or has more holes, is never believed more; the larger camera's weight is 1."""
    at, first = np.unique([s.at for s in steps], return_index=True)
    weight = np.array(weights)[first] / max(1.0, lit)
    falling = np.minimum.accumulate(weight[::-1])[::-1]
    return Curve(at=tuple(at.tolist()), weight=tuple(np.clip(falling, 0, 1).tolist()))
