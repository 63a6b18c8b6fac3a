"""The training loop that both stages share: epochs, schedule, clipping, validation, checkpoint, exact resume."""

import io
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgevl_core.atomic import atomic_write
from edgevl_core.errors import UserError

Metrics = dict[str, float]


@dataclass(frozen=True)
class Stage:
    """What the loop needs to know about a stage.

    Attributes:
        name: prefix of its checkpoint and its lines in metrics.jsonl.
        epochs, steps_per_epoch: the length of the cosine schedule.
        lr, min_lr, warmup_steps, weight_decay, clip_norm: AdamW and its surroundings.
        batches: epoch -> the batches of this epoch, a function of the epoch alone (that makes resume exact).
        loss: (model, batch) -> {"loss": scalar to minimise, other scalars to log}.
        validate: model -> metrics; "score" is what the best checkpoint maximises.
        fingerprint: a checkpoint with another one is refused.
        score_start: whether the untrained model (epoch 0) is a candidate for the best.
    """

    name: str
    epochs: int
    steps_per_epoch: int
    lr: float
    min_lr: float
    weight_decay: float
    clip_norm: float
    batches: Callable[[int], Iterable[Any]]
    loss: Callable[[nn.Module, Any], dict[str, Tensor]]
    validate: Callable[[nn.Module], Metrics]
    fingerprint: str
    warmup_steps: int = 0
    score_start: bool = False


@dataclass
class Best:
    """The best epoch (0: before training), its validation metrics and weights (on the CPU)."""

    epoch: int = -1
    metrics: Metrics = field(default_factory=dict)
    state: dict[str, Tensor] = field(default_factory=dict)


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up, then a half cosine from lr to min_lr over all steps of the stage."""
    if step < stage.warmup_steps:
        return stage.lr * (step + 1) / stage.warmup_steps
    total = max(1, stage.epochs * stage.steps_per_epoch - stage.warmup_steps)
    share = min(1.0, (step - stage.warmup_steps) / total)
    return stage.min_lr + (stage.lr - stage.min_lr) * (1 + math.cos(math.pi * share)) / 2


def fit(
    model: nn.Module,
    stage: Stage,
    fabric: Fabric,
    directory: Path,
    on_progress: Callable[[int, int, str], None] = lambda done, total, message: None,
    *,
    seed: int = 0,
) -> Best:
    """Train ``model`` and return its best epoch; the model holds the last epoch's weights afterwards.

    After each epoch ``directory/checkpoints/<stage>.pt`` holds weights, optimiser and best so far, and
    ``directory/metrics.jsonl`` one more line. A call that finds this checkpoint goes on after it: since each
    epoch seeds its own randomness, the result is that of an unbroken run, bit for bit on the CPU.

    Raises:
        UserError: a loss that is not finite (the last good checkpoint stays), a checkpoint of another recipe.
    """
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": stage.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    wrapped, optimiser = fabric.setup(model, torch.optim.AdamW(groups, lr=stage.lr))
    checkpoint = directory / "checkpoints" / f"{stage.name}.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    best = Best()
    start = _restore(checkpoint, stage, model, optimiser, best)
    if start == 0 and stage.score_start:
        metrics = _validated(stage, wrapped, best, 0, model)
        _log(directory, stage.name, 0, metrics)
    for epoch in range(start, stage.epochs):
        torch.manual_seed(seed * 1_000_003 + epoch)
        totals = _epoch(wrapped, optimiser, stage, fabric, epoch, on_progress)
        metrics = totals | _validated(stage, wrapped, best, epoch + 1, model)
        _log(directory, stage.name, epoch + 1, metrics)
        _save(checkpoint, stage, model, optimiser, best, epoch + 1)
        message = f"epoch {epoch + 1}/{stage.epochs}, loss {totals['loss']:.4f}, validation {metrics['score']:.3f}"
        on_progress((epoch + 1) * stage.steps_per_epoch, stage.epochs * stage.steps_per_epoch, message)
    return best


def _epoch(
    model: Any,
    optimiser: Any,
    stage: Stage,
    fabric: Fabric,
    epoch: int,
    on_progress: Callable[[int, int, str], None],
) -> Metrics:
    model.train()
    sums: dict[str, float] = {}
    for number, batch in enumerate(stage.batches(epoch)):
        step = epoch * stage.steps_per_epoch + number
        rate = learning_rate(stage, step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        losses = stage.loss(model, batch)
        value = float(losses["loss"].detach())
        if not math.isfinite(value):
            raise UserError(
                f"{stage.name}: the loss is {value} at epoch {epoch + 1}, batch {number + 1}: lower {stage.name}.lr or "
                "clip_norm; the checkpoint of the epoch before is kept"
            )
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(losses["loss"])
        fabric.clip_gradients(model, optimiser, max_norm=stage.clip_norm)
        optimiser.step()
        for name, tensor in losses.items():
            sums[name] = sums.get(name, 0.0) + float(tensor.detach())
        on_progress(
            step + 1,
            stage.epochs * stage.steps_per_epoch,
            f"epoch {epoch + 1}/{stage.epochs}, loss {value:.4f}",
        )
    return {name: total / stage.steps_per_epoch for name, total in sums.items()}


def _validated(stage: Stage, wrapped: Any, best: Best, epoch: int, model: nn.Module) -> Metrics:
    wrapped.eval()
    with torch.no_grad():
        metrics = stage.validate(wrapped)
    if best.epoch < 0 or metrics["score"] > best.metrics["score"]:
        best.epoch, best.metrics = epoch, metrics
        best.state = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    return metrics


def _log(directory: Path, stage: str, epoch: int, metrics: Metrics) -> None:
    """One line per stage and epoch; a line that a cut-off run has left for this epoch, or later ones, is replaced."""
    path = directory / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if not ((old := json.loads(line))["stage"] == stage and old["epoch"] >= epoch)]
    rounded = {name: round(value, 6) for name, value in metrics.items()}
    kept.append(json.dumps({"stage": stage, "epoch": epoch, **rounded}))
    atomic_write(path, ("\n".join(kept) + "\n").encode())


def _save(path: Path, stage: Stage, model: nn.Module, optimiser: Any, best: Best, epoch: int) -> None:
    content = {
        "fingerprint": stage.fingerprint,
        "epoch": epoch,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "best": {"epoch": best.epoch, "metrics": best.metrics, "state": best.state},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    atomic_write(path, buffer.getvalue())


def _restore(path: Path, stage: Stage, model: nn.Module, optimiser: Any, best: Best) -> int:
    """Epochs already done; 0 where there is no checkpoint."""
    if not path.exists():
        return 0
    content = torch.load(path, map_location="cpu", weights_only=True)
    if content["fingerprint"] != stage.fingerprint:
        raise UserError(
            f"{path} was made by another recipe, teacher or data: resume with those, or choose a new --out directory"
        )
    model.load_state_dict(content["model"])
    optimiser.load_state_dict(content["optimiser"])
    best.epoch, best.metrics, best.state = (content["best"][key] for key in ("epoch", "metrics", "state"))
    return int(content["epoch"])
