"""Every recipe of the field trains and is quantised, in small; nothing of it is left in what is exported."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from edgevl_cli.compare import SHIPPED
from edgevl_core.engine import Engine
from edgevl_train.quantise import export_int8
from edgevl_train.recipe import load_recipe
from edgevl_train.student.network import build_student
from edgevl_train.teacher.tokens import GRID
from edgevl_train.training.context import RunContext
from edgevl_train.training.stage1_distillation import distil
from edgevl_train.training.stage2_contrastive import contrast, quantised_copy
from tests.train.conftest import DIM, make_run_data

pytestmark = pytest.mark.train
# Small ones of the same kind: with squeeze and excitation, and with branches that are merged.
STUDENTS = {"clip4retrofit": "test_efficientnet", "ghostnetv3": "ghostnetv3_050", "mobileone": "mobileone_s0"}
SMALL = ("views.count=1", "precision=32-true")
SHORT = ("epochs=1", "batch=8", "warmup_steps=0")


@pytest.mark.parametrize("name", SHIPPED)
def test_it_runs_from_end_to_end(name: str, tmp_path: Path) -> None:
    student = STUDENTS.get(name, "test_resnet")
    short = [f"{stage}.{each}" for stage in ("stage1", "stage2") for each in SHORT]
    side = 64 if name == "ghostnetv3" else 32  # it halves its maps once more than others do
    sizes = [f"student.size_px={side}", f"cache.size_px={side}", "stage2.calibration_pairs=8"]
    settings = [f"student.name={student}", "student.pretrained=null", *sizes, *SMALL, *short]
    recipe = load_recipe(name, settings)
    data = make_run_data(recipe, pairs=20)
    tokens = np.random.default_rng(0).normal(size=(1, 20, GRID**2 * 4)).astype(np.float16)
    data = dataclasses.replace(data, tokens=tokens, vocabulary=data.bank[:5])
    network = build_student(student, DIM, head=recipe.student.head, size_px=side)
    before = sum(each.numel() for each in network.parameters())
    context = RunContext(Fabric(accelerator="cpu", devices=1, precision="32-true"), tmp_path)
    best = distil(network, data, recipe, context)
    assert sum(each.numel() for each in network.parameters()) == before
    assert set(best.state) == set(network.state_dict())
    quantised = quantised_copy(network, data, recipe.stage2)
    contrast(quantised, data, recipe, context)
    # Branches are merged before the quantisation: one convolution is left of each, and no BatchNorm.
    assert not [each for each in quantised.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    if name not in ("clip4retrofit", "mobileone"):
        return  # test_resnet is exported often enough, GhostNetV3's thousand small layers take half a minute
    export_int8(quantised.cpu(), tmp_path / "int8.onnx", side)
    answer = Engine(tmp_path / "int8.onnx")(data.cache.full_rgb[:2].transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        pixels = torch.from_numpy(data.cache.full_rgb[:2]).permute(0, 3, 1, 2)
        expected = quantised.eval()(pixels).numpy()
    assert (answer * expected).sum(1).min() > 0.9
