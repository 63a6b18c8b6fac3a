"""Processors without VNNI add two products of u8 and s8 in 16 bits and cut off what does not fit; 7-bit weights fit."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgevl_train.quantise import (
    Scheme,
    calibrate,
    export_float_of,
    export_int8,
    fake_quantise,
    fuse,
    keep_sums,
    ptq_int8,
)
from edgevl_train.quantise.fake import QuantisedLayer
from edgevl_train.quantise.scheme import LARGEST_WEIGHT
from edgevl_train.student.network import Student
from tests.train.quantise.quantised import pixels_of, warm_up

pytestmark = pytest.mark.unit
SIZE_PX = 32


def pairwise_sums(activations: NDArray[np.uint8], weights: NDArray[np.int8], saturating: bool) -> NDArray[np.int64]:
    """(N, K) u8 times (C, K) s8 -> (N, C), as ``vpmaddubsw`` and ``vpmaddwd`` do it, or exactly.

    Products of neighbours are added in int16, which saturates, and those sums in int32.
    """
    odd = activations.shape[1] % 2
    a, w = (np.pad(each, ((0, 0), (0, odd))).astype(np.int64) for each in (activations, weights))
    products = a[:, None, :] * w[None]
    pairs = products[..., 0::2] + products[..., 1::2]
    if saturating:
        pairs = pairs.clip(-(2**15), 2**15 - 1)
    return pairs.sum(-1)


@pytest.mark.parametrize(("bits", "exact"), [(7, True), (8, False)])
def test_the_worst_products_of_7_bits_fit_into_16(bits: int, exact: bool) -> None:
    activations = np.full((1, 8), 255, np.uint8)
    for sign in (1, -1):
        weights = np.full((1, 8), sign * LARGEST_WEIGHT[bits], np.int8)
        same = np.array_equal(*(pairwise_sums(activations, weights, saturating) for saturating in (True, False)))
        assert same == exact


class _Small(nn.Module):
    """A convolution, a depthwise one, and a wide one."""

    num_features = 32

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.depthwise, self.wide = nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.Conv2d(16, 32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem_norm(self.stem(x)))
        return torch.relu(self.wide(torch.relu(self.depthwise(x)))).mean((2, 3))


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    made = Student("small", _Small(), nn.Linear(32, 16), 16)
    warm_up(made, pixels_of(32, size_px=SIZE_PX))
    return made


def stored_weights(file: Path) -> list[NDArray[np.int8]]:
    """Every int8 weight of a file, (C, ...)."""
    found = [numpy_helper.to_array(tensor) for tensor in onnx.load(str(file)).graph.initializer]
    return [array for array in found if array.dtype == np.int8 and array.ndim >= 2]


def test_students_have_8_bit_weights_unless_asked_otherwise(student: Student, tmp_path: Path) -> None:
    pixels = pixels_of(16, size_px=SIZE_PX)
    for bits, largest in ((None, 127), (7, 63), (8, 127)):
        q = fake_quantise(fuse(student)) if bits is None else fake_quantise(fuse(student), Scheme(bits))
        export_int8(keep_sums(calibrate(q, [pixels])).eval(), tmp_path / "int8.onnx", SIZE_PX)
        weights = stored_weights(tmp_path / "int8.onnx")
        assert len(weights) == 4
        assert {int(np.abs(each.astype(int)).max()) for each in weights} == {largest}
    export_float_of(q, tmp_path / "float.onnx", SIZE_PX)
    for bits, largest in ((7, 64), (8, 127)):  # ONNX Runtime's own range of 7 bits: 2 x 255 x 64 fits as well
        ptq_int8(tmp_path / "float.onnx", [pixels.numpy()], tmp_path / "ptq.onnx", Scheme(bits))
        assert max(int(np.abs(each.astype(int)).max()) for each in stored_weights(tmp_path / "ptq.onnx")) <= largest


@pytest.mark.parametrize(("bits", "right"), [(7, True), (8, False)])
def test_no_sum_of_a_student_saturates_with_7_bits(student: Student, bits: int, right: bool) -> None:
    """The stored weights of every layer, with activations as bright as they come."""
    q = calibrate(fake_quantise(fuse(student), Scheme(bits)), [pixels_of(16, size_px=SIZE_PX)])
    activations = np.random.default_rng(0).integers(200, 256, (64, 27), dtype=np.uint8)
    equal = []
    for module in q.modules():
        if isinstance(module, QuantisedLayer):
            steps = (module.layer.weight.detach().flatten(1) / module.scale().view(-1, 1)).round()
            weights = steps.numpy().astype(np.int8)[:, :27]
            rows = activations[:, : weights.shape[1]]
            equal.append(np.array_equal(pairwise_sums(rows, weights, True), pairwise_sums(rows, weights, False)))
    assert len(equal) == 4
    assert all(equal) == right


def test_a_state_says_its_own_bits_and_one_without_has_8(student: Student) -> None:
    pixels = pixels_of(16, size_px=SIZE_PX)
    for bits in (7, 8):
        saved = calibrate(fake_quantise(fuse(student), Scheme(bits)), [pixels]).eval()
        restored = fake_quantise(fuse(student), Scheme(15 - bits))
        restored.load_state_dict(saved.state_dict())
        torch.testing.assert_close(restored.eval()(pixels), saved(pixels), rtol=0, atol=0)
    said = ("stored_weight_max", "stored_scales", "power_of_two")
    old = {key: value for key, value in saved.state_dict().items() if not key.endswith(said)}
    restored = fake_quantise(fuse(student), Scheme(7))
    restored.load_state_dict(old)
    torch.testing.assert_close(restored.eval()(pixels), saved(pixels), rtol=0, atol=0)


def test_the_average_of_weights_keeps_the_bits(student: Student) -> None:
    q = calibrate(fake_quantise(fuse(student), Scheme(7)), [pixels_of(16, size_px=SIZE_PX)])
    average = AveragedModel(q, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for _ in range(5):
        average.update_parameters(q)
    restored = fake_quantise(fuse(student), Scheme(8))
    restored.load_state_dict(average.module.state_dict())
    assert {m.scheme.weight_max for m in restored.modules() if isinstance(m, QuantisedLayer)} == {63}
