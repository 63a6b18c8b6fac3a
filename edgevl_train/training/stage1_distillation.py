"""Stage 1: dual-modality distillation, L = d(S(x), T(x)) + d(S(x'), T(x)) (EdgeVL, arXiv 2403.04908, equation 1)."""

import torch
from torch import Tensor, nn

from edgevl_train.data.batches import Batch, make_batches
from edgevl_train.data.run_data import RunData
from edgevl_train.recipe import Recipe
from edgevl_train.student.network import Student
from edgevl_train.training.context import RunContext
from edgevl_train.training.loop import Best, Stage, fit
from edgevl_train.training.objective import make_objective
from edgevl_train.training.validation import may_choose, validator


def distil(student: Student, data: RunData, recipe: Recipe, context: RunContext) -> Best:
    """Train ``student`` in place; it holds the best epoch's weights afterwards, an earlier run's (epoch 0) included."""
    section, fabric = recipe.stage1, context.fabric
    objective = make_objective(data, section, section.loss, fabric.device)
    batches, steps = make_batches(data, recipe, section.batch, 1, fabric)

    def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return objective(model(batch.pixels), batch.target)

    stage = Stage(
        name="stage1",
        section=section,
        steps=steps,
        batches=batches,
        loss=loss,
        validate=validator(data, fabric.device),
        may_choose=may_choose(data),
        score_start=recipe.student.start_from is not None,
    )
    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's overloads
    best = fit(student, stage, context, seed=recipe.seed, checkpoint_every_s=recipe.checkpoint_every_s)
    student.load_state_dict(best.state)
    return best
