"""Batches of a run: views of both modalities, augmented, with the teacher's embedding of the view."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from edgevl_core.base.errors import UserError
from edgevl_train.data.augment import COLOUR_DRAWS, DIM_DRAWS, dim, shift_colour
from edgevl_train.data.missing import MISSING_DRAWS, lose_depth
from edgevl_train.data.prefetch import one_ahead
from edgevl_train.data.run_data import RunData, view_pixels
from edgevl_train.data.views import DEPTH_DRAWS, augment_depth
from edgevl_train.recipe import Recipe

_DRAWS = [COLOUR_DRAWS, DEPTH_DRAWS, DIM_DRAWS, MISSING_DRAWS]  # uniform numbers for each pair


@dataclass(frozen=True)
class Batch:
    """B pairs: (2B, 3, S, S) float32 pixels 0..255 (RGB first, then depth), (B, D) targets, (B,) pseudo-labels.

    ``tokens``: (B, P * T) float32, the teacher's, or (B, 0) where no stage learns by them.
    """

    pixels: Tensor
    target: Tensor
    pseudo_label: Tensor
    tokens: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The batch on ``device``."""
        tensors = (self.pixels, self.target, self.pseudo_label, self.tokens)
        return Batch(*(tensor.to(device) for tensor in tensors))


def make_batches(
    data: RunData, recipe: Recipe, batch: int, stage: int, fabric: Fabric
) -> tuple[Callable[[int, int], Iterator[Batch]], int]:
    """A function (epoch, first) -> this process's batches from number ``first`` on, and the batches in an epoch.

    The order of an epoch depends on seed, stage and epoch alone, and so does what is drawn for each pair; a
    batch is the same whoever asks for it, and however often. Of W processes number r gets the r-th W-th part
    of each batch, as if one process made all of it and cut it up. Pair i shows view (epoch + i) mod K, so that
    every epoch holds all kinds of view and K epochs show each pair all of its views. A last batch that is not
    full is left out. Where there are pairs to replay, ``recipe.replay.share`` of each batch is drawn from them.

    Raises:
        UserError: a batch cannot be shared out equally.
    """
    world = fabric.world_size
    replayed = min(round(batch // world * recipe.replay.share), batch // world - 1) if data.replay else 0
    own = min(batch // world - replayed, len(data.train) // world)
    if batch % world or not own:
        raise UserError(
            f"stage{stage}.batch {batch} of {len(data.train)} pairs cannot be shared by {world} processes: "
            "use a multiple of their number, and more pairs than processes"
        )
    steps = len(data.train) // (own * world)

    def batches(epoch: int, first: int = 0) -> Iterator[Batch]:
        side_px = picture_side_px(recipe, stage, epoch)
        generator = np.random.default_rng([recipe.seed, stage, epoch])
        streams = [_Stream([data], own, generator.permutation(data.train), generator)]
        if replayed:
            streams.append(
                _Stream(data.replay, replayed, _replayed(data, steps * replayed * world, generator), generator)
            )
        for step in range(first, steps):
            number = step * world + fabric.global_rank
            parts = [part for stream in streams for part in stream.parts(recipe, epoch, side_px, number, fabric.device)]
            yield _joined(parts).to(fabric.device)

    return lambda epoch, first=0: one_ahead(batches(epoch, first)), steps


def picture_side_px(recipe: Recipe, stage: int, epoch: int) -> int:
    """Side of an epoch's pictures, the first epoch being 0: the student's, or that of stage 1's small ones."""
    section = recipe.stage1
    small = stage == 1 and epoch < int(section.small_share * section.epochs)
    return section.small_px(recipe.student.size_px) if small else recipe.student.size_px


def _replayed(data: RunData, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """``count`` training pairs of all runs replayed, numbered through, in random order.

    Each comes again only after all others have come.
    """
    starts = _starts(data.replay)
    rows = np.concatenate([start + part.train for start, part in zip(starts, data.replay, strict=True)])
    return np.concatenate([generator.permutation(rows) for _ in range(-(-count // len(rows)))])[:count]


def _starts(sources: Sequence[RunData]) -> list[int]:
    """The number of each source's first pair, where all are numbered through."""
    return [0, *np.cumsum([len(source.cache) for source in sources])[:-1].tolist()]


class _Part(NamedTuple):
    """b pairs: (b, 3, S, S) float32 RGB and depth, (b, D) targets, (b,) pseudo-labels, (b, P * T) tokens."""

    rgb: Tensor
    depth: Tensor
    target: Tensor
    pseudo_label: Tensor
    tokens: Tensor


class _Stream:
    """A part of every batch of an epoch: pairs, numbered through all sources, in their order, each with its seed."""

    def __init__(
        self, sources: Sequence[RunData], size: int, order: NDArray[np.int64], generator: np.random.Generator
    ) -> None:
        self._sources, self._starts, self._size, self._order = sources, _starts(sources), size, order
        self._seeds = generator.integers(2**63, size=len(order))

    def parts(self, recipe: Recipe, epoch: int, side_px: int, number: int, device: torch.device) -> Iterator[_Part]:
        """The ``size`` pairs of part ``number``, augmented on ``device``, source by source."""
        place = slice(number * self._size, (number + 1) * self._size)
        wanted, seeds = self._order[place], self._seeds[place]
        for source, start in zip(self._sources, self._starts, strict=True):
            mine = (wanted >= start) & (wanted < start + len(source.cache))
            if mine.any():
                yield _part(source, recipe, wanted[mine] - start, epoch, side_px, seeds[mine], device)


def _part(
    data: RunData,
    recipe: Recipe,
    rows: NDArray[np.int64],
    epoch: int,
    side_px: int,
    seeds: NDArray[np.int64],
    device: torch.device,
) -> _Part:
    view = (epoch + rows) % data.views.count
    rgb, depth = view_pixels(data.cache, data.views, rows, view, side_px, device)
    noisy = recipe.depth_augment.noise_m_at_1m > 0
    colours, holes, light, missing, noise = _draw(seeds, side_px if noisy else 0)
    rgb = shift_colour(rgb, colours, **recipe.rgb_augment.model_dump())
    rgb = dim(rgb, recipe.low_light, light).round_()
    depth = augment_depth(depth, recipe.depth_augment, recipe.preprocess.depth_encoding, holes, noise)
    depth = lose_depth(depth, recipe.missing_depth, missing)
    target = torch.from_numpy(np.asarray(data.targets[view, rows], np.float32))
    tokens = torch.from_numpy(np.asarray(data.tokens[view, rows], np.float32)) if data.tokens.size else target[:, :0]
    return _Part(rgb, depth, target, torch.from_numpy(data.pseudo_label[rows]), tokens)


def _joined(parts: Sequence[_Part]) -> Batch:
    rgb, depth, *rest = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return Batch(torch.cat([rgb, depth]).contiguous(memory_format=torch.channels_last), *rest)


def _draw(seeds: NDArray[np.int64], side_px: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Random numbers of B pairs, each pair's from its own seed.

    (4, B), (B, 6), (B, 6), (B, 5) uniform for colour, depth, light and missing depth; (B, side, side) normal.
    """
    generator = torch.Generator()
    uniform, normal = [], []
    for seed in seeds.tolist():
        generator.manual_seed(seed)
        uniform.append(torch.rand(sum(_DRAWS), generator=generator))
        normal.append(torch.randn(side_px, side_px, generator=generator))
    colours, holes, light, missing = torch.stack(uniform).split(_DRAWS, dim=1)
    return colours.T, holes, light, missing, torch.stack(normal)
