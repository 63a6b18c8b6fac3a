"""Temperature and unknown threshold per modality, from validation pairs and the teacher's own answers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevl_core.bundle.fusion import probabilities
from edgevl_core.bundle.manifest import ByModality, Modality
from edgevl_train.evaluation.predictions import Embedded, answers

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Calibration:
    """What goes into the manifest, and how well the student follows the teacher on validation pairs.

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


COLDEST, HOTTEST = 0.25, 8.0  # temperatures beyond these say that the pairs fit no teacher


def calibrate_confidence(
    embedded: Embedded,
    bank: NDArray[np.float32],
    logit_scale: float,
    target: NDArray[np.float32],
    false_unknown: float,
    shown: NDArray[np.bool_] | None = None,
) -> Calibration:
    """Fit one temperature and one threshold for RGB, depth and both.

    The temperature is the one with which the student's probabilities are nearest to the teacher's, in cross-entropy.
    Its soft answers count: of few pairs all hard ones are soon right, and their likelihood then asks for no doubt at
    all. The temperature is raised where the mean confidence would be above (right + 1) / (pairs + 2), the share of
    right answers that so many pairs can vouch for (Laplace's rule of succession). The threshold is that of
    :func:`unknown_threshold`. Those of "rgbd" are fitted where both cameras see, since the classifier uses them nowhere
    else; the figures cover all pairs of ``shown``.

    Args:
        embedded: the deployed engine's view of M >= 1 pairs.
        bank: (C, D) text vectors of the label set.
        target: (M, D) the teacher's embedding of the RGB image of each pair.
        false_unknown: share of right answers that may be called unknown, 0..1.
        shown: (M,) bool, pairs that agreement, cosine and ece are of, at least one; None: all.
    """
    soft = probabilities(target, bank, logit_scale, 1.0)
    teachers = soft.argmax(1)
    embeddings = embedded.by_modality()
    everywhere = np.ones(len(target), bool)
    of = everywhere if shown is None else shown
    both = embedded.fused() if embedded.fused().any() else everywhere
    used: dict[Modality, NDArray[np.bool_]] = {"rgb": everywhere, "depth": everywhere, "rgbd": both}

    def each(figure: Callable[[Modality], float]) -> ByModality:
        return ByModality(**{name: figure(name) for name in used})

    def warmth(m: Modality) -> float:
        x, rows = embeddings[m][used[m]], used[m]
        right = int(((x @ bank.T).argmax(1) == teachers[rows]).sum())
        fitted = fit_temperature(x, bank, logit_scale, soft[rows])
        return max(fitted, least_temperature(x, bank, logit_scale, (right + 1) / (len(x) + 2)))

    temperature = each(warmth)
    found = answers(embedded, bank, logit_scale, temperature, ByModality(rgb=0.0, depth=0.0, rgbd=0.0))
    confidence = {name: answer.confidence for name, answer in found.items()}
    right = {name: answer.label == teachers for name, answer in found.items()}
    return Calibration(
        temperature=temperature,
        unknown_threshold=each(lambda m: unknown_threshold(confidence[m][used[m]], right[m][used[m]], false_unknown)),
        agreement=each(lambda m: float(right[m][of].mean())),
        cosine=each(lambda m: mean_cosine(embeddings[m][of], target[of])),
        ece=each(lambda m: expected_calibration_error(confidence[m][of], right[m][of])),
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


def soft_cost(
    embeddings: NDArray[np.float32],
    bank: NDArray[np.float32],
    logit_scale: float,
    soft: NDArray[np.float32],
    temperature: float,
) -> float:
    """Mean cross-entropy of (M, C) probabilities ``soft`` and the softmax of the (M, D) embeddings."""
    logits = (embeddings @ bank.T) * np.float32(logit_scale / temperature)
    logits -= logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - (soft * logits).sum(axis=1)).mean())


def fit_temperature(
    embeddings: NDArray[np.float32],
    bank: NDArray[np.float32],
    logit_scale: float,
    soft: NDArray[np.float32],
) -> float:
    """The temperature in COLDEST..HOTTEST of the least :func:`soft_cost`, which has one minimum in 1 / T."""
    return _search(lambda t: soft_cost(embeddings, bank, logit_scale, soft, t))


def least_temperature(
    embeddings: NDArray[np.float32], bank: NDArray[np.float32], logit_scale: float, most: float
) -> float:
    """The lowest temperature at which the mean confidence is at most ``most``; within COLDEST..HOTTEST."""

    def mean_confidence(temperature: float) -> float:
        return float(probabilities(embeddings, bank, logit_scale, temperature).max(axis=1).mean())

    low, high = math.log(COLDEST), math.log(HOTTEST)
    if mean_confidence(COLDEST) <= most:
        return COLDEST
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if mean_confidence(math.exp(middle)) <= most else (middle, high)
    return math.exp(high)


def _search(cost: Callable[[float], float]) -> float:
    """Golden-section search over log T."""
    a, b = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(40):
        left, right = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
        if cost(math.exp(left)) <= cost(math.exp(right)):
            b = right
        else:
            a = left
    found = math.exp((a + b) / 2)
    return min((COLDEST, HOTTEST, found), key=cost)


def at_a_bound(temperature: ByModality) -> list[str]:
    """Modalities whose temperature is the least or the greatest that is allowed."""
    named = temperature.model_dump()
    return [name for name, value in named.items() if value <= COLDEST * 1.001 or value >= HOTTEST * 0.999]


def expected_calibration_error(confidence: NDArray[np.float32], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean gap between confidence and share of right answers over equally wide bins, weighted by their size."""
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    gap = np.abs(np.bincount(index, confidence, bins) - np.bincount(index, right, bins))
    return float(gap[count > 0].sum() / max(len(confidence), 1))
