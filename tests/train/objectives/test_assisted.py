"""What is trained beside a student teaches it, is resumed with it, and is gone afterwards."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgevl_core.base.errors import UserError
from edgevl_train.data.batches import Batch
from edgevl_train.data.run_data import RunData
from edgevl_train.objectives.assisted import Assisted, assisted
from edgevl_train.objectives.feature import DISTANCES
from edgevl_train.objectives.soft_labels import label_divergence
from edgevl_train.recipe import Recipe, parse_recipe
from edgevl_train.student.network import Student, build_student
from edgevl_train.teacher.tokens import GRID
from edgevl_train.training.context import RunContext
from edgevl_train.training.distillation import train_stage
from edgevl_train.training.stage1_distillation import distil

pytestmark = pytest.mark.train
ALL = {"exit_weight": 0.5, "exit_words": "labels", "pca_weight": 1.0, "gl_weight": 1.0, "adversary_weight": 0.1}


def with_stage1(recipe: Recipe, **settings: object) -> Recipe:
    data = recipe.model_dump()
    data["stage1"] |= settings
    return parse_recipe(data, origin="test")


def with_tokens(data: RunData, width: int = 6) -> RunData:
    """Tokens that tell the kind of a pair."""
    of_kind = np.random.default_rng(1).normal(size=(data.pseudo_label.max() + 1, GRID**2 * width))
    views = data.targets.shape[0]
    return dataclasses.replace(data, tokens=of_kind[data.pseudo_label][None].repeat(views, 0).astype(np.float16))


def make_student(recipe: Recipe, data: RunData) -> Student:
    torch.manual_seed(0)
    return build_student(recipe.student.name, data.bank.shape[1], backbone=recipe.student.backbone)


def context(directory: Path) -> RunContext:
    directory.mkdir(exist_ok=True)
    return RunContext(Fabric(accelerator="cpu", devices=1, precision="32-true"), directory, "f")


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(
    "settings",
    [{"loss": "cosine"}, {"loss": "l1", "ema_decay": 0.9}, {"loss": "mse", "label_weight": 0.1}],
    ids=["cosine", "l1", "mse and words"],
)
def test_a_recipe_without_helpers_learns_as_it_always_did(
    settings: dict[str, object], run_data: RunData, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """To the last bit: the loss of the first release, written out, gives the same weights."""
    recipe = with_stage1(tiny_recipe, epochs=1, **settings)
    section = recipe.stage1
    far, bank = DISTANCES[section.loss], torch.from_numpy(run_data.bank)

    def first(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        embedding = model(batch.pixels)
        rgb, depth = embedding.chunk(2)
        loss = section.distil_weight * (far(rgb, batch.target) + far(depth, batch.target))
        if section.label_weight:
            words = label_divergence(embedding, batch.target.repeat(2, 1), bank, run_data.logit_scale)
            loss = loss + section.label_weight * words
        return {"loss": loss}

    plain = make_student(recipe, run_data).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train_stage(1, plain, first, run_data, recipe, context(tmp_path / "a"), score_start=False)
    student = make_student(recipe, run_data)
    distil(student, run_data, recipe, context(tmp_path / "b"))
    expected = weights(plain)
    for name, tensor in weights(student).items():
        assert torch.equal(tensor, expected[name]), name


def test_helpers_are_trained_resumed_and_gone(run_data: RunData, tiny_recipe: Recipe, tmp_path: Path) -> None:
    """Small pictures come first, and a share of the first weights stays: a run that was cut off ends alike."""
    recipe, data = with_stage1(tiny_recipe, **ALL, small_share=0.5, start_share=0.2), with_tokens(run_data)
    unbroken = make_student(recipe, data)
    best = distil(unbroken, data, recipe, context(tmp_path / "a"))
    assert set(best.state) == set(make_student(recipe, data).state_dict())
    saved = torch.load(tmp_path / "a/checkpoints/stage1.pt", weights_only=True)
    assert any(name.startswith("helpers.gl") for name in saved["model"])
    assert set(saved["best"]["state"]) == set(best.state)

    def cut_off(done: int, total: int, message: str) -> None:
        if done > total // 2 + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil(
            make_student(recipe, data), data, recipe, dataclasses.replace(context(tmp_path / "b"), on_progress=cut_off)
        )
    resumed = make_student(recipe, data)
    distil(resumed, data, recipe, context(tmp_path / "b"))
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize(
    "alone", [{"exit_weight": 1.0, "exit_words": "labels"}, {"gl_weight": 1.0}, {"pca_weight": 1.0}]
)
def test_each_helper_alone_teaches_the_backbone(
    alone: dict[str, object], run_data: RunData, tiny_recipe: Recipe
) -> None:
    recipe, data = with_stage1(tiny_recipe, distil_weight=0.0, **alone), with_tokens(run_data)
    student = make_student(recipe, data)
    network = assisted(student, data, recipe)
    assert isinstance(network, Assisted)
    target, tokens = (torch.from_numpy(each[0, :4].astype(np.float32)) for each in (data.targets, data.tokens))
    embedding, maps = network.train()(torch.rand(8, 3, 32, 32) * 255, with_maps=True)
    losses = network.losses(embedding, maps, target, tokens)
    assert embedding.shape == (8, data.bank.shape[1])
    (loss,) = losses.values()
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.helpers.parameters())
    assert sum(float(each.grad.abs().sum()) for each in student.backbone.parameters() if each.grad is not None) > 0


def test_the_random_numbers_of_a_run_are_not_touched(run_data: RunData, tiny_recipe: Recipe) -> None:
    recipe, data = with_stage1(tiny_recipe, **ALL), with_tokens(run_data)
    student = make_student(recipe, data)
    before = torch.get_rng_state()
    first, second = (weights(assisted(student, data, recipe)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_cannot_be_is_said(run_data: RunData, tiny_recipe: Recipe) -> None:
    with pytest.raises(UserError, match="adversary_weight tells apart the tokens that gl_weight makes"):
        with_stage1(tiny_recipe, adversary_weight=0.1)
    recipe = with_stage1(tiny_recipe, exit_weight=1.0, exit_words="labels")
    student = make_student(recipe, run_data)
    student.backbone = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    with pytest.raises(UserError, match=r"gives no maps of its stages .* take a timm backbone"):
        assisted(student, run_data, recipe)
    with pytest.raises(ValueError, match="no words for loss_exit"):
        assisted(make_student(recipe, run_data), run_data, with_stage1(tiny_recipe, exit_weight=1.0))
    data = tiny_recipe.model_dump()
    data["stage1"]["gl_weight"], data["student"]["start_from"] = 1.0, "run"
    with pytest.raises(UserError, match="earlier runs have no teacher's tokens"):
        parse_recipe(data, origin="test")


def test_activations_are_computed_again_where_the_backbone_can(
    run_data: RunData, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = with_stage1(tiny_recipe, epochs=1, checkpointing=True)
    student = make_student(recipe, run_data)
    distil(student, run_data, recipe, context(tmp_path))
    assert not student.backbone.grad_checkpointing
    student.backbone = nn.Identity()
    with pytest.raises(UserError, match=r"stage1\.checkpointing: Identity cannot"):
        distil(student, run_data, recipe, context(tmp_path))


def test_in_mixed_precision_targets_and_logits_stay_exact(
    run_data: RunData, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, dict[str, Tensor]]] = []
    told = Assisted.losses

    def losses(self: Assisted, *given: object) -> dict[str, Tensor]:
        found = told(self, *given)  # type: ignore[arg-type]
        seen.append((given[2], found))  # type: ignore[arg-type]
        return found

    monkeypatch.setattr(Assisted, "losses", losses)
    recipe, data = with_stage1(tiny_recipe, epochs=1, **ALL), with_tokens(run_data)
    mixed = RunContext(Fabric(accelerator="cpu", devices=1, precision="bf16-mixed"), tmp_path, "f")
    distil(make_student(recipe, data), data, recipe, mixed)
    for target, found in seen:
        assert target.dtype == torch.float32
        assert len(found) == 4
        assert all(loss.dtype == torch.float32 and bool(loss.isfinite()) for loss in found.values())
