"""Which region of a map is which room: by where rooms lie, or lay when a map showed them last."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevl_core.room_map.occupancy import MAX_CELLS, Grid

SAME_ROOM_OVERLAP = 0.2  # of the smaller of the two
MOSTLY = 0.5


class Place(NamedTuple):
    """Where a room lies: the middles of its cells (N, 2) in metres of the frame ``map``, and the side of a cell."""

    xy_m: NDArray[np.float64]
    cell_m: float

    @property
    def area_m2(self) -> float:
        """Of its floor."""
        return len(self.xy_m) * self.cell_m**2


def boxes_of(numbers: NDArray[np.int32]) -> dict[int, tuple[slice, slice]]:
    """By number, ascending, the rows and the columns that hold it, from that of each cell (rows, columns), 0: none."""
    rows, columns = numbers.shape
    in_row = np.zeros((rows, int(numbers.max(initial=0)) + 1), bool)
    in_column = np.zeros((columns, in_row.shape[1]), bool)
    in_row[np.arange(rows)[:, None], numbers] = True
    in_column[np.arange(columns), numbers] = True
    boxes = {}
    for number in np.flatnonzero(in_row.any(axis=0)).tolist():
        if number:
            down, across = np.flatnonzero(in_row[:, number]), np.flatnonzero(in_column[:, number])
            boxes[number] = (slice(int(down[0]), int(down[-1]) + 1), slice(int(across[0]), int(across[-1]) + 1))
    return boxes


def cells_of(numbers: NDArray[np.int32]) -> dict[int, NDArray[np.intp]]:
    """By number, (N, 2) row and column of its cells, from the number of each cell (rows, columns), 0: none."""
    return {
        number: np.add(np.argwhere(numbers[down, across] == number), (down.start, across.start))
        for number, (down, across) in boxes_of(numbers).items()
    }


def remembered(before: Mapping[int, Place], numbers: NDArray[np.int32], grid: Grid) -> dict[int, Place]:
    """The places of all rooms that may come back: of those in ``numbers`` that of today, of others that of before.

    A map may show a part of a floor, or two rooms as one, for a while. So no room is forgotten, and a room that
    took in another one leaves it its place: places never overlap, and what is remembered is bounded by the floor.
    """
    shown = boxes_of(numbers)
    hidden = {number: place for number, place in before.items() if number not in shown}
    own = numbers.copy()
    for place in hidden.values():
        own[_cells(place, grid)] = 0
    today = {number: Place(grid.middle_m(cells), grid.resolution_m) for number, cells in cells_of(own).items()}
    return hidden | today


def laid_out(rooms: Mapping[int, Place]) -> tuple[NDArray[np.int32], Grid] | None:
    """(rows, columns) room numbers of all places, and where cells lie; None where there are none, or too far apart."""
    if not rooms:
        return None
    cell_m = min(place.cell_m for place in rooms.values())
    xy_m = np.concatenate([place.xy_m for place in rooms.values()])
    low, high = xy_m.min(axis=0) - cell_m / 2, xy_m.max(axis=0)
    columns, rows = np.floor((high - low) / cell_m + 1).tolist()
    if rows * columns > MAX_CELLS:
        return None
    grid = Grid((int(rows), int(columns)), cell_m, (float(low[0]), float(low[1])))
    numbers = np.zeros(grid.shape, np.int32)
    for number, place in rooms.items():
        numbers[_cells(place, grid)] = number
    return numbers, grid


def _cells(place: Place, grid: Grid) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(N,) rows and (N,) columns of the place; what lies outside of the grid is left out."""
    cells = grid.cells(place.xy_m)
    cells = cells[grid.holds(cells)]
    return cells[:, 0], cells[:, 1]


def _common_m2(regions: NDArray[np.int32], grid: Grid, before: Mapping[int, Place]) -> NDArray[np.float64]:
    """(regions, rooms) how much of a room lies in a region; region 0 is what is in none."""
    common = np.zeros((int(regions.max(initial=0)) + 1, len(before)))
    for column, place in enumerate(before.values()):
        found = np.bincount(regions[_cells(place, grid)], minlength=len(common))
        common[:, column] = found * place.cell_m**2
    common[0] = 0
    return common


def _share(
    common_m2: NDArray[np.float64], regions: NDArray[np.int32], grid: Grid, before: Mapping[int, Place]
) -> NDArray[np.float64]:
    """(regions, rooms) what they have in common, as a share of the smaller of the two."""
    region_m2 = np.bincount(regions.reshape(-1)) * grid.resolution_m**2
    room_m2 = np.array([place.area_m2 for place in before.values()])
    return np.asarray(common_m2 / np.maximum(np.minimum(region_m2[:, None], room_m2), 1e-9))


def lies_in(regions: NDArray[np.int32], grid: Grid, before: Mapping[int, Place]) -> dict[int, int]:
    """By region, the room of ``before`` that lies mostly in it, or in which it mostly lies; only where there is one."""
    if not before:
        return {}
    numbers = list(before)
    share = _share(_common_m2(regions, grid, before), regions, grid, before)
    best = share.argmax(axis=1)
    return {region: numbers[best[region]] for region in np.flatnonzero(share.max(axis=1) >= MOSTLY).tolist()}


def known_again(
    regions: NDArray[np.int32], grid: Grid, before: Mapping[int, Place], named: Collection[int], next_id: int
) -> tuple[NDArray[np.int32], int]:
    """Regions numbered as rooms: a room of ``before`` that overlaps keeps its number, others get new ones.

    The pair that overlaps most first, each room once; of those that overlap as much, one that the owner ``named``,
    then the one with more floor.

    Returns:
        (rows, columns) int32 room numbers, and the next free one.
    """
    numbers = list(before)
    common_m2 = _common_m2(regions, grid, before)
    share = _share(common_m2, regions, grid, before)
    pairs = sorted(
        (
            -round(float(share[region, column]), 1),
            numbers[column] not in named,
            -common_m2[region, column],
            region,
            column,
        )
        for region, column in np.argwhere(share >= SAME_ROOM_OVERLAP).tolist()
    )
    kept: dict[int, int] = {}
    for *_, region, column in pairs:
        if region not in kept and numbers[column] not in kept.values():
            kept[region] = numbers[column]
    renumbered = np.zeros(len(share), np.int32)
    for region in np.unique(regions[regions > 0]).tolist():
        if region not in kept:
            kept[region], next_id = next_id, next_id + 1
        renumbered[region] = kept[region]
    return renumbered[regions], next_id
