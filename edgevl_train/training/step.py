"""One optimiser step of a stage: gradients of a few batches, clipped, over all processes."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from edgevl_core.base.errors import UserError
from edgevl_train.stage_sections import StageSection
from edgevl_train.training.checkpoint import Metrics
from edgevl_train.training.schedule import learning_rate

_SMALLEST_LOSS_SCALE = 2.0**-10  # float16's scale halves at each skipped step; down here every step was skipped


@dataclass(frozen=True)
class Stage:
    """What the loop needs to know about a stage.

    Attributes:
        name: prefix of its checkpoint and its lines in metrics.jsonl.
        section: epochs, schedule, AdamW, accumulation, weight average, early stop.
        steps: batches in an epoch.
        batches: (epoch, first) -> this process's batches of the epoch from number ``first`` on. A batch
            depends on its epoch and number alone (that makes resume exact).
        loss: (model, batch) -> {"loss": scalar to minimise, other scalars to log}; with several processes their
            mean is that of the global batch.
        validate: model -> metrics; "score" is what the best checkpoint maximises.
        score_start: whether the untrained model (epoch 0) is a candidate for the best.
        may_choose: whether an epoch's metrics are good enough to choose by; until those of the kept epoch are, each
            epoch takes the place of the one before.
        start_share: of the weights that the stage began with in those that are validated and kept; the rest is trained.
        cost: epoch (from 0) -> the time of one of its batches next to those of other epochs, for the time that is left.
        kept: model -> what of it the best weights are of; the rest is there for the training alone.
        cure: what to do if it diverges; ``{name}`` becomes the stage's name.
        optimiser: model -> its optimiser; the rate of a parameter group is multiplied with its ``share``, if any. None:
            AdamW as :func:`edgevl_train.training.schedule.make_optimiser` makes it.
    """

    name: str
    section: StageSection
    steps: int
    batches: Callable[[int, int], Iterable[Any]]
    loss: Callable[[nn.Module, Any], dict[str, Tensor]]
    validate: Callable[[nn.Module], Metrics]
    score_start: bool = False
    may_choose: Callable[[Metrics], bool] = lambda metrics: True
    start_share: float = 0.0
    cost: Callable[[int], float] = lambda epoch: 1.0
    kept: Callable[[nn.Module], nn.Module] = lambda model: model
    cure: str = "lower {name}.lr or {name}.clip_norm"
    optimiser: Callable[[nn.Module], torch.optim.Optimizer] | None = None


@dataclass(frozen=True)
class Learner:
    """What changes in a step. ``model`` and ``optimiser`` are Fabric's; ``average`` follows the weights."""

    model: Any
    optimiser: Any
    average: AveragedModel | None


def diverged(stage: Stage, what: str, epoch: int, batch: int) -> UserError:
    """The error that ends a stage whose numbers are no longer finite; epoch and batch count from 1."""
    return UserError(
        f"{stage.name}: the {what} is not finite at epoch {epoch}, batch {batch}: "
        f"{stage.cure.format(name=stage.name)}; the last good checkpoint is kept"
    )


def take_step(
    learner: Learner, stage: Stage, fabric: Fabric, group: Sequence[Any], epoch: int, first: int, seed: int, told: bool
) -> tuple[list[Metrics], bool]:
    """Change the weights by the mean gradient of the batches of ``group``.

    Args:
        epoch: finished epochs; first: batches of this epoch that were used before.
        told: whether this process was told to stop.

    Returns:
        The losses of each batch, means over all processes; and whether any process was told to stop.

    Raises:
        UserError: a loss or a gradient is not finite; the weights are the old ones.
    """
    _set_rate(learner.optimiser, stage, epoch, first)
    torch.manual_seed(_seed(seed, epoch, first, fabric.global_rank))  # for what the network draws itself: dropout
    learner.optimiser.zero_grad(set_to_none=True)
    history, stop = [], False
    for number, batch in enumerate(group, first + 1):
        with fabric.no_backward_sync(learner.model, enabled=number < first + len(group)):
            losses = stage.loss(learner.model, batch)
            means, stopping = _shared(losses, told, fabric)
            if not math.isfinite(means["loss"]):
                raise diverged(stage, "loss", epoch + 1, number)
            fabric.backward(losses["loss"] / len(group))
        history.append(means)
        stop |= stopping
    norm = fabric.clip_gradients(
        learner.model, learner.optimiser, max_norm=stage.section.clip_norm, error_if_nonfinite=False
    )
    if (norm is None or not math.isfinite(norm)) and not _skips(fabric):
        raise diverged(stage, "gradient", epoch + 1, first + len(group))
    learner.optimiser.step()
    if learner.average is not None:
        learner.average.update_parameters(learner.model.module)
    return history, stop


def _set_rate(optimiser: Any, stage: Stage, epoch: int, first: int) -> None:
    per_epoch = math.ceil(stage.steps / stage.section.accumulate)
    update = epoch * per_epoch + first // stage.section.accumulate
    for settings in optimiser.param_groups:
        rate = learning_rate(stage.section, update, stage.section.epochs * per_epoch)
        settings["lr"] = rate * settings.get("share", 1.0)


def _shared(losses: dict[str, Tensor], told: bool, fabric: Fabric) -> tuple[Metrics, bool]:
    """Means over the processes, and whether one of them was told to stop: one message, so that all act alike."""
    values = torch.stack([value.detach().float() for value in losses.values()])
    shared = fabric.all_reduce(torch.cat([values, values.new_tensor([float(told)])]), reduce_op="mean")
    *means, stopping = torch.as_tensor(shared).tolist()
    return dict(zip(losses, means, strict=True)), stopping > 0


def _skips(fabric: Fabric) -> bool:
    """Whether a gradient that is not finite is float16's usual overflow: the scaler skips the step, scales down."""
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    return scaler is not None and scaler.get_scale() > _SMALLEST_LOSS_SCALE


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
