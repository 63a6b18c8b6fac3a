"""Batches of a run: views of both modalities with the teacher's embedding of the view; and the validation set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from edgevl_core.errors import UserError
from edgevl_train.ahead import one_ahead
from edgevl_train.augment import shift_colour
from edgevl_train.cache import Cache
from edgevl_train.recipe import Recipe
from edgevl_train.views import DEPTH_DRAWS, Views, augment_depth, crop


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

    def to(self, device: torch.device) -> "Batch":
        """The batch on ``device``."""
        return Batch(self.pixels.to(device), self.target.to(device), self.pseudo_label.to(device))


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
    data: RunData, recipe: Recipe, batch: int, stage: int, fabric: Fabric
) -> tuple[Callable[[int, int], Iterator[Batch]], int]:
    """A function (epoch, first) -> this process's batches from number ``first`` on, and the batches in an epoch.

    The order of an epoch depends on seed, stage and epoch alone, and so does what is drawn for each pair; a
    batch is the same whoever asks for it, and however often. Of W processes number r gets the r-th W-th part
    of each batch, as if one process made all of it and cut it up. Pair i shows view (epoch + i) mod K, so that
    every epoch holds all kinds of view and K epochs show each pair all of its views. A last batch that is not
    full is left out.

    Raises:
        UserError: a batch cannot be shared out equally.
    """
    share = min(batch, len(data.train)) // fabric.world_size
    if batch % fabric.world_size or not share:
        raise UserError(
            f"stage{stage}.batch {batch} of {len(data.train)} pairs cannot be shared by {fabric.world_size} processes: "
            "use a multiple of their number, and more pairs than processes"
        )
    batch = share * fabric.world_size
    steps = len(data.train) // batch

    def batches(epoch: int, first: int = 0) -> Iterator[Batch]:
        generator = np.random.default_rng([recipe.seed, stage, epoch])
        order = generator.permutation(data.train)
        seeds = generator.integers(2**63, size=len(data.cache))
        for step in range(first, steps):
            start = step * batch + fabric.global_rank * share
            yield _batch(data, recipe, order[start : start + share], epoch, seeds).to(fabric.device)

    return lambda epoch, first=0: one_ahead(batches(epoch, first)), steps


def _batch(data: RunData, recipe: Recipe, rows: NDArray[np.int64], epoch: int, seeds: NDArray[np.int64]) -> Batch:
    view = (epoch + rows) % data.views.count
    rgb, depth = view_pixels(data, rows, view, recipe.student.size_px)
    noisy = recipe.depth_augment.noise_m_at_1m > 0
    colours, holes, noise = _draw(seeds[rows], recipe.student.size_px if noisy else 0)
    rgb = shift_colour(rgb, colours, **recipe.rgb_augment.model_dump()).round_()
    depth = augment_depth(depth, recipe.depth_augment, recipe.preprocess.depth_encoding, holes, noise)
    pixels = torch.cat([rgb, depth]).contiguous(memory_format=torch.channels_last)
    target = torch.from_numpy(np.asarray(data.targets[view, rows], np.float32))
    return Batch(pixels, target, torch.from_numpy(data.pseudo_label[rows]))


def _draw(seeds: NDArray[np.int64], side_px: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random numbers of B pairs, each pair's from its own seed: (4, B), (B, 6) uniform, (B, side, side) normal."""
    generator = torch.Generator()
    uniform, normal = [], []
    for seed in seeds.tolist():
        generator.manual_seed(seed)
        uniform.append(torch.rand(4 + DEPTH_DRAWS, generator=generator))
        normal.append(torch.randn(side_px, side_px, generator=generator))
    drawn = torch.stack(uniform)
    return drawn[:, :4].T, drawn[:, 4:], torch.stack(normal)


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
    ``score``: what the best epoch maximises, the mean of both agreements.
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
