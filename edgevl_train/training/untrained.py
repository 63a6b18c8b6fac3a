"""The best int8 student that takes no training: what a training with the quantisation has to beat."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from edgevl_train.data.run_data import RunData, calibration_pixels
from edgevl_train.quantise import QuantStudent, calibrate, clip_weights, correct_biases, fake_quantise, fuse, keep_sums
from edgevl_train.sections import Stage2Section
from edgevl_train.student.network import Student
from edgevl_train.training.validation import validator

_BIAS_IMAGES = 64  # as many as one forward pass holds
_RANGES: dict[str, Callable[..., QuantStudent]] = {
    "extremes": calibrate,
    "99.99 %": partial(calibrate, method="percentile", percentile=99.99),
    "99.9 %": partial(calibrate, method="percentile", percentile=99.9),
}


@torch.no_grad()
def best_untrained(student: Student, data: RunData, section: Stage2Section) -> tuple[QuantStudent, str]:
    """The post-training quantisation that validates best, and what it was made with.

    Tried are ranges by extremes and two percentiles; weights as they are and clipped; biases as they are and corrected.
    The sums of depthwise filters are kept in all. Weights have one scale a channel, so equalising them across layers
    would change nothing but the ranges.

    Args:
        student: float, on the CPU; it stays as it is.
    """
    start = fake_quantise(fuse(student), section.weight_bits)
    pixels = calibration_pixels(data, section.calibration_pairs)
    some = pixels[:: -(-len(pixels) // _BIAS_IMAGES)] if len(pixels) > _BIAS_IMAGES else pixels
    validate = validator(data, torch.device("cpu"))
    found: list[tuple[float, str, QuantStudent]] = []

    def consider(q: QuantStudent, name: str) -> None:
        found.append((validate(q.eval())["score"], name, q))

    for clipped in (False, True):
        weights = clip_weights(copy.deepcopy(start)) if clipped else start
        for ranges, set_ranges in _RANGES.items():
            q = keep_sums(set_ranges(copy.deepcopy(weights), _parts(pixels)))
            name = f"ranges: {ranges}" + (", weights clipped" if clipped else "")
            consider(q, name)
            consider(correct_biases(copy.deepcopy(q), start, some), f"{name}, biases corrected")
    _, name, best = max(found, key=lambda each: each[0])
    return best, name


def _parts(pixels: Tensor) -> tuple[Tensor, ...]:
    return pixels.split(64)
