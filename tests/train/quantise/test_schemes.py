"""Weights of fewer bits, with one scale a layer, with powers of two: what is trained is what the files say."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgevl_core.base.errors import UserError
from edgevl_core.engine import Engine, inspect_onnx, openvino_installed
from edgevl_train.quantise import (
    QuantStudent,
    Scheme,
    calibrate,
    export_fp32,
    export_int4,
    export_int8,
    export_s8,
    fake_quantise,
    fuse,
    keep_sums,
    ptq_int8,
)
from edgevl_train.quantise.scheme import LARGEST_WEIGHT, next_power_of_two
from edgevl_train.student.network import Student
from tests.train.quantise.quantised import agreement, cosine, float_kernels, op_counts, pixels_of, warm_up

pytestmark = pytest.mark.train
SIZE_PX, DIM = 64, 32
SCHEMES = [Scheme(8, False), Scheme(8, True, True), Scheme(4), Scheme(4, False, True)]


@pytest.fixture(scope="module")
def student() -> Student:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1, groups=16)]
    layers += [nn.ReLU(), nn.Conv2d(16, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU()]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    made = Student("small", nn.Sequential(*layers, *pool), nn.Linear(64, DIM), DIM)
    warm_up(made, pixels_of(16, size_px=SIZE_PX))
    return made


def quantised(student: Student, scheme: Scheme) -> QuantStudent:
    q = calibrate(fake_quantise(fuse(student), scheme), [pixels_of(16, size_px=SIZE_PX)])
    return keep_sums(q).eval()


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_a_file_answers_as_its_network_and_keeps_to_its_scheme(
    student: Student, scheme: Scheme, tmp_path: Path
) -> None:
    q, file = quantised(student, scheme), tmp_path / "int8.onnx"
    export_int8(q, file, SIZE_PX)
    assert agreement(q, Engine(file)) >= 0.999
    assert not float_kernels(op_counts(file))  # all of it in integers
    export_s8(q, tmp_path / "s8.onnx", SIZE_PX)
    for path in (file, tmp_path / "s8.onnx"):
        graph = onnx.load(path).graph
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        nodes = [node for node in graph.node if node.op_type == "DequantizeLinear"]
        weights = [node for node in nodes if getattr(constants.get(node.input[0]), "ndim", 0) >= 2]
        assert len(weights) == 4
        most = max(int(np.abs(constants[node.input[0]].astype(int)).max()) for node in weights)
        assert most <= LARGEST_WEIGHT[scheme.weight_bits]
        assert {constants[node.input[1]].ndim for node in weights} == {int(scheme.per_channel)}
        scales = np.concatenate([constants[node.input[1]].ravel() for node in nodes])
        assert bool((np.frexp(scales)[0] == 0.5).all()) == scheme.power_of_two


@pytest.mark.parametrize("scheme", [Scheme(4), Scheme(4, False)], ids=["a channel", "a tensor"])
def test_the_int4_file_holds_what_the_int8_file_does_in_half_the_bytes(
    student: Student, scheme: Scheme, tmp_path: Path
) -> None:
    q = quantised(student, scheme)
    export_int8(q, tmp_path / "int8.onnx", SIZE_PX)
    export_int4(q, tmp_path / "int4.onnx", SIZE_PX)
    model = onnx.load(tmp_path / "int4.onnx")
    onnx.checker.check_model(model)
    four = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT4]
    weights = 16 * 3 * 9 + 16 * 9 + 64 * 16 * 9 + DIM * 64
    assert sum(int(np.prod(tensor.dims)) for tensor in four) > weights
    sizes = {name: (tmp_path / f"{name}.onnx").stat().st_size for name in ("int8", "int4")}
    assert sizes["int4"] < sizes["int8"] - 0.45 * weights
    pixels = pixels_of(16, seed=1, size_px=SIZE_PX).numpy()
    wanted = Engine(tmp_path / "int8.onnx")(pixels)
    for name in ("onnxruntime", "openvino") if openvino_installed() else ("onnxruntime",):
        assert cosine(Engine(tmp_path / "int4.onnx", name=name)(pixels), wanted).min() >= 0.999
    inspect_onnx(tmp_path / "int4.onnx")  # a bundle may hold it


def test_combinations_that_no_file_can_hold_are_refused(student: Student, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"weights of 8 bits do not fit into INT4: train with stage2\.weight_bits=4"):
        export_int4(quantised(student, Scheme(8)), tmp_path / "int4.onnx", SIZE_PX)
    with pytest.raises(UserError, match="weights of 5 bits: accepted are 3, 4, 7, 8"):
        Scheme(5)
    export_fp32(student, tmp_path / "fp32.onnx", SIZE_PX)
    with pytest.raises(UserError, match="own quantisation makes no such weights"):
        ptq_int8(tmp_path / "fp32.onnx", [pixels_of(2).numpy()], tmp_path / "ptq.onnx", Scheme(4))


def test_a_state_says_its_own_scheme(student: Student) -> None:
    pixels = pixels_of(4, seed=1, size_px=SIZE_PX)
    for scheme in SCHEMES:
        saved, restored = quantised(student, scheme), fake_quantise(fuse(student))
        restored.load_state_dict(saved.state_dict())
        torch.testing.assert_close(restored.eval()(pixels), saved(pixels), rtol=0, atol=0)


def test_the_next_power_of_two() -> None:
    scales = torch.tensor([1.0, 0.25, 0.26, 0.4999, 3.0, 1e-7])
    expected = torch.tensor([1.0, 0.25, 0.5, 0.5, 4.0, 2.0**-23])
    torch.testing.assert_close(next_power_of_two(scales), expected, rtol=0, atol=0)
