"""A student's whole way to the robot, tried with random weights before a run trains it for hours.

Any timm backbone may be named in a recipe, and not every one can be traced, quantised, exported and run. That takes
seconds to find out.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgevl_core.base.atomic import NotWritten
from edgevl_core.base.errors import UserError
from edgevl_core.engine import Engine, inspect_onnx, openvino_installed
from edgevl_train.quantise import calibrate, export_fp32, export_int8, fake_quantise, fuse
from edgevl_train.sections import StudentSection
from edgevl_train.student.network import Student, build_student

_IMAGES = 4
# Cosine to the torch network. Rounding differs between runtimes, and networks of random weights are sensitive to it.
_LEAST_FLOAT, _LEAST_INT8 = 0.99, 0.9
_passed: set[tuple[str, int]] = set()


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes:
        parameters: of backbone and head.
        fp32, int8: the files.
        float_layers: convolutions and linear layers that stay float in the int8 file.
        cosine: of the int8 file to the float network.
    """

    parameters: int
    fp32: Path
    int8: Path
    float_layers: int
    cosine: float


def check_student(section: StudentSection, embed_dim: int) -> None:
    """:func:`try_student`, once a process for the same student.

    Raises:
        UserError: naming the backbone, what cannot be done with it, and why.
    """
    if _key(section, embed_dim) in _passed:
        return
    with tempfile.TemporaryDirectory() as directory:
        try_student(section, embed_dim, Path(directory))


def _key(section: StudentSection, embed_dim: int) -> tuple[str, int]:
    return section.model_dump_json(include={"name", "size_px", "head", "backbone", "widths"}), embed_dim


def try_student(section: StudentSection, embed_dim: int, directory: Path) -> Trial:
    """Train a step's forward pass, quantise, export and run a student with random weights.

    The recipe's random numbers are not touched.

    Args:
        section: which student; its first weights play no part.
        directory: where ``fp32.onnx`` and ``int8.onnx`` are written.

    Raises:
        UserError: naming the backbone, what cannot be done with it, and why.
    """
    name, size_px = section.name, section.size_px
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        student = build_student(
            name, embed_dim, head=section.head, size_px=size_px, backbone=section.backbone, widths=section.widths
        )
        pixels = torch.randint(0, 256, (_IMAGES, 3, size_px, size_px), dtype=torch.uint8)
        with _refusing(name, size_px, f"does not take images of {size_px} px"):
            _with_statistics(student, pixels)
            with torch.no_grad():
                expected = student(pixels).numpy()
        with _refusing(name, size_px, "cannot be quantised"):
            quantised = calibrate(fake_quantise(fuse(student)), [pixels]).eval()
            with torch.no_grad():
                coarse = quantised(pixels).numpy()
        files = directory / "fp32.onnx", directory / "int8.onnx"
        with _refusing(name, size_px, "cannot be exported"):
            export_fp32(student, files[0], size_px)
            export_int8(quantised, files[1], size_px)
    for file in files:
        with _refusing(name, size_px, "has what a bundle may not hold"):
            inspect_onnx(file)
    _agrees(name, size_px, files[0], "onnxruntime", pixels.numpy(), expected, _LEAST_FLOAT)
    answer = _agrees(name, size_px, files[1], "onnxruntime", pixels.numpy(), coarse, _LEAST_INT8)
    if openvino_installed():
        _agrees(name, size_px, files[1], "openvino", pixels.numpy(), coarse, _LEAST_INT8)
    parameters = sum(parameter.numel() for parameter in student.parameters())
    _passed.add(_key(section, embed_dim))
    return Trial(parameters, *files, len(quantised.float_layers), _cosine(answer, expected))


@torch.no_grad()
def _with_statistics(student: Student, pixels: torch.Tensor) -> None:
    """As training would leave it: gains that are not 0 (timm's ResNets start so), statistics in BatchNorm."""
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine and not module.weight.any():
            module.weight.fill_(1)
    student.train()(pixels)
    student.eval()


def _agrees(
    name: str,
    size_px: int,
    file: Path,
    engine: str,
    pixels: NDArray[np.uint8],
    expected: NDArray[np.float32],
    least: float,
) -> NDArray[np.float32]:
    with _refusing(name, size_px, f"does not run as {file.name} in {engine}"):
        answer = Engine(file, name=engine)(pixels)
        if not (cosine := _cosine(answer, expected)) >= least:  # NaN neither
            raise ValueError(f"its answers have a cosine of {cosine:.3f} to the network's own, below {least:g}")
    return answer


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean over (N, D) unit vectors."""
    return float((a * b).sum(axis=1).mean())


@contextmanager
def _refusing(name: str, size_px: int, what: str) -> Iterator[None]:
    """One line for whatever goes wrong: a backbone is foreign code, and so are exporter and runtimes."""
    try:
        yield
    except Exception as error:
        if isinstance(error, NotWritten) or (isinstance(error, UserError) and name in str(error)):
            raise
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        reason = (lines[0] if lines else type(cause).__name__)[:200]
        raise UserError(
            f"student {name!r} at {size_px} px {what}: {reason}; take another backbone (docs/backbones.md says which "
            "work), size or arguments; nothing was trained"
        ) from error
