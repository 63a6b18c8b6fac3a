"""How far each camera is to be believed, and one answer from both.

Works on network inputs, so that training, evaluation and robot see the same. How trust falls with brightness and with
holes was measured for each student when it was made, and travels in its bundle.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # Rec. 601
# Contrast as a share of the brightness, which a change of light leaves alone: a covered lens has none.
FLAT_CONTRAST, CLEAR_CONTRAST = 0.02, 0.06
NOISE = 2.0  # levels of 255 that a camera's own noise still has once the image has been shrunk


class Curve(BaseModel):
    """Trust as a function of one number: linear between points, constant beyond them.

    Attributes:
        at: rising; weight: of the same length, 0..1 and never falling. 0: nothing is seen there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: tuple[float, ...] = Field(min_length=1)
    weight: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_curve(self) -> "Curve":
        both = np.array([*self.at, *self.weight])
        if len(self.at) != len(self.weight) or not np.isfinite(both).all():
            raise ValueError(f"{len(self.at)} points and {len(self.weight)} weights: as many finite numbers of each")
        if (np.diff(self.at) <= 0).any() or (np.diff(self.weight) < 0).any():
            raise ValueError("points must rise, and weights must not fall")
        if min(self.weight) < 0 or max(self.weight) > 1:
            raise ValueError("weights must lie in 0..1")
        return self

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(...) -> (...) float32 in 0..1."""
        return np.asarray(np.interp(x, self.at, self.weight), dtype=np.float32)


class Trust(BaseModel):
    """How far a student's answers from each camera are believed.

    The default is for a student of which nothing was measured: RGB fades between a mean luma of 32 and 8 of 255, where
    sensor noise takes over; depth between four tenths and one tenth of valid pixels.

    Attributes:
        rgb: by the image's mean luma, 0..255; depth: by its share of valid pixels, 0..1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rgb: Curve = Curve(at=(8.0, 32.0), weight=(0.0, 1.0))
    depth: Curve = Curve(at=(0.1, 0.4), weight=(0.0, 1.0))


DEFAULT_TRUST = Trust()
RGB_ONLY = Trust(depth=Curve(at=(0.0,), weight=(0.0,)))  # for a network that was never shown depth


def rgb_quality(pixels: NDArray[np.uint8], curve: Curve = DEFAULT_TRUST.rgb) -> NDArray[np.float32]:
    """Trust in RGB from brightness and contrast.

    Args:
        pixels: (..., S, S, 3) uint8 RGB network inputs.
        curve: by mean luma.

    Returns:
        (...) float32 in 0..1: the curve's weight, and less down to 0 where no channel's standard deviation, without the
        camera's noise of 2 levels, is above 6 to 2 % of the mean luma (a covered lens).
    """
    sample = _thin(pixels).astype(np.float32)
    mean = sample.mean(axis=(-3, -2))
    variance = np.square(sample).mean(axis=(-3, -2)) - np.square(mean)
    contrast = np.sqrt(np.maximum(variance - NOISE**2, 0.0).max(axis=-1))
    luma = mean @ _LUMA
    return curve(luma) * _ramp(contrast / np.maximum(luma, 1.0), FLAT_CONTRAST, CLEAR_CONTRAST)


def mean_luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(..., S, S, 3) uint8 RGB network inputs -> (...) float32, 0..255: what :func:`rgb_quality` goes by."""
    return np.asarray(_thin(pixels).mean(axis=(-3, -2), dtype=np.float32) @ _LUMA, np.float32)


def depth_quality(pixels: NDArray[np.uint8], curve: Curve = DEFAULT_TRUST.depth) -> NDArray[np.float32]:
    """Trust in depth from the share of valid pixels.

    Args:
        pixels: (..., S, S, 3) uint8 encoded depth; in every encoding the last channel is 0 in holes.
        curve: by that share.

    Returns:
        (...) float32 in 0..1.
    """
    return curve(valid_share(pixels))


def valid_share(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(..., S, S, 3) uint8 encoded depth -> (...) float32 in 0..1: what :func:`depth_quality` goes by."""
    return np.asarray((_thin(pixels)[..., 2] > 0).mean(axis=(-2, -1), dtype=np.float32), np.float32)


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
    embeddings: NDArray[np.floating], vectors: NDArray[np.float32], logit_scale: float, temperature: float
) -> NDArray[np.float32]:
    """softmax(logit_scale * cosine / temperature): embeddings (..., D), vectors (N, D) -> (..., N)."""
    logits = (embeddings @ vectors.T) * np.float32(logit_scale / temperature)
    logits -= logits.max(axis=-1, keepdims=True)
    weights = np.exp(logits)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True), dtype=np.float32)


def _ramp(x: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    return np.asarray(np.clip((x - low) / (high - low), 0.0, 1.0), dtype=np.float32)
