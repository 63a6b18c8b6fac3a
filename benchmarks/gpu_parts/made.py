"""What the checks work on, made up: pairs, students and a teacher of random weights. Speed does not depend on them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import numpy as np
import open_clip
import torch

from edgevl_train.data.cache import Cache
from edgevl_train.data.run_data import RunData
from edgevl_train.data.views import draw_views
from edgevl_train.quantise import QuantStudent, calibrate, export_float_of, export_int8, export_s8, fake_quantise, fuse
from edgevl_train.recipe import Recipe, parse_recipe
from edgevl_train.student.network import Student, build_student
from edgevl_train.teacher.config import TeacherConfig
from edgevl_train.teacher.loading import build_model, quiet_open_clip
from edgevl_train.teacher.model import Teacher

TINY_TEACHER = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "timm_model_name": "test_resnet"},
    "text_cfg": {"context_length": 16, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
}


@dataclass(frozen=True)
class Sizes:
    """How large everything is; ``seconds``: about how long one thing is timed."""

    student: dict[str, Any]
    wide_px: int
    pairs: int
    batch: int
    epochs: int
    views: int
    teacher: str
    teacher_batch: int
    serving_batch: int
    matmul: int
    seconds: float


FULL = Sizes({"name": "mobilenetv4_conv_medium", "size_px": 224}, 256, 576, 64, 5, 4, "ViT-L-14", 64, 32, 8192, 3.0)
TINY = Sizes({"name": "test_resnet", "size_px": 32}, 40, 32, 8, 2, 2, "", 8, 4, 128, 0.05)
DIM, WORDS = 512, 16


def recipe_of(sizes: Sizes, accelerator: str) -> Recipe:
    """The default recipe at these sizes."""
    content = {
        "accelerator": accelerator,
        "student": sizes.student,
        "cache": {"size_px": sizes.wide_px},
        "views": {"count": sizes.views},
        "stage1": {"epochs": sizes.epochs, "batch": sizes.batch, "warmup_steps": 2},
        "stage2": {"epochs": max(1, sizes.epochs // 2), "batch": sizes.batch},
    }
    return parse_recipe(content, origin="of benchmarks/gpu.py")


def made_data(recipe: Recipe, pairs: int) -> RunData:
    """Pairs of coloured noise."""
    rng = np.random.default_rng(0)
    sides = [recipe.student.size_px] * 2 + [recipe.cache.size_px] * 2
    images = [rng.integers(0, 256, (pairs, side, side, 3), np.uint8) for side in sides]
    cache = Cache(*images, np.arange(pairs) * 10**9, np.zeros(pairs, np.int64), {"key": "made up"})
    targets = rng.normal(size=(recipe.views.count, pairs, DIM)).astype(np.float16)
    targets /= np.linalg.norm(targets.astype(np.float32), axis=-1, keepdims=True).astype(np.float16)
    bank = np.asarray(targets[0, :WORDS], np.float32)
    rows, held = np.arange(pairs), max(WORDS, pairs // 8)
    views = draw_views(pairs, recipe.views, 0)
    return RunData(cache, views, targets, rows[held:], rows[:held], np.zeros(pairs, np.int64), bank, 100.0)


def made_student(recipe: Recipe) -> Student:
    """With random weights."""
    torch.manual_seed(0)
    section = recipe.student
    return build_student(section.name, DIM, head=section.head, size_px=section.size_px, backbone=section.backbone)


@torch.no_grad()
def warmed_student(recipe: Recipe, data: RunData) -> Student:
    """With random weights, and BatchNorms that know the data: it can be quantised."""
    student = made_student(recipe)
    pixels = torch.from_numpy(data.cache.full_rgb[:32]).permute(0, 3, 1, 2)
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and not module.weight.any():
            module.weight.fill_(1)
    for _ in range(3):
        student.train()(pixels)
    return student.eval()


@torch.no_grad()
def made_files(recipe: Recipe, data: RunData, directory: Path) -> dict[str, Path]:
    """The float, s8 and int8 files of a quantised student."""
    pixels = torch.from_numpy(data.cache.full_rgb[:32]).permute(0, 3, 1, 2)
    quantised: QuantStudent = calibrate(fake_quantise(fuse(warmed_student(recipe, data))), [pixels]).eval()
    files = {name: directory / f"{name}.onnx" for name in ("float", "s8", "int8")}
    for export, file in zip((export_float_of, export_s8, export_int8), files.values(), strict=True):
        export(quantised, file, recipe.student.size_px)
    return files


def made_teacher(sizes: Sizes, device: str, precision: str) -> Teacher:
    """Named ``sizes.teacher``, with random weights."""
    model_cfg = open_clip.get_model_config(sizes.teacher) if sizes.teacher else TINY_TEACHER
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    preprocess = {"mean": mean, "std": std, "interpolation": "bicubic", "resize_mode": "shortest"}
    with quiet_open_clip():
        model = build_model(TeacherConfig(sizes.teacher or "tiny", model_cfg, preprocess))
    model.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    size = model.visual.preprocess_cfg["size"]
    return Teacher(
        id=sizes.teacher or "tiny",
        embed_dim=int(model_cfg["embed_dim"]),
        logit_scale=100.0,
        weights_sha256="",
        size_px=size if isinstance(size, int) else size[0],
        model=model,
        tokenizer=lambda texts: torch.zeros(len(texts), 1, dtype=torch.int64),
        preprocess=dict(model.visual.preprocess_cfg),
        batch=sizes.teacher_batch,
        precision=precision,
    )
