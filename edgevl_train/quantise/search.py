"""The int8 students that take no training, one after the other, for who measures them to choose."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from edgevl_train.quantise.export import export_int8
from edgevl_train.quantise.fuse import fuse
from edgevl_train.quantise.insert import QuantStudent, fake_quantise
from edgevl_train.quantise.ptq import ptq_int8
from edgevl_train.quantise.ranges import calibrate
from edgevl_train.quantise.rounding import keep_sums
from edgevl_train.quantise.scheme import EIGHT_BITS, Scheme
from edgevl_train.quantise.untrained import clip_weights, correct_biases
from edgevl_train.student.network import Student

_BIAS_IMAGES = 64  # as many as one forward pass holds
_BATCH = 64
_RANGES: dict[str, Callable[..., QuantStudent]] = {
    "extremes": calibrate,
    "99.99 %": partial(calibrate, method="percentile", percentile=99.99),
    "99.9 %": partial(calibrate, method="percentile", percentile=99.9),
}


def plain_int8(
    student: Student, fp32_onnx: Path, pixels: Tensor, path: Path, size_px: int, scheme: Scheme = EIGHT_BITS
) -> None:
    """Write plain static post-training quantisation: ONNX Runtime's own, or ours for weights that it does not make.

    Args:
        student: float, on the CPU; it stays as it is.
        fp32_onnx: its file, from :func:`edgevl_train.quantise.export.export_fp32`.
        pixels: (N, 3, S, S) uint8 of TRAINING data, both modalities.
        path: the int8 file to write.
    """
    if scheme.known_to_onnxruntime:
        ptq_int8(fp32_onnx, (batch.numpy() for batch in pixels.split(_BATCH)), path, scheme)
    else:
        _, untrained = next(untrained_students(student, pixels, scheme))
        export_int8(untrained, path, size_px)


@torch.no_grad()
def untrained_students(
    student: Student, pixels: Tensor, scheme: Scheme = EIGHT_BITS
) -> Iterator[tuple[str, QuantStudent]]:
    """Post-training quantisations in eval mode, each with what it was made with; made as they are asked for.

    Ranges by extremes and two percentiles; weights as they are and clipped; biases as they are and corrected. The sums
    of depthwise filters are kept in all. Where weights have one scale a channel, equalising them across layers would
    change nothing but the ranges; it is not done where they have one for the layer either.

    Args:
        student: float, on the CPU; it stays as it is.
        pixels: (N, 3, S, S) uint8 to calibrate with, N >= 1.
    """
    start = fake_quantise(fuse(student), scheme)
    # Drawn, not every so many: RGB and depth come in turn, and an even step sees one of them alone.
    some = pixels[torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))[:_BIAS_IMAGES]]
    for clipped in (False, True):
        weights = clip_weights(copy.deepcopy(start)) if clipped else start
        for ranges, set_ranges in _RANGES.items():
            q = keep_sums(set_ranges(copy.deepcopy(weights), pixels.split(_BATCH))).eval()
            name = f"ranges: {ranges}" + (", weights clipped" if clipped else "")
            yield name, q
            yield f"{name}, biases corrected", correct_biases(copy.deepcopy(q), start, some).eval()
