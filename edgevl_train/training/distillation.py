"""What both stages of the distillation do around their loss: batches, validation, the loop, the best weights kept."""

import math
from collections.abc import Callable

from lightning_fabric import Fabric
from torch import Tensor, nn

from edgevl_train.data.batches import Batch, make_batches, picture_side_px
from edgevl_train.data.run_data import RunData
from edgevl_train.objectives.assisted import kept
from edgevl_train.recipe import Recipe
from edgevl_train.sharing import among
from edgevl_train.training.context import RunContext
from edgevl_train.training.loop import Best, Stage, fit
from edgevl_train.training.validation import may_choose, validator

Loss = Callable[[nn.Module, Batch], dict[str, Tensor]]


def long_warmups(data: RunData, recipe: Recipe, fabric: Fabric) -> list[str]:
    """Stages whose learning rate rises to their end and never falls, a sentence each.

    Raises:
        UserError: a batch cannot be shared out equally.
    """
    found = []
    for number, section in enumerate((recipe.stage1, recipe.stage2), 1):
        if not section.epochs or not section.warmup_steps:
            continue
        _, batches = make_batches(data, recipe, section.batch, number, fabric)
        steps = section.epochs * math.ceil(batches / section.accumulate)
        if section.warmup_steps >= steps:
            found.append(
                f"stage{number}.warmup_steps={section.warmup_steps} of {steps} optimiser steps in all: the learning "
                f"rate never falls; log more pairs, or set stage{number}.warmup_steps={steps // 10}"
            )
    return found


def train_stage(
    number: int,
    network: nn.Module,
    loss: Loss,
    data: RunData,
    recipe: Recipe,
    context: RunContext,
    *,
    score_start: bool,
) -> Best:
    """Train ``network`` in place; what of it is kept holds the best epoch's weights afterwards.

    Args:
        number: 1 or 2, of the stage.
        loss: see :class:`edgevl_train.training.step.Stage`.
        score_start: whether the weights as they are (epoch 0) may be the best.
    """
    section = recipe.stage1 if number == 1 else recipe.stage2
    batches, steps = make_batches(data, recipe, section.batch, number, context.fabric)
    stage = Stage(
        name=f"stage{number}",
        section=section,
        steps=steps,
        batches=batches,
        loss=loss,
        validate=validator(data, context.fabric.device, among(context.fabric)),
        may_choose=may_choose(data),
        score_start=score_start,
        start_share=recipe.stage1.start_share if number == 1 else 0.0,
        cost=lambda epoch: picture_side_px(recipe, number, epoch) ** 2 / recipe.student.size_px**2,
        kept=kept,
    )
    best = fit(network, stage, context, seed=recipe.seed, checkpoint_every_s=recipe.checkpoint_every_s)
    kept(network).load_state_dict(best.state)
    return best
