"""Stage 1: dual-modality distillation, L = d(S(x), T(x)) + d(S(x'), T(x)) (EdgeVL, arXiv 2403.04908, equation 1)."""

from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgevl_train.batches import Batch, make_batches
from edgevl_train.data import RunData
from edgevl_train.loop import Best, Stage, fit
from edgevl_train.losses import DISTANCES, Distance, label_divergence
from edgevl_train.recipe import Recipe
from edgevl_train.student import Student
from edgevl_train.validation import may_choose, validator


def distillation_loss(embedding: Tensor, target: Tensor, distance: Distance) -> tuple[Tensor, Tensor]:
    """The RGB and the depth term.

    Args:
        embedding: (2B, D), L2-normalised: RGB first, then depth of the same pairs.
        target: (B, D), the teacher's embedding of the RGB.
    """
    rgb, depth = embedding.chunk(2)
    return distance(rgb, target), distance(depth, target)


def distil(
    student: Student,
    data: RunData,
    recipe: Recipe,
    fabric: Fabric,
    directory: Path,
    fingerprint: str,
    on_progress: Callable[[int, int, str], None] = lambda done, total, message: None,
) -> Best:
    """Train ``student`` in place; it holds the best epoch's weights afterwards, an earlier run's (epoch 0) included."""
    section = recipe.stage1
    distance = DISTANCES[section.loss]
    batches, steps = make_batches(data, recipe, section.batch, 1, fabric)

    bank = torch.from_numpy(data.bank).to(fabric.device)

    def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        embedding = model(batch.pixels)
        rgb, depth = distillation_loss(embedding, batch.target, distance)
        found = {"loss": rgb + depth, "loss_rgb": rgb, "loss_depth": depth}
        if section.label_weight:
            found["loss_labels"] = label_divergence(embedding, batch.target.repeat(2, 1), bank, data.logit_scale)
            found["loss"] = found["loss"] + section.label_weight * found["loss_labels"]
        return found

    stage = Stage(
        name="stage1",
        section=section,
        steps=steps,
        batches=batches,
        loss=loss,
        validate=validator(data, fabric.device),
        fingerprint=fingerprint,
        may_choose=may_choose(data),
        score_start=recipe.student.start_from is not None,
    )
    student.to(memory_format=torch.channels_last)
    engine = {"seed": recipe.seed, "checkpoint_every_s": recipe.checkpoint_every_s}
    best = fit(student, stage, fabric, directory, on_progress, **engine)
    student.load_state_dict(best.state)
    return best
