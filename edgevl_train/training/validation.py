"""How well a student follows its teacher on validation pairs, after every epoch; no true label is involved."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgevl_core.bundle.fusion import probabilities
from edgevl_train.data.run_data import RunData, commonest_share
from edgevl_train.sharing import Share, alone

CHANCE_MARGIN = 0.02
Embed = Callable[[Tensor], Tensor]  # (N, 3, S, S) uint8 -> (N, D): a network, or an engine


@torch.no_grad()
def embed_full(
    model: Embed,
    data: RunData,
    rows: NDArray[np.int64],
    device: torch.device,
    batch: int = 128,
    share: Share = alone,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings of the whole frames ``rows``: RGB (M, D) and depth (M, D) float32."""

    def embed(start: int) -> list[NDArray[np.float32]]:
        some = rows[start : start + batch]
        pixels = (torch.from_numpy(images[some]) for images in (data.cache.full_rgb, data.cache.full_depth))
        return [model(each.permute(0, 3, 1, 2).to(device)).float().cpu().numpy() for each in pixels]

    rgb, depth = zip(*share(range(0, len(rows), batch), embed), strict=True)
    return np.concatenate(rgb), np.concatenate(depth)


def validator(data: RunData, device: torch.device, share: Share = alone) -> Callable[[Embed], dict[str, float]]:
    """A function model -> validation metrics against the teacher's RGB; no true label is involved.

    ``cos_*``: mean cosine. ``agree_*``: share of pairs with the teacher's answer over the label set. ``overlap_*``:
    mean of what the probabilities of both have in common, 1 - their total variation: agreement, but dense.
    ``*_before``: the same on the validation pairs of the runs that are replayed. ``score``: what the best epoch
    maximises, the mean of cosines and overlaps; of few pairs a single one must not decide, as it does among shares of
    right answers. ``above_chance``: 1 where agreement is better by more than 0.02 than always giving the teacher's
    commonest answer, otherwise 0. Several processes that ``share`` embed a part of the pairs each.
    """
    home = _metrics_of_model([data], device, share)
    before = _metrics_of_model(data.replay, device, share) if any(len(part.val) for part in data.replay) else None
    chance = commonest_share(data.answers(data.val))

    def validate(model: Embed) -> dict[str, float]:
        metrics = home(model)
        agreement, score = (metrics["agree_rgb"] + metrics["agree_depth"]) / 2, _score(metrics)
        if before is not None:
            earlier = before(model)
            score = (score + _score(earlier)) / 2
            metrics |= {f"{name}_before": value for name, value in earlier.items()}
        return metrics | {"score": score, "above_chance": float(agreement > chance + CHANCE_MARGIN)}

    return validate


def _score(metrics: dict[str, float]) -> float:
    return float(np.mean([value for name, value in metrics.items() if name.startswith(("cos", "overlap"))]))


def _metrics_of_model(
    sources: Sequence[RunData], device: torch.device, share: Share
) -> Callable[[Embed], dict[str, float]]:
    """A function model -> cos, agree and overlap, of rgb and depth, over the validation pairs of all sources."""
    parts = [source for source in sources if len(source.val)]
    targets = [np.asarray(part.targets[0, part.val], np.float32) for part in parts]
    target, bank = np.concatenate(targets), sources[0].bank
    scale = sources[0].logit_scale
    soft = probabilities(target, bank, scale, 1.0)
    answer = soft.argmax(1)

    def metrics_of(model: Embed) -> dict[str, float]:
        found = [embed_full(model, part, part.val, device, share=share) for part in parts]
        metrics = {}
        for name, embeddings in zip(("rgb", "depth"), zip(*found, strict=True), strict=True):
            embedding = np.concatenate(embeddings)
            metrics[f"cos_{name}"] = float((embedding * target).sum(1).mean())
            given = probabilities(embedding, bank, scale, 1.0)
            metrics[f"agree_{name}"] = float((given.argmax(1) == answer).mean())
            metrics[f"overlap_{name}"] = float(np.minimum(given, soft).sum(1).mean())
        return metrics

    return metrics_of


def may_choose(data: RunData) -> Callable[[dict[str, float]], bool]:
    """Whether an epoch's validation metrics may choose: the pairs stand for the home, and agreement left chance."""
    return lambda metrics: data.stands and bool(metrics["above_chance"])
