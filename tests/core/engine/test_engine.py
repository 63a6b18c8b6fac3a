"""Engines: one interface, the same answers, the right file for each."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgevl_train.torchvision_ops  # noqa: F401  (before timm)
from tests.paths import ROOT

# isort: split
from timm.layers import Conv2dSame

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.student_bundle import STUDENT_INT8, load_bundle
from edgevl_core.engine import CPU_ONLY, ENGINES, Engine, takes_int8
from edgevl_train.student.network import Student, build_student
from tests.core.tiny import write_colour_bundle, write_student
from tests.train.quantise.quantised import (
    cosine,
    float_kernels,
    op_counts,
    openvino_kernels,
    pixels_of,
    quantised_and_file,
)

pytestmark = pytest.mark.train
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_colour_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


@needs_openvino
@pytest.mark.parametrize(
    ("name", "backbone"), [("resnet10t", {"output_stride": 16}), ("vit_tiny_patch16_224", {"depth": 2})]
)
def test_both_engines_run_the_int8_file_and_agree(name: str, backbone: dict, tmp_path: Path) -> None:
    torch.manual_seed(0)
    _, onnx_runtime = quantised_and_file(build_student(name, 32, size_px=64, backbone=backbone), tmp_path, 64)
    openvino = Engine(onnx_runtime.path, name="openvino")
    pixels = pixels_of(15, seed=3).numpy()  # pairs, and one that is left
    assert cosine(openvino(pixels), onnx_runtime(pixels)).min() >= 0.999
    assert (openvino.size_px, openvino.embedding_dim) == (onnx_runtime.size_px, onnx_runtime.embedding_dim)


LET_GO_IN_A_THREAD = """
import signal, sys, threading
import numpy as np
from edgevl_core.engine import Engine

held = [Engine(sys.argv[1], name="openvino")]
held[0](np.zeros((1, 3, 16, 16), np.uint8))
other = threading.Thread(target=held.clear)
other.start()
other.join()
came = []
signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
signal.raise_signal(signal.SIGTERM)
assert came == [signal.SIGTERM]
"""


@needs_openvino
def test_a_process_still_takes_signals_after_another_thread_let_openvino_go(tmp_path: Path) -> None:
    """As scene_classifier does when its bundle is swapped; with AMX that was a segmentation fault."""
    student = write_student(tmp_path / "student.onnx")
    command = [sys.executable, "-c", LET_GO_IN_A_THREAD, str(student)]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=120).returncode == 0


@needs_openvino
def test_openvino_computes_every_layer_in_integers(tmp_path: Path) -> None:
    """The head has as many outputs as the last convolution: shared zero points made both of them float."""
    torch.manual_seed(0)
    student = build_student("resnet10t", 512, size_px=64)
    _, engine = quantised_and_file(student, tmp_path, 64)
    kernels = openvino_kernels(engine.path, 64)
    layers = sum(isinstance(m, torch.nn.Conv2d | torch.nn.Linear) for m in student.modules())
    assert len(kernels) == layers
    assert all(kernel.endswith("I8") for kernel in kernels.values()), kernels


SMALL_SAME = nn.Sequential(
    Conv2dSame(3, 16, 3, 2),
    nn.ReLU6(),
    Conv2dSame(16, 16, 5, 2, groups=16),
    nn.ReLU6(),
    nn.Conv2d(16, 8, 1),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
)


@needs_openvino
@pytest.mark.parametrize("name", ["small", pytest.param("mobilenetv2_100", marks=pytest.mark.slow)])
@torch.no_grad()
def test_tensorflow_s_padding_runs_in_integers(name: str, tmp_path: Path) -> None:
    """One-sided at strides of 2, as the weights of Coral and TensorFlow want it."""
    torch.manual_seed(0)
    if name == "small":
        student = Student(name, SMALL_SAME, nn.Linear(8, 8), 8)
    else:
        student = build_student(name, 16, size_px=64, backbone={"pad_type": "same"})
    q, engine = quantised_and_file(student, tmp_path, 64)
    assert q.float_layers == []
    counts = op_counts(engine.path)
    layers = sum(isinstance(m, nn.Conv2d | nn.Linear) for m in student.modules())
    assert counts["QLinearConv"] + counts["QGemm"] == layers
    assert not ({"Pad"} | float_kernels(counts)) & set(counts)
    kernels = openvino_kernels(engine.path, 64)
    assert len(kernels) == layers
    assert all(kernel.endswith("I8") for kernel in kernels.values()), kernels
    pixels = pixels_of(8, seed=1)
    expected = q(pixels).numpy()
    assert cosine(engine(pixels.numpy()), expected).mean() >= 0.999
    # OpenVINO adds residuals before it rounds: with either padding, MobileNetV2 with random weights comes to 0.996.
    least = 0.999 if name == "small" else 0.99
    assert cosine(Engine(engine.path, name="openvino")(pixels.numpy()), expected).mean() >= least


@needs_openvino
def test_openvino_runs_a_bundle_and_keeps_earlier_answers(bundle: Path) -> None:
    loaded = load_bundle(bundle, engine="openvino")  # golden inputs included
    assert (loaded.engine.name, loaded.engine.path.name) == ("openvino", STUDENT_INT8)
    first, second = np.random.default_rng(0).integers(0, 256, (2, 3, 3, 16, 16), dtype=np.uint8)
    kept = loaded.engine(first)
    before = kept.copy()
    loaded.engine(second)
    np.testing.assert_array_equal(kept, before)


@needs_openvino
def test_openvino_refuses_what_it_cannot_run(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(UserError, match="cannot be loaded by OpenVINO"):
        Engine(tmp_path / "broken.onnx", name="openvino")
    with pytest.raises(UserError, match="providers CUDAExecutionProvider with the engine openvino"):
        load_bundle(bundle, engine="openvino", providers=["CUDAExecutionProvider"])


def test_an_engine_that_is_not_there_is_named(bundle: Path) -> None:
    with pytest.raises(UserError, match="engine 'warp': accepted are onnxruntime, openvino"):
        load_bundle(bundle, engine="warp")
    if find_spec("openvino") is None:
        with pytest.raises(UserError, match=r"pip install openvino"):
            load_bundle(bundle, engine="openvino")


@pytest.mark.parametrize(
    ("engine", "providers", "int8"),
    [
        ("onnxruntime", CPU_ONLY, True),
        ("onnxruntime", ("OpenVINOExecutionProvider", *CPU_ONLY), True),
        ("onnxruntime", ("CUDAExecutionProvider", *CPU_ONLY), False),
        ("onnxruntime", ("TensorrtExecutionProvider", "CUDAExecutionProvider"), False),
        ("openvino", CPU_ONLY, True),
    ],
)
def test_processors_get_the_int8_file_and_gpus_the_float_one(engine: str, providers: tuple, int8: bool) -> None:
    assert takes_int8(engine, providers) == int8


@pytest.mark.parametrize("name", [each for each in ENGINES if each != "openvino" or find_spec("openvino")])
def test_an_engine_tells_what_it_is_and_how_fast(name: str, tmp_path: Path) -> None:
    engine = Engine(write_student(tmp_path / "student.onnx"), threads=2, name=name)
    assert (engine.name, engine.threads, len(engine.providers)) == (name, 2, 1)
    assert np.isnan(engine.recent_s.quantile(0.5))
    engine(np.zeros((1, 3, 16, 16), np.uint8))
    assert engine.recent_s.quantile(0.95) > 0


def test_a_bundle_s_self_test_is_no_measurement(bundle: Path) -> None:
    assert np.isnan(load_bundle(bundle).engine.recent_s.quantile(0.5))
