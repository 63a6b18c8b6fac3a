"""What the tests of quantised students share."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from torch.nn import functional

from edgevl_core.engine import CPU_ONLY, Engine, open_session
from edgevl_train.quantise import QuantStudent, calibrate, export_int8, fake_quantise, fuse
from edgevl_train.student.network import Student

_FLOAT_KERNELS = {"Conv", "FusedConv", "NhwcFusedConv", "Gemm", "FusedGemm", "Relu"}


def pixels_of(count: int, seed: int = 0, size_px: int = 64) -> torch.Tensor:
    """Smooth random pictures, (N, 3, S, S) uint8."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator) * 255
    return functional.interpolate(coarse, (size_px, size_px), mode="bicubic").clamp(0, 255).to(torch.uint8)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, D) and (N, D) -> (N,)."""
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def observe_ranges(q: QuantStudent, observing: bool) -> None:
    """Let the ranges follow the training batches (True), or hold them (False, as after ``calibrate``)."""
    for quantiser in q.quantisers():
        quantiser.observing = observing


def op_counts(path: Path) -> dict[str, int]:
    """Operators of the graph as ONNX Runtime optimised it for this processor, with their numbers.

    An int8 student shows QLinearConv and QGemm here, and no Conv or Gemm.
    """
    with tempfile.TemporaryDirectory() as directory:
        saved = Path(directory) / "optimised.onnx"
        open_session(path, 1, CPU_ONLY, save_to=saved)
        return dict(Counter(node.op_type for node in onnx.load(saved).graph.node))


def float_kernels(counts: Mapping[str, int]) -> set[str]:
    """The float convolutions and linear layers of an optimised graph."""
    return _FLOAT_KERNELS & set(counts)


def openvino_kernels(path: Path, size_px: int) -> dict[str, str]:
    """The kernel of each convolution and linear layer in OpenVINO, by the layer's name; integer ones end with I8."""
    import openvino

    model = openvino.Core().read_model(str(path))
    model.reshape([1, 3, size_px, size_px])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {
        op.get_friendly_name(): op.get_rt_info()["primitiveType"].astype(str)
        for op in compiled.get_runtime_model().get_ops()
        if op.get_rt_info()["layerType"].astype(str) in ("Convolution", "FullyConnected")
    }


@torch.no_grad()
def warm_up(student: Student, pixels: torch.Tensor) -> None:
    """Give BatchNorm some statistics."""
    student.train()(pixels)
    student.eval()


@torch.no_grad()
def quantised_and_file(student: Student, directory: Path, size_px: int) -> tuple[QuantStudent, Engine]:
    """The fake-quantised student, and its int8 file in ONNX Runtime."""
    pixels = pixels_of(16, size_px=size_px)
    warm_up(student, pixels)
    q = calibrate(fake_quantise(fuse(student)), [pixels]).eval()
    export_int8(q, directory / "int8.onnx", size_px)
    return q, Engine(directory / "int8.onnx")


@torch.no_grad()
def agreement(q: QuantStudent, engine: Engine) -> float:
    """Mean cosine between the fake-quantised student and its int8 file, over pictures not calibrated with."""
    pixels = pixels_of(16, seed=1, size_px=engine.size_px)
    return float(cosine(engine(pixels.numpy()), q(pixels).numpy()).mean())
