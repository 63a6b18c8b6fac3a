"""A map cut into regions, and what follows from that alone: made once, asked at every frame."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevl_core.room_map.occupancy import Grid
from edgevl_core.room_map.places import boxes_of
from edgevl_core.room_map.segmentation import neighbours


class Cover(NamedTuple):
    """Of one region: the cells of a coarse grid that it covers, (N,) flat, and (N,) float32 how much of each.

    That is next to the cell that it covers most of, which has 1.
    """

    cells: NDArray[np.intp]
    share: NDArray[np.float32]


class Regions:
    """``numbers`` (rows, columns) int32: the region of each cell, 0: none, never changed; ``grid``: where cells lie."""

    def __init__(self, numbers: NDArray[np.int32], grid: Grid) -> None:
        self.numbers, self.grid = numbers, grid
        self._coarse: Grid | None = None
        self._covers: dict[int, Cover] = {}

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        """(N + 1,) cells of each region; the first: of none."""
        return np.bincount(self.numbers.reshape(-1), minlength=1)

    @cached_property
    def touching(self) -> list[tuple[int, int]]:
        """Pairs (a, b), a < b, of regions that touch, sorted."""
        return sorted(neighbours(self.numbers))

    def covers(self, coarse: Grid) -> dict[int, Cover]:
        """By region, of those that have cells. A fine cell belongs to the coarse one in which its middle lies."""
        if coarse != self._coarse:
            rows, columns = coarse.rows_columns(self.grid)
            self._covers = {
                region: _cover(self.numbers[down, across] == region, rows[down], columns[across], coarse.shape[1])
                for region, (down, across) in boxes_of(self.numbers).items()
            }
            self._coarse = coarse
        return self._covers


def _cover(mask: NDArray[np.bool_], rows: NDArray[np.intp], columns: NDArray[np.intp], coarse_columns: int) -> Cover:
    """Of the region where ``mask`` is true; ``rows``, ``columns``: coarse ones of its own, ascending, -1: outside."""
    mask = mask[rows >= 0][:, columns >= 0]
    if not mask.size:
        return Cover(np.zeros(0, np.intp), np.zeros(0, np.float32))
    rows, first_rows = np.unique(rows[rows >= 0], return_index=True)
    columns, first_columns = np.unique(columns[columns >= 0], return_index=True)
    by_row = np.add.reduceat(mask, first_rows, axis=0, dtype=np.int32)
    counts = np.add.reduceat(by_row, first_columns, axis=1)
    covered = counts > 0
    share = counts[covered].astype(np.float32)
    return Cover((rows[:, None] * coarse_columns + columns)[covered], share / max(share.max(initial=0), np.float32(1)))
