"""What a run learns from and is judged by: pairs, views, the teacher's embeddings, and which rows are for what."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgevl_core.camera.preprocess import shrink
from edgevl_train.data.cache import Cache
from edgevl_train.data.views import Views, crop


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
        vocabulary: (V, D) float32, text vectors of a large vocabulary; empty where no stage learns by it.
        tokens: (K, N, P * T) float16, the teacher's tokens of the views; (0, 0, 0) where no stage learns by them.
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
    vocabulary: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    tokens: NDArray[np.float16] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float16))

    @property
    def judging(self) -> NDArray[np.int64]:
        """Rows to calibrate by: ``val``; where that does not stand for the home, what was trained on as well."""
        return self.val if self.stands else np.union1d(self.train, self.val)

    def answers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(M,) the teacher's answers to the whole RGB frames ``rows``, rows of ``bank``."""
        return np.asarray((np.asarray(self.targets[0, rows], np.float32) @ self.bank.T).argmax(1), np.int64)


def spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of ``rows``, evenly spread over them."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)]


def commonest_share(answer: NDArray[np.int64]) -> float:
    """What always giving the commonest answer would reach: chance, 0..1."""
    return float(np.bincount(answer).max() / len(answer))


def view_pixels(
    cache: Cache,
    views: Views,
    rows: NDArray[np.int64],
    view: NDArray[np.int64],
    size_px: int,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """RGB and encoded depth of one view per row: twice (B, 3, S, S) float32 of whole numbers 0..255, on ``device``.

    View 0 is taken from the cache's ``full`` images: exactly what the robot will feed. A network of another size than
    theirs is shown ``wide`` ones, made smaller as the robot would make its camera's.
    """
    boxes, flips, wide_rgb, wide_depth = (
        torch.from_numpy(taken).to(device)
        for taken in (views.boxes[view, rows], views.flips[view, rows], cache.wide_rgb[rows], cache.wide_depth[rows])
    )
    rgb = crop(wide_rgb, boxes, flips, size_px, nearest=False)
    depth = crop(wide_depth, boxes, flips, size_px, nearest=True)
    whole = view == 0
    if whole.any():
        at, frames = torch.from_numpy(np.flatnonzero(whole)).to(device), rows[whole]
        if size_px == cache.full_rgb.shape[1]:
            rgb[at] = torch.from_numpy(cache.full_rgb[frames]).to(device).permute(0, 3, 1, 2).float()
            depth[at] = torch.from_numpy(cache.full_depth[frames]).to(device).permute(0, 3, 1, 2).float()
        else:  # of depth the nearest pixels were taken already
            smaller = np.stack([shrink(image, size_px) for image in cache.wide_rgb[frames]])
            rgb[at] = torch.from_numpy(smaller).to(device).permute(0, 3, 1, 2).float()
    return rgb, depth


def calibration_pixels(data: RunData, pairs: int) -> Tensor:
    """(2P, 3, S, S) uint8: whole frames of P training pairs spread over the data, RGB and depth in turn.

    Half of them are replayed ones, where there are such.
    """
    earlier = len(data.replay)
    own = pairs // 2 if earlier else pairs
    shares = [(data, own), *((part, max(1, (pairs - own) // earlier)) for part in data.replay)]
    found = []
    for part, count in shares:
        rows = spread(part.train, count)
        both = np.stack([part.cache.full_rgb[rows], part.cache.full_depth[rows]], 1)
        found.append(both.reshape(-1, *both.shape[2:]))
    return torch.from_numpy(np.concatenate(found)).permute(0, 3, 1, 2)
