"""What a run learns from and is judged by: pairs, views, the teacher's embeddings, and which rows are for what."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgevl_train.cache import Cache
from edgevl_train.recipe import Recipe
from edgevl_train.views import Views, crop


@dataclass(frozen=True)
class RunData:
    """What both stages learn from and are judged by.

    Attributes:
        targets: (K, N, D) float16, the teacher's embeddings of the views.
        train, val: (M,) int64 rows; ``train`` is what curation kept.
        pseudo_label: (N,) int64, in the superset; used by stage 2's triplets only.
        bank: (C, D) float32, text vectors of the label set; logit_scale: the teacher's.
        stands: whether ``val`` covers what the robot sees, so that it may choose and calibrate.
        replay: pairs of earlier runs, to be mixed in, see replay.py.
    """

    cache: Cache
    views: Views
    targets: NDArray[np.float16]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    pseudo_label: NDArray[np.int64]
    bank: NDArray[np.float32]
    logit_scale: float
    stands: bool = True
    replay: "tuple[RunData, ...]" = ()


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


def calibration_pixels(data: RunData, recipe: Recipe, pairs: int) -> Tensor:
    """(2P, 3, S, S) uint8: whole frames of P training pairs spread over the data, RGB and depth in turn.

    Half of them are replayed ones, where there are such.
    """
    earlier = len(data.replay)
    own = pairs // 2 if earlier else pairs
    shares = [(data, own), *((part, max(1, (pairs - own) // earlier)) for part in data.replay)]
    found = []
    for part, count in shares:
        rows = part.train[np.linspace(0, len(part.train) - 1, min(count, len(part.train))).astype(np.int64)]
        both = np.stack([part.cache.full_rgb[rows], part.cache.full_depth[rows]], 1)
        found.append(both.reshape(-1, *both.shape[2:]))
    return torch.from_numpy(np.concatenate(found)).permute(0, 3, 1, 2)
