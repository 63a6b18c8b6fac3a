"""Stage 1: dual-modality distillation, L = d(S(x), T(x)) + d(S(x'), T(x)) (EdgeVL, arXiv 2403.04908, equation 1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from edgevl_core.base.errors import UserError
from edgevl_train.data.batches import Batch
from edgevl_train.data.run_data import RunData
from edgevl_train.objectives.assisted import Assisted, assisted
from edgevl_train.objectives.combined import make_objective
from edgevl_train.recipe import Recipe
from edgevl_train.student.network import Student
from edgevl_train.training.context import RunContext
from edgevl_train.training.distillation import train_stage
from edgevl_train.training.loop import Best


def distil(student: Student, data: RunData, recipe: Recipe, context: RunContext) -> Best:
    """Train ``student`` in place; it holds the best epoch's weights afterwards, earlier runs' (epoch 0) included.

    What the recipe trains beside it is gone afterwards.
    """
    section = recipe.stage1
    objective = make_objective(data, section, section.loss, context.fabric.device)
    network = assisted(student, data, recipe)

    def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        if not isinstance(network, Assisted):
            return objective(model(batch.pixels), batch.target)
        embedding, maps = model(batch.pixels, with_maps=True)
        beside = network.losses(embedding, maps, batch.target, batch.tokens)
        found = objective(embedding, batch.target) | beside
        weights = {name: getattr(section, name.replace("loss_", "") + "_weight") for name in beside}
        return found | {"loss": found["loss"] + sum(weights[name] * value for name, value in beside.items())}

    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's overloads
    from_earlier = recipe.student.start_from is not None or bool(recipe.student.merge)
    with _checkpointing(student.backbone, section.checkpointing):
        return train_stage(1, network, loss, data, recipe, context, score_start=from_earlier)


@contextmanager
def _checkpointing(backbone: Any, on: bool) -> Iterator[None]:
    """While the block trains, activations are computed again instead of kept; off again before it is exported."""
    if not on:
        yield
        return
    try:
        backbone.set_grad_checkpointing(True)
    except (AttributeError, AssertionError) as error:
        name = type(backbone).__name__
        raise UserError(
            f"stage1.checkpointing: {name} cannot compute its activations again; set it to false"
        ) from error
    try:
        yield
    finally:
        backbone.set_grad_checkpointing(False)
