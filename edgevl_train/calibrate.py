"""Temperature and unknown threshold per modality, from validation pairs and the teacher's own answers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevl_core.fusion import depth_quality, probabilities, rgb_quality
from edgevl_core.manifest import ByModality, Modality
from edgevl_train.answers import Embedded, answers

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
    calibration of modern neural networks", ICML 2017). The threshold is that of :func:`unknown_threshold`. Those of
    "rgbd" are fitted where both cameras see, since the classifier uses them nowhere else; the figures cover all pairs.

    Args:
        rgb_pixels, depth_pixels: (M, S, S, 3) uint8 network inputs of validation pairs, M >= 1.
        embed: the deployed engine: (N, 3, S, S) uint8 -> (N, D).
        bank: (C, D) text vectors of the label set.
        target: (M, D) the teacher's embedding of the RGB image of each pair.
        false_unknown: share of right answers that may be called unknown, 0..1.
    """
    teachers = (target @ bank.T).argmax(1)
    rgb, depth = (_embedded(pixels, embed) for pixels in (rgb_pixels, depth_pixels))
    embedded = Embedded(rgb, depth, np.stack([rgb_quality(rgb_pixels), depth_quality(depth_pixels)]))
    embeddings = embedded.by_modality()
    everywhere = np.ones(len(target), bool)
    both = embedded.fused() if embedded.fused().any() else everywhere
    used: dict[Modality, NDArray[np.bool_]] = {"rgb": everywhere, "depth": everywhere, "rgbd": both}

    def each(figure: Callable[[Modality], float]) -> ByModality:
        return ByModality(**{name: figure(name) for name in used})

    temperature = each(lambda m: fit_temperature(embeddings[m][used[m]], bank, logit_scale, teachers[used[m]]))
    found = answers(embedded, bank, logit_scale, temperature, ByModality(rgb=0.0, depth=0.0, rgbd=0.0))
    confidence = {name: answer.confidence for name, answer in found.items()}
    right = {name: answer.label == teachers for name, answer in found.items()}
    return Calibration(
        temperature=temperature,
        unknown_threshold=each(lambda m: unknown_threshold(confidence[m][used[m]], right[m][used[m]], false_unknown)),
        agreement=each(lambda m: float(right[m].mean())),
        cosine=each(lambda m: mean_cosine(embeddings[m], target)),
        ece=each(lambda m: expected_calibration_error(confidence[m], right[m])),
    )


def mean_cosine(embeddings: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """Of (N, D) embeddings of any length to (N, D) unit vectors; an embedding of length 0 counts as 0."""
    length = np.maximum(np.linalg.norm(embeddings, axis=1), 1e-12)
    return float(((embeddings * target).sum(1) / length).mean())


def unknown_threshold(confidence: NDArray[np.float32], right: NDArray[np.bool_], false_unknown: float) -> float:
    """Highest confidence below which at most a share ``false_unknown`` of the right answers lies; 0 if none is right.

    It is one of the confidences seen: answers below it are unknown, it itself is known.
    """
    if not right.any():
        return 0.0
    return float(np.quantile(confidence[right], false_unknown, method="lower"))


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
