"""Is a student worth anything that learned from made-up pictures alone? Data-free distillation of several students.

python benchmarks/data_free.py --students RUN RUN... --teacher SPEC --test BAG [--real RUN] [--pairs 256] [--steps 100]

No picture is there, only the robots' float students, whose BatchNorms remember what their pictures were like. Pairs of
RGB and depth are optimised so that a batch has those statistics in every layer, that both halves of a pair mean the
same, and that one label is meant (DeepInversion, arXiv 1912.08795; for several teachers CDFKD-MFS): one of the
students, drawn anew, judges each step. Depth is optimised in metres and encoded. Then a student learns from them, as
`edgevl merge --choice distil` has it, from random weights and from the first run's. Against: as many real pairs, of the
cache of --real (default: the first run). Judged by true rooms (float students).
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from numpy.typing import NDArray
from one_home_parts.judge import frames, top1
from one_home_parts.material import LABELS
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.base.atomic import atomic_write
from edgevl_core.bundle.label_bank import LabelBank, build_label_bank
from edgevl_core.bundle.labels import load_labels
from edgevl_core.camera.depth import LOG_CODES, LOG_RANGE_M
from edgevl_train.data.cache import Cache, open_cache
from edgevl_train.data.run_data import RunData, spread
from edgevl_train.data.views import draw_views
from edgevl_train.evaluation.predictors import checkpoint_predictor
from edgevl_train.merge.students import distil_recipe, load_students
from edgevl_train.recipe import Recipe, dump_recipe, load_recipe
from edgevl_train.restore import load_float_student
from edgevl_train.run_directory import FLOAT_STUDENT
from edgevl_train.student.network import build_student
from edgevl_train.teacher.loading import Teacher, load_teacher
from edgevl_train.training.context import RunContext
from edgevl_train.training.distributed import start_fabric
from edgevl_train.training.stage1_distillation import distil

BATCH = 64
WEIGHTS = {"statistics": 1.0, "label": 0.1, "agreement": 1.0, "roughness": 0.02}


@contextmanager
def far_from_statistics(student: nn.Module) -> Iterator[list[Tensor]]:
    """While the block runs, each BatchNorm appends how far its batch is from what it remembers."""
    found: list[Tensor] = []

    def hook(norm: Any, inputs: tuple[Tensor]) -> None:
        x = inputs[0]
        mean, deviation = x.mean((0, 2, 3)), x.var((0, 2, 3)).add(1e-5).sqrt()
        remembered = norm.running_var.add(1e-5).sqrt()
        found.append(
            (((mean - norm.running_mean) / remembered) ** 2).mean() + (deviation / remembered).log().pow(2).mean()
        )

    norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(hook) for norm in norms]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def encoded(metres: Tensor) -> Tensor:
    """(B, 1, S, S) metres -> (B, 3, S, S) 0..255: the encoding "log", without holes."""
    near, far = LOG_RANGE_M
    return (1 + LOG_CODES * (metres.clamp(near, far) / near).log()).repeat(1, 3, 1, 1)


def made_up(students: Sequence[nn.Module], bank: Tensor, scale: float, side: int, steps: int, seed: int) -> Tensor:
    """(2B, 3, S, S) uint8: a batch of pairs, RGB first."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.randn(BATCH, 4, side // 8, side // 8, generator=generator)
    start = functional.interpolate(rough, side, mode="bilinear") + 0.1 * torch.randn(
        BATCH, 4, side, side, generator=generator
    )
    free = start.requires_grad_()
    meant = torch.randint(len(bank), (BATCH,), generator=generator)
    optimiser = torch.optim.Adam([free], lr=0.05)

    def pixels() -> Tensor:
        metres = 0.2 + 7.8 * free[:, 3:].sigmoid()
        return torch.cat([255 * free[:, :3].sigmoid(), encoded(metres)])

    for step in range(steps):
        student = students[int(torch.randint(len(students), (1,), generator=generator))]
        with far_from_statistics(student) as far:
            rgb, depth = student(pixels()).chunk(2)
        parts = {
            "statistics": torch.stack(far).mean(),
            "label": sum(functional.cross_entropy(scale * half @ bank.T, meant) for half in (rgb, depth)),
            "agreement": (1 - (rgb * depth).sum(1)).mean(),
            "roughness": free.diff(dim=2).abs().mean() + free.diff(dim=3).abs().mean(),
        }
        optimiser.zero_grad()
        sum(WEIGHTS[name] * part for name, part in parts.items()).backward()
        optimiser.step()
        if step in (0, steps - 1):
            print(f"step {step}: " + ", ".join(f"{name} {part.item():.3f}" for name, part in parts.items()), flush=True)
    return pixels().detach().round().to(torch.uint8)


def as_cache(rgb: NDArray[np.uint8], depth: NDArray[np.uint8], name: str) -> Cache:
    """Pairs (N, S, S, 3) that no bag holds."""
    count = len(rgb)
    return Cache(rgb, depth, rgb, depth, np.arange(count) * 10**9, np.zeros(count, np.int64), {"key": name})


def learned(cache: Cache, recipe: Recipe, teacher: Teacher, bank: LabelBank, run: Path | None, folder: Path) -> None:
    """A student learns from these pairs what the recipe's students say of them; ``folder`` gets its checkpoint."""
    views = draw_views(len(cache), recipe.views, 0)
    students = load_students(teacher, recipe)
    if students is None:
        raise ValueError("the recipe names no students")
    targets = students.embed_views(teacher, cache, views, folder)
    rows, held = np.arange(len(cache)), len(cache) // 8
    labels = np.zeros(len(cache), np.int64)
    data = RunData(cache, views, targets, rows[held:], rows[:held], labels, bank.vectors, teacher.logit_scale)
    torch.manual_seed(0)
    section = recipe.student
    new = build_student(section.name, teacher.embed_dim, size_px=section.size_px, backbone=section.backbone)
    student = new if run is None else load_float_student(run, section, teacher.embed_dim)
    best = distil(student, data, recipe, RunContext(start_fabric(recipe), folder))
    print(f"{folder.name}: {best.metrics}", flush=True)


def main() -> None:
    """Make pictures, learn, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=Path, nargs="+", required=True)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    teacher, first = load_teacher(arguments.teacher), arguments.students[0]
    bank = build_label_bank([load_labels(LABELS)], teacher.encode_text)
    section = load_recipe(first / "recipe.yaml").student.model_copy(update={"start_from": None})
    size = f"cache.size_px={section.size_px}"
    how = [
        f"student={json.dumps(section.model_dump(mode='json'))}",
        size,
        f"stage1.epochs={arguments.epochs}",
        "threads=2",
    ]
    recipe = distil_recipe(arguments.students, load_recipe("demo", [*how, "low_light.probability=0"]))
    networks = [load_float_student(run, section, teacher.embed_dim).requires_grad_(False) for run in arguments.students]
    batches = [
        made_up(networks, torch.from_numpy(bank.vectors), teacher.logit_scale, section.size_px, arguments.steps, seed)
        for seed in range(arguments.pairs // BATCH)
    ]
    rgb, depth = (
        np.concatenate([batch.chunk(2)[half].permute(0, 2, 3, 1).numpy() for batch in batches]) for half in (0, 1)
    )
    real = open_cache((arguments.real or first) / "cache")
    rows = spread(np.arange(len(real)), len(rgb))
    caches = {
        "made up": as_cache(rgb, depth, "made up"),
        "real": as_cache(real.full_rgb[rows], real.full_depth[rows], "real"),
    }
    figures = {"the first student": _judged(first, arguments.test)}
    with tempfile.TemporaryDirectory() as work:
        for name, cache in caches.items():
            for begun, run in (("random weights", None), ("the first student", first)):
                title = f"{name}, from {begun}"
                folder = Path(work) / title.replace(" ", "_")
                folder.mkdir()
                (folder / "recipe.yaml").write_bytes(dump_recipe(recipe))
                (folder / "bundle").symlink_to((first / "bundle").resolve())  # its labels, and its trust in each camera
                learned(cache, recipe, teacher, bank, run, folder)
                figures[title] = _judged(folder, arguments.test)
    for name, row in figures.items():
        print(f"{name:36s} " + " ".join(f"{camera} {value:.3f}" for camera, value in row.items()))
    if arguments.json:
        atomic_write(arguments.json, json.dumps(figures, indent=1).encode())


def _judged(run: Path, bag: Path) -> dict[str, float]:
    """Top-1 of a run's float student."""
    return top1(checkpoint_predictor(run / FLOAT_STUDENT), frames(bag))


if __name__ == "__main__":
    main()
