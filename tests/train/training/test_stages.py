"""Both stages on made-up data: they learn, the best epoch is chosen on validation, resuming changes nothing."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from edgevl_core.base.errors import UserError
from edgevl_train.data.batches import make_batches
from edgevl_train.data.run_data import RunData
from edgevl_train.recipe import Recipe
from edgevl_train.stage_sections import Stage1Section
from edgevl_train.student.network import Student, build_student
from edgevl_train.training.context import RunContext
from edgevl_train.training.distillation import long_warmups
from edgevl_train.training.schedule import learning_rate
from edgevl_train.training.stage1_distillation import distil
from edgevl_train.training.stage2_contrastive import contrast, quantised_copy

pytestmark = pytest.mark.train


def make_student(recipe: Recipe, data: RunData) -> Student:
    torch.manual_seed(0)
    return build_student(recipe.student.name, data.bank.shape[1], backbone=recipe.student.backbone)


def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="32-true")


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    return recipe.model_copy(update={"stage1": recipe.stage1.model_copy(update={"epochs": epochs})})


def test_batches_depend_on_seed_and_epoch_alone(run_data: RunData, tiny_recipe: Recipe) -> None:
    batches, steps = make_batches(run_data, tiny_recipe, 32, 1, fabric())
    first, second = list(batches(4)), list(batches(4))
    assert len(first) == steps == len(run_data.train) // 32
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0].pixels, next(batches(5)).pixels)
    assert first[0].pixels.shape == (64, 3, 32, 32)


def test_the_first_epochs_of_stage_1_see_small_pictures(run_data: RunData, tiny_recipe: Recipe) -> None:
    small = tiny_recipe.stage1.model_copy(update={"small_share": 0.6, "small_scale": 0.74})
    recipe = tiny_recipe.model_copy(update={"stage1": small})
    sides = {
        (stage, epoch): next(make_batches(run_data, recipe, 32, stage, fabric())[0](epoch)).pixels.shape[-1]
        for stage in (1, 2)
        for epoch in (0, 1)  # of two: 0.6 of them is one
    }
    assert sides == {(1, 0): 24, (1, 1): 32, (2, 0): 32, (2, 1): 32}


def test_view_0_is_the_robots_own_input(run_data: RunData, tiny_recipe: Recipe) -> None:
    only_full = dataclasses.replace(
        run_data,
        views=dataclasses.replace(run_data.views, boxes=run_data.views.boxes[:1], flips=run_data.views.flips[:1]),
    )
    quiet = tiny_recipe.depth_augment.model_copy(update={"hole_probability": 0.0, "range_jitter": 0.0})
    untouched = tiny_recipe.rgb_augment.model_validate(dict.fromkeys(type(tiny_recipe.rgb_augment).model_fields, 0.0))
    lit = tiny_recipe.low_light.model_copy(update={"probability": 0.0})
    recipe = tiny_recipe.model_copy(update={"depth_augment": quiet, "rgb_augment": untouched, "low_light": lit})
    batches, _ = make_batches(only_full, recipe, 32, 1, fabric())
    seen = {bytes(image.byte().permute(1, 2, 0).contiguous().numpy()) for image in next(batches(0)).pixels}
    stored = {bytes(image) for array in (run_data.cache.full_rgb, run_data.cache.full_depth) for image in array}
    assert seen <= stored


def test_schedule() -> None:
    section = Stage1Section(lr=1.0, min_lr=0.1, warmup_steps=5)
    assert learning_rate(section, 0, 40) == pytest.approx(0.2)
    assert learning_rate(section, 5, 40) == pytest.approx(1.0)
    assert learning_rate(section, 40, 40) == pytest.approx(0.1)


def test_a_warm_up_that_never_ends_is_said(run_data: RunData, tiny_recipe: Recipe) -> None:
    """256 pairs in batches of 32, twice: 16 steps, or 8 where two batches make a step."""

    def said(**settings: int) -> list[str]:
        section = tiny_recipe.stage1.model_copy(update=settings)
        return long_warmups(run_data, tiny_recipe.model_copy(update={"stage1": section}), fabric())

    assert said(warmup_steps=15) == said(warmup_steps=16, epochs=0) == []
    (line,) = said(warmup_steps=16)
    assert line == (
        "stage1.warmup_steps=16 of 16 optimiser steps in all: the learning rate never falls; log more pairs, or set "
        "stage1.warmup_steps=1"
    )
    assert len(said(warmup_steps=8, accumulate=2)) == 1


def test_both_stages_learn(run_data: RunData, tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = with_epochs(tiny_recipe, 6)
    student = make_student(recipe, run_data)
    best = distil(student, run_data, recipe, RunContext(fabric(), tmp_path, "f"))
    assert best.metrics["agree_rgb"] > 0.7
    assert best.metrics["agree_depth"] > 0.7
    quantised = quantised_copy(student, run_data, recipe.stage2)
    chosen = contrast(quantised, run_data, recipe, RunContext(fabric(), tmp_path, "f"))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    stage2 = [line for line in lines if line["stage"] == "stage2"]
    assert [line["epoch"] for line in stage2] == [0, 1]
    assert chosen.metrics["score"] == pytest.approx(max(line["score"] for line in stage2), abs=1e-5)
    assert stage2[1]["triplets"] > 0


def test_a_resumed_run_ends_with_the_same_weights(run_data: RunData, tiny_recipe: Recipe, tmp_path: Path) -> None:
    unbroken = make_student(tiny_recipe, run_data)
    distil(unbroken, run_data, tiny_recipe, RunContext(fabric(), tmp_path / "a", "f"))

    def cut_off(done: int, total: int, message: str) -> None:
        if done > total // 2 + 2:
            raise KeyboardInterrupt

    (tmp_path / "b").mkdir()
    with pytest.raises(KeyboardInterrupt):
        distil(
            make_student(tiny_recipe, run_data),
            run_data,
            tiny_recipe,
            RunContext(fabric(), tmp_path / "b", "f", cut_off),
        )
    resumed = make_student(tiny_recipe, run_data)
    distil(resumed, run_data, tiny_recipe, RunContext(fabric(), tmp_path / "b", "f"))
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert (tmp_path / "a/metrics.jsonl").read_text() == (tmp_path / "b/metrics.jsonl").read_text()


def test_checkpoint_of_another_recipe_is_refused(run_data: RunData, tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = with_epochs(tiny_recipe, 1)
    distil(make_student(recipe, run_data), run_data, recipe, RunContext(fabric(), tmp_path, "f"))
    with pytest.raises(UserError, match="another recipe"):
        distil(make_student(recipe, run_data), run_data, recipe, RunContext(fabric(), tmp_path, "g"))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    run_data: RunData, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    distil(
        make_student(tiny_recipe, run_data), run_data, with_epochs(tiny_recipe, 1), RunContext(fabric(), tmp_path, "f")
    )
    poisoned = dataclasses.replace(run_data, targets=run_data.targets * float("nan"))
    with pytest.raises(UserError, match=r"epoch 2, batch 1"):
        distil(make_student(tiny_recipe, run_data), poisoned, tiny_recipe, RunContext(fabric(), tmp_path, "f"))
    assert torch.load(tmp_path / "checkpoints/stage1.pt", weights_only=True)["epoch"] == 1
