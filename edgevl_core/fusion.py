"""How far each camera is to be believed, and one answer from both.

Works on network inputs, so that training, evaluation and robot see the same.
"""

import numpy as np
from numpy.typing import NDArray

# Rec. 601 luma; the darkest values are sensor noise.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
DARK_LUMA, LIT_LUMA = 8.0, 32.0
FLAT_CONTRAST, CLEAR_CONTRAST = 2.0, 8.0
BLIND_RATIO, SEEING_RATIO = 0.1, 0.4


def rgb_quality(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Trust in RGB from darkness and contrast.

    Args:
        pixels: (..., S, S, 3) uint8 RGB network inputs.

    Returns:
        (...) float32 in 0..1. 0 where the mean luma is at most 8 of 255, or no channel's standard deviation
        is above 2 (lights out, a covered lens); 1 from 32 and 8 on; linear between.
    """
    sample = _thin(pixels).astype(np.float32)
    mean = sample.mean(axis=(-3, -2))
    variance = np.square(sample).mean(axis=(-3, -2)) - np.square(mean)
    contrast = np.sqrt(np.maximum(variance, 0.0).max(axis=-1))
    return _ramp(mean @ _LUMA, DARK_LUMA, LIT_LUMA) * _ramp(contrast, FLAT_CONTRAST, CLEAR_CONTRAST)


def depth_quality(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Trust in depth from the share of valid pixels.

    Args:
        pixels: (..., S, S, 3) uint8 encoded depth; in every encoding the last channel is 0 in holes.

    Returns:
        (...) float32 in 0..1: 0 up to a tenth valid, 1 from four tenths on, linear between.
    """
    valid = (_thin(pixels)[..., 2] > 0).mean(axis=(-2, -1), dtype=np.float32)
    return _ramp(np.asarray(valid, dtype=np.float32), BLIND_RATIO, SEEING_RATIO)


def _thin(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """About 32 x 32 pixels, evenly spread: a share or a mean needs no more."""
    step = max(1, pixels.shape[-2] // 32)
    return pixels[..., ::step, ::step, :]


def mix(embeddings: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Quality-weighted mixture: the weighted mean of embeddings, hence of their cosines to any label.

    It is not brought back to unit length: where two cameras disagree the mixture is short, and confidence
    falls.

    Args:
        embeddings: (M, ..., D) float32, L2-normalised, M modalities.
        weights: (M, ...) float32 >= 0; where all are 0 they count as equal.

    Returns:
        (..., D) float32, length <= 1.
    """
    total = weights.sum(axis=0)
    shares = np.where(total > 0, weights / np.where(total > 0, total, 1), 1.0 / len(weights))
    return np.asarray((embeddings * shares[..., None]).sum(axis=0), dtype=np.float32)


def probabilities(
    embeddings: NDArray[np.float32], vectors: NDArray[np.float32], logit_scale: float, temperature: float
) -> NDArray[np.float32]:
    """softmax(logit_scale * cosine / temperature): embeddings (..., D), vectors (N, D) -> (..., N)."""
    logits = (embeddings @ vectors.T) * np.float32(logit_scale / temperature)
    logits -= logits.max(axis=-1, keepdims=True)
    weights = np.exp(logits)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float32)


def _ramp(x: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    return np.asarray(np.clip((x - low) / (high - low), 0.0, 1.0), dtype=np.float32)
