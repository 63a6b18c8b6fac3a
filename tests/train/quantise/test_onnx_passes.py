"""Changes to an exported graph: other kernels, the same numbers."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgevl_core.engine import Engine
from edgevl_train.quantise import calibrate, export_int8, fake_quantise, fuse
from edgevl_train.quantise import export as export_module
from edgevl_train.student.network import Student
from tests.train.quantise.quantised import pixels_of

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("kernel", "stride", "first"), [(3, 2, "Gather"), (5, 2, "Reshape"), (7, 2, "Reshape"), (7, 1, "Gather")]
)
@torch.no_grad()
def test_the_first_convolution_computes_the_same(
    kernel: int, stride: int, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 16, kernel, stride, kernel // 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    )
    student = Student("small", backbone, nn.Linear(64, 8), 8).eval()
    q = calibrate(fake_quantise(fuse(student)), [pixels_of(8, size_px=32)]).eval()
    export_int8(q, tmp_path / "polished.onnx", 32)
    monkeypatch.setattr(export_module, "polish", lambda model: None)
    export_int8(q, tmp_path / "plain.onnx", 32)
    graph = onnx.load(tmp_path / "polished.onnx").graph
    assert [node.op_type for node in graph.node if "pixels" in node.input] == [first]
    pixels = pixels_of(5, seed=1, size_px=32).numpy()
    polished, plain = (Engine(tmp_path / name)(pixels) for name in ("polished.onnx", "plain.onnx"))
    np.testing.assert_allclose(polished, plain, atol=1e-6)
