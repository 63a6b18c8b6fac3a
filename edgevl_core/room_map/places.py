"""Which region of a map is which room: by where rooms lie, or lay when a map showed them last."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevl_core.room_map.occupancy import Grid

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


def cells_of(numbers: NDArray[np.int32]) -> dict[int, NDArray[np.intp]]:
    """By number, (N, 2) row and column of its cells, from the number of each cell (rows, columns), 0: none."""
    cells = np.argwhere(numbers)
    of_cell = numbers[cells[:, 0], cells[:, 1]]
    order = np.argsort(of_cell, kind="stable")
    found, first = np.unique(of_cell[order], return_index=True)
    return dict(zip(found.tolist(), np.split(cells[order], first[1:]), strict=False))


def places(numbers: NDArray[np.int32], grid: Grid) -> dict[int, Place]:
    """By room number, from the number of each cell (rows, columns), 0: none."""
    return {number: Place(grid.middle_m(cells), grid.resolution_m) for number, cells in cells_of(numbers).items()}


def remembered(
    before: dict[int, Place], numbers: NDArray[np.int32], grid: Grid, named: Collection[int]
) -> dict[int, Place]:
    """The places of all rooms that may come back: those of today, and those of before that are not shown now.

    A map may show a part of a floor, or two rooms as one, for a while. So a room that the owner named is never
    forgotten, another one when others lie where it was.
    """

    def stays(number: int, place: Place) -> bool:
        taken = int(np.count_nonzero(_under(place, numbers, grid)))
        return number in named or taken < MOSTLY * len(place.xy_m)

    today = places(numbers, grid)
    return today | {n: place for n, place in before.items() if n not in today and stays(n, place)}


def _under(place: Place, numbers: NDArray[np.int32], grid: Grid) -> NDArray[np.int32]:
    """(N,) what a map has where the place is; cells outside of the map are left out."""
    cells = grid.cells(place.xy_m)
    cells = cells[grid.holds(cells)]
    return numbers[cells[:, 0], cells[:, 1]]


def _common_m2(regions: NDArray[np.int32], grid: Grid, before: dict[int, Place]) -> NDArray[np.float64]:
    """(regions, rooms) how much of a room lies in a region; region 0 is what is in none."""
    common = np.zeros((int(regions.max(initial=0)) + 1, len(before)))
    for column, place in enumerate(before.values()):
        found = np.bincount(_under(place, regions, grid), minlength=len(common))
        common[:, column] = found * place.cell_m**2
    common[0] = 0
    return common


def _share(
    common_m2: NDArray[np.float64], regions: NDArray[np.int32], grid: Grid, before: dict[int, Place]
) -> NDArray[np.float64]:
    """(regions, rooms) what they have in common, as a share of the smaller of the two."""
    region_m2 = np.bincount(regions.reshape(-1)) * grid.resolution_m**2
    room_m2 = np.array([place.area_m2 for place in before.values()])
    return np.asarray(common_m2 / np.maximum(np.minimum(region_m2[:, None], room_m2), 1e-9))


def lies_in(regions: NDArray[np.int32], grid: Grid, before: dict[int, Place]) -> dict[int, int]:
    """By region, the room of ``before`` that lies mostly in it, or in which it mostly lies; only where there is one."""
    if not before:
        return {}
    numbers = list(before)
    share = _share(_common_m2(regions, grid, before), regions, grid, before)
    best = share.argmax(axis=1)
    return {region: numbers[best[region]] for region in np.flatnonzero(share.max(axis=1) >= MOSTLY).tolist()}


def known_again(
    regions: NDArray[np.int32], grid: Grid, before: dict[int, Place], named: Collection[int], next_id: int
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
