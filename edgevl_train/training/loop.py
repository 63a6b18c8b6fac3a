"""The training loop that both stages share: epochs, validation, the best weights, checkpoints, exact resume."""

import contextlib
import copy
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel

from edgevl_train.metrics_file import write_record
from edgevl_train.training.checkpoint import Best, Checkpoint, Metrics, TrainState
from edgevl_train.training.context import RunContext
from edgevl_train.training.schedule import make_optimiser
from edgevl_train.training.signals import signals_held
from edgevl_train.training.step import Learner, Stage, diverged, take_step

__all__ = ["Best", "Stage", "fit"]


def fit(
    model: nn.Module, stage: Stage, context: RunContext, *, seed: int = 0, checkpoint_every_s: float = 300.0
) -> Best:
    """Train ``model`` and return its best epoch; the model holds the last weights afterwards.

    In the context's directory, ``checkpoints/<stage>.pt`` is written after each epoch, every ``checkpoint_every_s``
    seconds between two optimiser steps, and on SIGTERM or SIGINT; ``metrics.jsonl`` gets one line per epoch.
    A call that finds the checkpoint goes on at the very next batch. Since each batch seeds its own randomness,
    the result is that of an unbroken run, bit for bit on the CPU.

    With ``ema_decay`` the exponential moving average of the weights is what is validated and kept. With the stage's
    ``start_share`` it is the mean, so weighted, of the weights at the start and those (WiSE-FT: Wortsman et al.,
    "Robust fine-tuning of zero-shot models", CVPR 2022); BatchNorm's statistics are mixed as well.

    Several processes: every one calls this. Gradients are averaged, so that each process's equal share of a
    batch gives the step that one process would make of all of it. All validate, and may share that out; the first one
    writes and shows progress. BatchNorm is the exception: in training each process normalises with the
    statistics of its own share (synchronised BatchNorm exists for CUDA only, and is not used), and the running
    statistics that are validated and kept are the first process's. Keep a process's share at 16 pairs or more,
    or take a student with LayerNorm.

    Raises:
        UserError: a loss, gradient or weight that is not finite (the last good checkpoint stays), a
            checkpoint of another recipe, a full disk.
    """
    optimiser = stage.optimiser(model) if stage.optimiser else make_optimiser(model, stage.section)
    fabric = context.fabric
    wrapped, optimiser = fabric.setup(model, optimiser)
    average = _average(model, stage.section.ema_decay)
    parts = {"model": model, "optimiser": optimiser, "precision": fabric.strategy.precision}
    parts |= {"ema": average} if average is not None else {}
    start = copy.deepcopy(model) if stage.start_share else None
    checkpoint = Checkpoint(context.directory / "checkpoints" / f"{stage.name}.pt", context.fingerprint, parts)
    standing = checkpoint.restore()
    run = _Run(
        stage=stage,
        context=context,
        learner=Learner(wrapped, optimiser, average),
        trained=average.module if average is not None else model,
        start=start,
        checkpoint=checkpoint,
        standing=standing,
        seed=seed,
        checkpoint_every_s=checkpoint_every_s,
    )
    if standing.best.epoch < 0 and stage.score_start:
        run.log(0, run.validate(0))
        if not stage.section.epochs:  # no epoch will end, and the run is to have its student
            run.save()
    while not stage.section.ends(standing.epoch, standing.best.epoch):
        run.train_epoch()
        run.end_epoch()
    standing.best.state = fabric.broadcast(standing.best.state)
    return standing.best


@dataclass
class _Run:
    """A stage being trained; between two calls ``standing`` tells exactly which batches are in the weights.

    ``trained`` is what the steps have made: the model, or the average of its weights. ``start``: what it was before all
    steps, where a share of that is kept.
    """

    stage: Stage
    context: RunContext
    learner: Learner
    trained: nn.Module
    start: nn.Module | None
    checkpoint: Checkpoint
    standing: TrainState
    seed: int
    checkpoint_every_s: float
    saved_s: float = field(default_factory=time.monotonic)
    spent: NDArray[np.float64] = field(init=False)  # (epochs + 1,): what is spent before each epoch, and in all

    def __post_init__(self) -> None:
        costs = [self.stage.cost(epoch) for epoch in range(self.stage.section.epochs)]
        self.spent = np.cumsum([0.0, *costs])

    def train_epoch(self) -> None:
        """What is left of the epoch at which ``standing`` is; a signal ends it between two steps, saved."""
        self.learner.model.train()
        standing = self.standing
        with signals_held() as told, contextlib.closing(self._groups()) as groups:
            for group in groups:
                place = (standing.epoch, standing.batch, self.seed)
                history, stop = take_step(self.learner, self.stage, self.context.fabric, group, *place, told())
                standing.batch += len(group)
                for losses in history:
                    for name, value in losses.items():
                        standing.sums[name] = standing.sums.get(name, 0.0) + value
                if stop or time.monotonic() - self.saved_s >= self.checkpoint_every_s:
                    self.save()
                if stop:
                    raise SystemExit(1)  # for where another process was told; here, the signal itself comes next
                self.show(standing.epoch + 1, f"loss {history[-1]['loss']:.4f}")

    def _groups(self) -> Generator[list[Any], None, None]:
        """Batches that make one optimiser step together; the last group of an epoch may be smaller."""
        group: list[Any] = []
        batches = self.stage.batches(self.standing.epoch, self.standing.batch)
        for number, batch in enumerate(batches, self.standing.batch + 1):
            group.append(batch)
            if len(group) == self.stage.section.accumulate or number == self.stage.steps:
                yield group
                group = []

    def end_epoch(self) -> None:
        """Validate, log, save."""
        standing = self.standing
        try:
            scores = self.validate(standing.epoch + 1)
        except (SystemExit, KeyboardInterrupt):
            self.save()
            raise
        metrics = {name: total / self.stage.steps for name, total in standing.sums.items()} | scores
        standing.epoch, standing.batch, standing.sums = standing.epoch + 1, 0, {}
        with signals_held():  # an epoch that metrics.jsonl tells of is kept
            self.log(standing.epoch, metrics)
            self.save()
        self.show(standing.epoch, f"loss {metrics['loss']:.4f}, validation {metrics['score']:.3f}")

    def validate(self, epoch: int) -> Metrics:
        """Figures of the first process's weights and statistics; keeps them if they are the best so far."""
        judged = self.trained if self.start is None else mixed(self.start, self.trained, self.stage.start_share)
        judged.eval()
        if self.context.fabric.world_size > 1:
            for statistics in judged.buffers():  # BatchNorm's, which are of each process's own share
                torch.distributed.broadcast(statistics, 0)
        with torch.no_grad(), self.context.fabric.autocast():
            metrics = self.context.fabric.broadcast(self.stage.validate(judged))
        best = self.standing.best
        doubtful = best.epoch < 0 or not self.stage.may_choose(best.metrics)
        if doubtful or (self.stage.may_choose(metrics) and metrics["score"] > best.metrics["score"]):
            best.epoch, best.metrics = epoch, metrics
            weights = self.stage.kept(judged).state_dict()
            best.state = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        return metrics

    def save(self) -> None:
        """Write the checkpoint, but never one whose weights are lost."""
        self.saved_s = time.monotonic()
        if self.context.fabric.is_global_zero:
            if not all(tensor.isfinite().all() for tensor in self.learner.model.module.state_dict().values()):
                raise diverged(self.stage, "network", self.standing.epoch + 1, self.standing.batch)
            self.checkpoint.save(self.standing)

    def log(self, epoch: int, metrics: Metrics) -> None:
        """One line in metrics.jsonl, and whoever wants to know of it."""
        if self.context.fabric.is_global_zero:
            self.context.on_record(write_record(self.context.directory, self.stage.name, epoch, metrics))

    def show(self, epoch: int, message: str) -> None:
        """Tell whoever waits how far this is."""
        if self.context.fabric.is_global_zero:
            steps, epochs = self.stage.steps, self.stage.section.epochs
            place = self.standing.epoch * steps + self.standing.batch
            done = np.interp(place, np.arange(epochs + 1) * steps, self.spent * steps)
            total = self.spent[-1] * steps
            self.context.on_progress(round(done), round(total), f"epoch {epoch}/{epochs}, {message}")


@torch.no_grad()
def mixed(start: nn.Module, trained: nn.Module, share: float) -> nn.Module:
    """A copy of ``trained`` whose weights are ``share`` those of ``start``; whole numbers (of batches) are its own."""
    made, first = copy.deepcopy(trained), start.state_dict()
    for name, value in made.state_dict().items():
        if value.is_floating_point():
            value.lerp_(first[name], share)
    return made


def _average(model: nn.Module, decay: float) -> AveragedModel | None:
    """The exponential moving average of weights and BatchNorm statistics; the first step sets it.

    After n steps it keeps min(decay, (1 + n) / (10 + n)) of itself, as TensorFlow's ExponentialMovingAverage does with
    ``num_updates``: without that, a training of fewer steps than 1 / (1 - decay) ends with its first weights.
    """
    if not decay:
        return None

    @torch.no_grad()
    def follow(averages: Sequence[Any], tensors: Sequence[Any], steps: Any) -> None:
        kept = min(decay, (1 + int(steps)) / (10 + int(steps)))
        for average, tensor in zip(averages, tensors, strict=True):
            if average.is_floating_point():
                average.lerp_(tensor, 1 - kept)
            else:
                average.copy_(tensor)  # BatchNorm's number of batches

    return AveragedModel(model, multi_avg_fn=follow, use_buffers=True)
