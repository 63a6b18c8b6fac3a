"""Temperature and unknown threshold per modality, from validation pairs and the teacher's own answers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevl_core.fusion import depth_quality, mix, probabilities, rgb_quality
from edgevl_core.manifest import ByModality

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Calibration:
    """What goes into the manifest, and how well the student follows the teacher on the same pairs.

    Attributes:
        agreement: share of pairs with the teacher's answer to the RGB image.
        cosine: mean cosine to the teacher's embedding of the RGB image.
        ece: expected calibration error against the teacher's answers, 0..1.
    """

    temperature: ByModality
    unknown_threshold: ByModality
    agreement: ByModality
    cosine: ByModality
    ece: ByModality


def calibrate_confidence(
    rgb_pixels: NDArray[np.uint8],
    depth_pixels: NDArray[np.uint8],
    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    bank: NDArray[np.float32],
    logit_scale: float,
    target: NDArray[np.float32],
    false_unknown: float,
) -> Calibration:
    """Fit one temperature and one threshold for RGB, depth and both.

    The temperature minimises the negative log-likelihood of the teacher's answers (Guo et al., "On
    calibration of modern neural networks", ICML 2017). The threshold is the confidence below which a share
    ``false_unknown`` of the answers that agree with the teacher would be called unknown.

    Args:
        rgb_pixels, depth_pixels: (M, S, S, 3) uint8 network inputs of validation pairs, M >= 1.
        embed: the deployed engine: (N, 3, S, S) uint8 -> (N, D).
        bank: (C, D) text vectors of the label set.
        target: (M, D) the teacher's embedding of the RGB image of each pair.
    """
    answer = (target @ bank.T).argmax(1)
    rgb, depth = (_embedded(pixels, embed) for pixels in (rgb_pixels, depth_pixels))
    weights = np.stack([rgb_quality(rgb_pixels), depth_quality(depth_pixels)])
    embeddings = {"rgb": rgb, "depth": depth, "rgbd": mix(np.stack([rgb, depth]), weights)}
    figures: dict[str, dict[str, float]] = {}
    for name, embedding in embeddings.items():
        temperature = fit_temperature(embedding, bank, logit_scale, answer)
        p = probabilities(embedding, bank, logit_scale, temperature)
        right = p.argmax(1) == answer
        length = np.maximum(np.linalg.norm(embedding, axis=1), 1e-12)
        figures[name] = {
            "temperature": temperature,
            "unknown_threshold": float(np.quantile(p.max(1)[right], false_unknown)) if right.any() else 0.0,
            "agreement": float(right.mean()),
            "cosine": float(((embedding * target).sum(1) / length).mean()),
            "ece": expected_calibration_error(p.max(1), right),
        }
    return Calibration(**{key: ByModality(**{name: figures[name][key] for name in figures}) for key in figures["rgb"]})


def fit_temperature(
    embeddings: NDArray[np.float32],
    bank: NDArray[np.float32],
    logit_scale: float,
    answer: NDArray[np.int64],
    low: float = 0.02,
    high: float = 50.0,
) -> float:
    """Golden-section search over log T in low..high; the likelihood has one maximum in 1 / T."""

    def cost(log_temperature: float) -> float:
        p = probabilities(embeddings, bank, logit_scale, math.exp(log_temperature))
        return float(-np.log(np.maximum(p[np.arange(len(p)), answer], 1e-12)).mean())

    a, b = math.log(low), math.log(high)
    for _ in range(40):
        left, right = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
        if cost(left) <= cost(right):
            b = right
        else:
            a = left
    return math.exp((a + b) / 2)


def expected_calibration_error(confidence: NDArray[np.float32], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean gap between confidence and share of right answers over equally wide bins, weighted by their size."""
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    gap = np.abs(np.bincount(index, confidence, bins) - np.bincount(index, right, bins))
    return float(gap[count > 0].sum() / max(len(confidence), 1))


def _embedded(
    pixels: NDArray[np.uint8], embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]], batch: int = 64
) -> NDArray[np.float32]:
    parts = [
        embed(np.ascontiguousarray(pixels[start : start + batch].transpose(0, 3, 1, 2)))
        for start in range(0, len(pixels), batch)
    ]
    return np.concatenate(parts)
