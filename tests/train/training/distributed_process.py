"""Run by the tests as a process of its own, several at a time under torchrun: one job on data that the test has made.

Usage: distributed_process.py JOB DIRECTORY; DIRECTORY/input.pkl holds what the job is given before the directory, such
as (RunData, Recipe). The first process leaves its result in DIRECTORY; "stage1" prints the batch it has done after each
one.
"""

import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from edgevl_core.base.errors import UserError
from edgevl_train.adapt import adapt
from edgevl_train.data.embeddings import embed_views
from edgevl_train.data.run_data import RunData
from edgevl_train.evaluation.evaluate import evaluate
from edgevl_train.recipe import Recipe
from edgevl_train.sharing import among
from edgevl_train.student.network import Student, build_student
from edgevl_train.teacher.model import Teacher
from edgevl_train.training.context import RunContext
from edgevl_train.training.distributed import launched, start_fabric
from edgevl_train.training.stage1_distillation import distil
from edgevl_train.training.stage2_contrastive import contrast, quantised_copy


def make_student(recipe: Recipe, data: RunData) -> Student:
    torch.manual_seed(0)
    return build_student(recipe.student.name, data.bank.shape[1], backbone=recipe.student.backbone)


class TinyClip(torch.nn.Module):
    """What a teacher needs of an open_clip model, in one convolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.logit_scale = torch.nn.Parameter(torch.zeros(()))
        self.encoder = torch.nn.Conv2d(3, dim, 8, 8)

    def encode_image(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(x).amax((2, 3))


def make_teacher(dim: int = 16, batch: int = 16) -> Teacher:
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    model = TinyClip(dim).requires_grad_(False)
    return Teacher("tiny", dim, 20.0, f"sha{dim}", 16, model, lambda texts: torch.zeros(1), preprocess, batch)


def run_stage1(data: RunData, recipe: Recipe, directory: Path) -> None:
    fabric = start_fabric(recipe)
    student = make_student(recipe, data)
    distil(student, data, recipe, RunContext(fabric, directory, "f", lambda done, *_: print(done, flush=True)))
    if fabric.is_global_zero:
        torch.save(student.state_dict(), directory / "student.pt")


def run_both(data: RunData, recipe: Recipe, directory: Path) -> None:
    fabric = start_fabric(recipe)
    student = make_student(recipe, data)
    distil(student, data, recipe, RunContext(fabric, directory, "f"))
    quantised = quantised_copy(make_student(recipe, data), data, recipe.stage2)
    contrast(quantised, data, recipe, RunContext(fabric, directory, "f"))
    embed_views(make_teacher(), data.cache, data.views, directory, fabric=fabric)
    if fabric.is_global_zero:
        torch.save([student.state_dict(), quantised.state_dict()], directory / "students.pt")


def run_adapt(bags: Sequence[Path], teacher: str, labels: Path, recipe: Recipe, bundle: Path, directory: Path) -> None:
    """Evaluate a bundle on the bags, say what is told of a bag that only the second process looks at, then adapt."""
    fabric = launched()
    share = among(fabric)
    found = evaluate(bundle, bags, share=share)
    try:
        evaluate(bundle, [bags[0], directory], share=share)
    except UserError as error:
        found["refused"] = str(error).replace(str(directory), "it")
    if fabric is None or fabric.is_global_zero:
        (directory / "figures.json").write_text(json.dumps(found))
    adapt(bags, teacher, labels, directory / "run", recipe)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[2])
    job = {"stage1": run_stage1, "both": run_both, "adapt": run_adapt}[sys.argv[1]]
    job(*pickle.loads((folder / "input.pkl").read_bytes()), folder)
