"""Batches of a run: views of both modalities with the teacher's embedding of the view; and the validation set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgevl_train.augment import jitter_colour
from edgevl_train.cache import Cache
from edgevl_train.recipe import Recipe
from edgevl_train.views import Views, augment_depth, crop


@dataclass(frozen=True)
class RunData:
    """What both stages learn from and are judged by.

    Attributes:
        targets: (K, N, D) float16, the teacher's embeddings of the views.
        train, val: (M,) int64 rows; ``train`` is what curation kept.
        pseudo_label: (N,) int64, in the superset; used by stage 2's triplets only.
        bank: (C, D) float32, text vectors of the label set; logit_scale: the teacher's.
    """

    cache: Cache
    views: Views
    targets: NDArray[np.float16]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    pseudo_label: NDArray[np.int64]
    bank: NDArray[np.float32]
    logit_scale: float


@dataclass(frozen=True)
class Batch:
    """B pairs: (2B, 3, S, S) float32 pixels 0..255 (RGB first, then depth), (B, D) targets, (B,) pseudo-labels."""

    pixels: Tensor
    target: Tensor
    pseudo_label: Tensor


def view_pixels(data: RunData, rows: NDArray[np.int64], view: NDArray[np.int64], size_px: int) -> tuple[Tensor, Tensor]:
    """RGB and encoded depth of one view per row: twice (B, 3, S, S) float32 of whole numbers 0..255.

    View 0 is taken from the cache's ``full`` images: exactly what the robot will feed.
    """
    boxes, flips = (
        torch.from_numpy(data.views.boxes[view, rows]),
        torch.from_numpy(data.views.flips[view, rows]),
    )
    rgb = crop(torch.from_numpy(data.cache.wide_rgb[rows]), boxes, flips, size_px, nearest=False)
    depth = crop(torch.from_numpy(data.cache.wide_depth[rows]), boxes, flips, size_px, nearest=True)
    whole = view == 0
    if whole.any():
        at = torch.from_numpy(np.flatnonzero(whole))
        rgb[at] = torch.from_numpy(data.cache.full_rgb[rows[whole]]).permute(0, 3, 1, 2).float()
        depth[at] = torch.from_numpy(data.cache.full_depth[rows[whole]]).permute(0, 3, 1, 2).float()
    return rgb, depth


def make_batches(
    data: RunData, recipe: Recipe, batch: int, stage: int, device: torch.device
) -> tuple[Callable[[int], Iterator[Batch]], int]:
    """A function epoch -> batches, and the number of batches in an epoch.

    The order, the views and the augmentation of an epoch depend on seed, stage and epoch alone. Pair i shows
    view (epoch + i) mod K, so that every epoch holds all kinds of view and K epochs show each pair all of its
    views. A last batch that is not full is left out.
    """
    batch = min(batch, len(data.train))
    steps = len(data.train) // batch

    def batches(epoch: int) -> Iterator[Batch]:
        order = np.random.default_rng([recipe.seed, stage, epoch]).permutation(data.train)
        generator = torch.Generator().manual_seed((recipe.seed * 10 + stage) * 100_003 + epoch)
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            view = (epoch + rows) % data.views.count
            rgb, depth = view_pixels(data, rows, view, recipe.student.size_px)
            rgb = jitter_colour(rgb, generator, **recipe.rgb_augment.model_dump()).round_()
            depth = augment_depth(depth, recipe.depth_augment, recipe.preprocess.depth_encoding, generator)
            pixels = torch.cat([rgb, depth]).contiguous(memory_format=torch.channels_last)
            target = torch.from_numpy(np.asarray(data.targets[view, rows], np.float32))
            labels = torch.from_numpy(data.pseudo_label[rows])
            yield Batch(pixels.to(device), target.to(device), labels.to(device))

    return batches, steps


def calibration_pixels(data: RunData, recipe: Recipe, pairs: int) -> Tensor:
    """(2P, 3, S, S) uint8: whole frames of P training pairs spread over the data, RGB and depth in turn."""
    rows = data.train[np.linspace(0, len(data.train) - 1, min(pairs, len(data.train))).astype(np.int64)]
    both = np.stack([data.cache.full_rgb[rows], data.cache.full_depth[rows]], 1)
    return torch.from_numpy(both.reshape(-1, *both.shape[2:])).permute(0, 3, 1, 2)


@torch.no_grad()
def embed_full(
    model: Callable[[Tensor], Tensor],
    data: RunData,
    rows: NDArray[np.int64],
    device: torch.device,
    batch: int = 128,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings of the whole frames ``rows``: RGB (M, D) and depth (M, D) float32."""
    parts: list[list[NDArray[np.float32]]] = [[], []]
    for start in range(0, len(rows), batch):
        for part, images in zip(parts, (data.cache.full_rgb, data.cache.full_depth), strict=True):
            pixels = torch.from_numpy(images[rows[start : start + batch]]).permute(0, 3, 1, 2)
            part.append(model(pixels.to(device)).float().cpu().numpy())
    return np.concatenate(parts[0]), np.concatenate(parts[1])


def validator(data: RunData, device: torch.device) -> Callable[[nn.Module], dict[str, float]]:
    """A function model -> validation metrics against the teacher's RGB; no true label is involved.

    ``cos_*``: mean cosine. ``agree_*``: share of pairs with the teacher's answer over the label set.
        ``score``: what the
    best epoch maximises, the mean of both agreements.
    """
    target = np.asarray(data.targets[0, data.val], np.float32)
    answer = (target @ data.bank.T).argmax(1)

    def validate(model: nn.Module) -> dict[str, float]:
        metrics = {}
        for name, embedding in zip(("rgb", "depth"), embed_full(model, data, data.val, device), strict=True):
            metrics[f"cos_{name}"] = float((embedding * target).sum(1).mean())
            metrics[f"agree_{name}"] = float(((embedding @ data.bank.T).argmax(1) == answer).mean())
        metrics["score"] = (metrics["agree_rgb"] + metrics["agree_depth"]) / 2
        return metrics

    return validate
