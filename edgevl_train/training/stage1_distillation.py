"""Stage 1: dual-modality distillation, L = d(S(x), T(x)) + d(S(x'), T(x)) (EdgeVL, arXiv 2403.04908, equation 1)."""

import torch
from torch import Tensor, nn

from edgevl_train.data.batches import Batch
from edgevl_train.data.run_data import RunData
from edgevl_train.recipe import Recipe
from edgevl_train.student.network import Student
from edgevl_train.training.context import RunContext
from edgevl_train.training.distillation import train_stage
from edgevl_train.training.loop import Best
from edgevl_train.training.objective import make_objective


def distil(student: Student, data: RunData, recipe: Recipe, context: RunContext) -> Best:
    """Train ``student`` in place; it holds the best epoch's weights afterwards, earlier runs' (epoch 0) included."""
    objective = make_objective(data, recipe.stage1, recipe.stage1.loss, context.fabric.device)

    def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return objective(model(batch.pixels), batch.target)

    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's overloads
    from_earlier = recipe.student.start_from is not None or bool(recipe.student.merge)
    return train_stage(1, student, loss, data, recipe, context, score_start=from_earlier)
