"""The ONNX files that are timed: written once into a folder, read from there the next time.

Weights are random: the time of a run does not depend on them.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.bundle.self_test import open_untrusted
from edgevl_core.bundle.student_bundle import STUDENT_FP32, STUDENT_INT8
from edgevl_core.camera.preprocess import Preprocess
from edgevl_train.first_bundle.tower import tower_student
from edgevl_train.quantise import (
    calibrate,
    dynamic_int8,
    export_fp32,
    export_int8,
    fake_quantise,
    fuse,
    ptq_int8,
)
from edgevl_train.quantise.export import INPUT_NAME, OUTPUT_NAME, with_fusible_gelu
from edgevl_train.quantise.to_onnx import to_onnx
from edgevl_train.student.network import Student, build_student
from edgevl_train.student.presets import PRESETS, Preset
from edgevl_train.teacher.loading import quiet_open_clip

# isort: split
import open_clip
from timm.utils.model import reparameterize_model

FLOAT, STATIC, DYNAMIC, TRAINED = "float", "int8", "int8 dynamic", "int8 QAT"
EMBED_DIM = 512  # of ViT-B-32 and MobileCLIP2-S0
_CALIBRATION_IMAGES = 8


@dataclass(frozen=True)
class Model:
    """One network and the files it is run from.

    Attributes:
        kind: "teacher", "student" or "bundle".
        files: precision -> ONNX file; FLOAT is always there. TRAINED: as quantisation-aware training writes it.
        preprocess: how an image becomes the network's square input.
        network: the same in PyTorch, (N, 3, S, S) uint8 -> (N, D), where that is timed too.
    """

    name: str
    kind: str
    files: Mapping[str, Path]
    preprocess: Preprocess
    network: nn.Module | None = None

    @property
    def on_robot(self) -> str:
        """The precision that the robot runs."""
        return next((each for each in (TRAINED, STATIC) if each in self.files), FLOAT)


def teacher(name: str, folder: Path, *, int8: bool = False) -> Model:
    """The image tower of an open_clip configuration, merged as it would be deployed.

    Args:
        int8: also as the student of a bundle, by the tool that makes one of a teacher (edgevl_train.first_bundle).

    Raises:
        UserError: open_clip has no such configuration.
    """
    paths = {FLOAT: folder / f"{name}.onnx"}
    if int8:
        paths[TRAINED] = folder / f"{name}-{TRAINED.replace(' ', '-')}.onnx"
    if name not in open_clip.list_models():
        raise UserError(f"teacher {name!r}: open_clip has no such model; see open_clip.list_models()")
    with quiet_open_clip():
        clip = open_clip.create_model(name, pretrained=None).eval()
    if int8 and not paths[TRAINED].is_file():
        _export_int8_tower(name, clip, paths[TRAINED])
    tower = _Tower(reparameterize_model(clip.visual)).eval()
    if not paths[FLOAT].is_file():
        with_fusible_gelu(tower)  # as students have it: a peer is not to be slower than it must
        _export_tower(tower, paths[FLOAT])
    return Model(name, "teacher", paths, Preprocess(size_px=tower.size_px), network=tower)


def student(name: str, folder: Path, preset: Preset | None = None) -> Model:
    """A student as its preset (None: the one of its name) would build it: float, and int8 in three ways."""
    preset = preset or PRESETS[name]
    stem = f"{name}-{preset.size_px}"
    paths = {each: folder / f"{stem}-{each.replace(' ', '-')}.onnx" for each in (FLOAT, STATIC, DYNAMIC, TRAINED)}
    shape = (_CALIBRATION_IMAGES, 3, preset.size_px, preset.size_px)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if not (paths[FLOAT].is_file() and paths[TRAINED].is_file()):
        torch.manual_seed(0)
        built = _with_statistics(build_student(name, EMBED_DIM, head=preset.head, size_px=preset.size_px), noise)
        export_fp32(built, paths[FLOAT], preset.size_px)
        quantised = calibrate(fake_quantise(fuse(built)), [torch.from_numpy(noise)])
        export_int8(quantised.eval(), paths[TRAINED], preset.size_px)
    if not paths[STATIC].is_file():
        ptq_int8(paths[FLOAT], np.split(noise, _CALIBRATION_IMAGES), paths[STATIC])
    if not paths[DYNAMIC].is_file():
        dynamic_int8(paths[FLOAT], paths[DYNAMIC])
    return Model(name, "student", paths, Preprocess(size_px=preset.size_px))


@torch.no_grad()
def _with_statistics(student: Student, pixels: np.ndarray) -> Student:
    """With what training would give BatchNorm: a gain (ResNets start with 0, and runtimes skip zeros), statistics."""
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            module.weight.fill_(1)
    student.train()(torch.from_numpy(pixels))
    return student.eval()


def bundle(path: Path) -> Model:
    """A bundle's own two files. Raises UserError where it is refused."""
    loaded = open_untrusted(path)
    files = {FLOAT: path / STUDENT_FP32, STATIC: path / STUDENT_INT8}
    return Model(f"{path.resolve().name}/", "bundle", files, loaded.manifest.preprocess)


class _Tower(nn.Module):
    """A teacher's image tower behind a student's contract: uint8 pixels in, a unit vector out."""

    mean: Tensor
    std: Tensor

    def __init__(self, visual: Any) -> None:
        """``visual``: of an open_clip model, which says no types."""
        super().__init__()
        self.visual = visual
        self.size_px = int(np.max(visual.image_size))
        for name in ("mean", "std"):
            values = torch.tensor(visual.preprocess_cfg[name]).view(1, 3, 1, 1)
            self.register_buffer(name, 255 * values)

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.normalize(self.visual((pixels.float() - self.mean) / self.std), dim=-1)


def _export_int8_tower(name: str, clip: Any, path: Path) -> None:
    size_px = int(np.max(clip.visual.image_size))
    student = tower_student(name, clip.visual, clip.visual.preprocess_cfg, size_px, EMBED_DIM)
    pixels = np.random.default_rng(0).integers(0, 256, (_CALIBRATION_IMAGES, 3, size_px, size_px), dtype=np.uint8)
    quantised = calibrate(fake_quantise(fuse(student)), [torch.from_numpy(pixels)])
    export_int8(quantised.eval(), path, size_px)


def _export_tower(tower: _Tower, path: Path) -> None:
    """(1, 3, S, S) uint8 -> (1, D) float32."""
    example = torch.zeros(1, 3, tower.size_px, tower.size_px, dtype=torch.uint8)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator has no ONNX counterpart
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own internals; a failure still raises
            model = to_onnx(tower, example, INPUT_NAME, OUTPUT_NAME)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    atomic_write(path, model.SerializeToString())
