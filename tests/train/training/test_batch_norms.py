"""A file without working BatchNorms is trained like the network that it was made from."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from edgevl_train.data.run_data import calibration_pixels
from edgevl_train.quantise import fuse
from edgevl_train.recipe import Recipe
from edgevl_train.student.network import Student, build_student
from edgevl_train.training.batch_norms import restore_for
from tests.train.conftest import make_run_data

pytestmark = pytest.mark.train
OWN = {"pretrained_mean": (0.5, 0.5, 0.5), "pretrained_std": (0.25, 0.25, 0.25)}
SIZE_PX = 32


@torch.no_grad()
def fold_away(backbone: nn.Module) -> dict[str, torch.Tensor]:
    """State dict of the same function, every BatchNorm folded into the convolution before it but for its bias."""
    backbone = copy.deepcopy(backbone)
    convolution = None
    for module in backbone.modules():  # in the order in which they run, in this network
        if isinstance(module, nn.BatchNorm2d):
            slope = module.weight / (module.running_var + module.eps).sqrt()
            convolution.weight.mul_(slope.view(-1, 1, 1, 1))
            module.bias.sub_(slope * module.running_mean)
            module.weight.fill_((1 + module.eps) ** 0.5)
            module.running_mean.zero_()
            module.running_var.fill_(1)
        convolution = module if isinstance(module, nn.Conv2d) else convolution
    return backbone.state_dict()


def test_folded_batch_norms_are_restored_before_training(tiny_recipe: Recipe, tmp_path: Path) -> None:
    data = make_run_data(tiny_recipe, pairs=80)
    pixels = calibration_pixels(data, 64)
    torch.manual_seed(0)
    donor = build_student("test_resnet", 16)
    _as_trained(donor, pixels)
    save_file(fold_away(donor.backbone), tmp_path / "folded.safetensors")
    section = {"name": "test_resnet", "pretrained": tmp_path / "folded.safetensors", **OWN}
    recipe = tiny_recipe.model_copy(update={"student": tiny_recipe.student.model_copy(update=section)})
    student = build_student("test_resnet", 16, size_px=SIZE_PX, pretrained=section["pretrained"], **OWN)
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in student.modules())
    assert len(student.folded) == norms
    before = student.eval()(pixels)
    assert _in_training(student, pixels, before) < 0.9  # the fault that is mended here

    said: list[str] = []
    restore_for(student, data, recipe.student, said.append)
    assert len(said) == 1
    assert said[0].startswith(f"backbone file {section['pretrained']} has its BatchNorms folded away")
    assert not student.folded
    assert not any(
        (module.running_var - 1).abs().max() < 0.01
        for module in student.modules()
        if isinstance(module, nn.BatchNorm2d)
    )
    torch.testing.assert_close(student.eval()(pixels), before, atol=1e-4, rtol=0)
    torch.testing.assert_close(fuse(student)(pixels), before, atol=1e-4, rtol=0)
    assert _in_training(student, pixels, before) > 0.97


def test_working_batch_norms_are_left_alone(tiny_recipe: Recipe, tmp_path: Path) -> None:
    donor = build_student("test_resnet", 16)
    _as_trained(donor, torch.randint(0, 256, (8, 3, SIZE_PX, SIZE_PX), dtype=torch.uint8))
    save_file(donor.backbone.state_dict(), tmp_path / "trained.safetensors")
    assert build_student("test_resnet", 16, pretrained=tmp_path / "trained.safetensors", **OWN).folded == []


@torch.no_grad()
def _as_trained(student: Student, pixels: torch.Tensor) -> None:
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_()
            module.momentum = 1.0
    student.train()(pixels)
    student.eval()


@torch.no_grad()
def _in_training(student: Student, pixels: torch.Tensor, expected: torch.Tensor) -> float:
    """Mean cosine of the answers in training mode to ``expected``; the student is left as it was."""
    return float(functional.cosine_similarity(copy.deepcopy(student).train()(pixels), expected).mean())
