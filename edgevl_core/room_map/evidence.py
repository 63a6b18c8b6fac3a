"""What was seen where: sums of embeddings over coarse cells of the floor, so that new words name old sights.

For a softmax over ``scale * cosine / temperature``, the product of the probabilities of several frames depends on the
sum of their embeddings alone, each divided by its temperature. That sum is kept by cell: it takes any label set at any
time.
"""

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgevl_core.room_map.occupancy import Grid
from edgevl_core.room_map.regions import Regions

CELL_M = 0.25
_PLACE_M, _SECTORS = 0.5, 8  # frames of one place and direction are alike


@dataclass
class Evidence:
    """Sums over cells of 0.25 m, which grow with the area that was seen.

    Attributes:
        grid: where the cells lie.
        total: (rows, columns, D) float32: weights x embedding / temperature.
        weight: (rows, columns) float32: how many independent frames showed the cell, each counted as one in all.
        visits: frames by place and direction.
    """

    dim: int
    grid: Grid = field(default_factory=lambda: Grid((0, 0), CELL_M, (0.0, 0.0)))
    total: NDArray[np.float32] = field(init=False)
    weight: NDArray[np.float32] = field(init=False)
    visits: Counter[tuple[int, int, int]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.total = np.zeros((*self.grid.shape, self.dim), np.float32)
        self.weight = np.zeros(self.grid.shape, np.float32)

    def novelty(self, x: float, y: float, yaw: float) -> float:
        """How much a frame from here adds, 0..1: the n-th of one place and direction adds 1/n. Counts the visit."""
        sector = int((yaw % (2 * math.pi)) / (2 * math.pi) * _SECTORS) % _SECTORS
        place = (math.floor(x / _PLACE_M), math.floor(y / _PLACE_M), sector)
        self.visits[place] += 1
        return 1 / self.visits[place]

    def add(self, xy_m: NDArray[np.float64], scaled: NDArray[np.float32], weight: float) -> None:
        """A frame that shows the places ``xy_m`` (N, 2): ``weight`` in all, ``scaled`` (D,) embedding / temperature."""
        if not len(xy_m):
            return
        self._grow(xy_m)
        cells, counts = np.unique(
            np.ravel_multi_index(self.grid.cells(xy_m).T, self.grid.shape, mode="clip"), return_counts=True
        )
        share = (weight * counts / counts.sum()).astype(np.float32)
        self.total.reshape(-1, self.dim)[cells] += share[:, None] * scaled
        self.weight.reshape(-1)[cells] += share

    def by_region(self, regions: Regions) -> dict[int, tuple[NDArray[np.float32], float]]:
        """Sum (D,) and weight of each region of a map.

        A coarse cell counts by the share of it that a region covers, next to the one that it covers most of.
        """
        total, weight = self.total.reshape(-1, self.dim), self.weight.reshape(-1)
        sums = {}
        for region, (cells, share) in regions.covers(self.grid).items():
            seen = weight[cells] != 0
            cells, share = cells[seen], share[seen]
            # Shares of one frame add up to one but for rounding, and one is what a room must have seen.
            sums[region] = (share @ total[cells], round(float(share @ weight[cells]), 5))
        return sums

    def _grow(self, xy_m: NDArray[np.float64]) -> None:
        """Cells lie on whole multiples of their side, so growing moves no sums between cells."""
        low = np.floor(xy_m.min(axis=0) / CELL_M).astype(int)
        high = np.floor(xy_m.max(axis=0) / CELL_M).astype(int) + 1
        if self.weight.size:
            first = np.round(np.array(self.grid.origin_m) / CELL_M).astype(int)
            last = first + np.array(self.grid.shape[::-1])
            if (low >= first).all() and (high <= last).all():
                return
            margin = 8
            low = np.where(low < first, low - margin, first)
            high = np.where(high > last, high + margin, last)
        columns, rows = (high - low).tolist()
        grid = Grid((rows, columns), CELL_M, (low[0] * CELL_M, low[1] * CELL_M))
        total, weight = np.zeros((rows, columns, self.dim), np.float32), np.zeros((rows, columns), np.float32)
        if self.weight.size:
            column, row = (first - low).tolist()
            total[row : row + self.grid.shape[0], column : column + self.grid.shape[1]] = self.total
            weight[row : row + self.grid.shape[0], column : column + self.grid.shape[1]] = self.weight
        self.grid, self.total, self.weight = grid, total, weight
