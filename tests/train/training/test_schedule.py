"""Which parameters weight decay pulls at, for every student in use, in both stages."""

import pytest
import timm
from torch import nn

from edgevl_train.quantise import fake_quantise, fuse
from edgevl_train.stage_sections import Stage1Section
from edgevl_train.student.network import build_student
from edgevl_train.student.presets import PRESETS
from edgevl_train.training.schedule import make_optimiser

pytestmark = pytest.mark.unit
EXEMPT = {
    "vit_small_patch16_224": {"cls_token", "pos_embed"},
    "swin_tiny_patch4_window7_224": {"relative_position_bias_table"},
    "dat_tiny": {"relative_position_bias_table", "position_bias"},
}


def decayed(model: nn.Module) -> tuple[set[str], set[str]]:
    """Names of the parameters that decay, and of those that do not."""
    name_of = {id(p): name for name, p in model.named_parameters()}
    groups = make_optimiser(model, Stage1Section(weight_decay=0.05)).param_groups
    names = [{name_of[id(p)] for p in group["params"]} for group in groups]
    pulled = set().union(*(n for n, group in zip(names, groups, strict=True) if group["weight_decay"]))
    return pulled, set().union(*names) - pulled


def check(model: nn.Module, name: str) -> None:
    pulled, spared = decayed(model)
    shape = {key: p.ndim for key, p in model.named_parameters()}
    assert pulled | spared == set(shape)
    tables = {key for key in shape if key.rpartition(".")[2] in EXEMPT.get(name, set())}
    assert {key.rpartition(".")[2] for key in tables} == EXEMPT.get(name, set())
    assert spared == {key for key, ndim in shape.items() if ndim <= 1} | tables


@pytest.mark.parametrize("name", [*PRESETS, "mobilenetv2_100", "resnet10t"])
def test_weight_decay_spares_what_timm_and_the_papers_exempt(name: str) -> None:
    check(build_student(name, 8), name)


@pytest.mark.parametrize("name", [*EXEMPT, "resnet10t"])
def test_the_quantised_copy_spares_the_same_and_trains_folded_biases(name: str) -> None:
    check(fake_quantise(fuse(build_student(name, 8))), name)


@pytest.mark.parametrize("name", ["vit_small_patch16_224", "swin_tiny_patch4_window7_224"])
def test_the_same_as_timm_on_its_own_model(name: str) -> None:
    own = timm.create_model(name, num_classes=0)
    exempt = {f"backbone.{key}" for key, _ in own.named_parameters() if key in own.no_weight_decay()}
    assert exempt
    assert exempt <= decayed(build_student(name, 8))[1]
