"""Which floor a map shows: the one of before, grown, shifted or changed a little, or another."""

from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.room_map.occupancy import UNKNOWN, Grid, OccupancyMap

FOUND_AGAIN = 0.6  # of the walls that both maps could show; see docs/rooms.md
NEAR_M = 0.1
SLID_M = 0.5  # so far SLAM may move a whole map when it closes a loop
LEAST_M2 = 5.0  # of free floor; a smaller map tells no floor from another
LEAST_COMMON = 0.2  # of the walls of one of them; two maps that have less in common are of two places


class Floor(NamedTuple):
    """What a floor is known by, (rows, columns) each: the walls and furniture that a robot sees, and what is known."""

    walls: NDArray[np.bool_]
    known: NDArray[np.bool_]
    free_m2: float
    grid: Grid


def of_map(occupancy: OccupancyMap) -> Floor:
    """Of a map."""
    free, grid = occupancy.free, occupancy.grid
    known = occupancy.percent != UNKNOWN
    return Floor(occupancy.occupied & _grown(free, 1), known, float(free.sum()) * grid.resolution_m**2, grid)


def of_rooms(numbers: NDArray[np.int32], grid: Grid) -> Floor:
    """Of rooms whose map is not there any more: (rows, columns), 0: none. Walls are what lies around them."""
    free = numbers > 0
    known = _grown(free, 1)
    return Floor(known & ~free, known, float(free.sum()) * grid.resolution_m**2, grid)


def is_same(a: Floor, b: Floor) -> bool | None:
    """Whether the walls of each are found again in the other, where both are known; one may show more than the other.

    None where one is too small to tell. Lengths are in the frame ``map``: a floor that was mapped anew from another
    beginning is another one.
    """
    if min(a.free_m2, b.free_m2) < LEAST_M2:
        return None
    slides = np.arange(-SLID_M, SLID_M + 1e-6, NEAR_M)
    # As it lies first: only a map that changed much is tried elsewhere.
    return _alike(a, b, [(0.0, 0.0)]) or _alike(a, b, list(product(slides, slides)))


def _alike(a: Floor, b: Floor, slides: list[tuple[float, float]]) -> bool:
    """Whether one of the ``slides`` of ``a``, x and y in metres, lays its walls onto those of ``b``."""
    on_a, on_b = _Laid(a), _Laid(b)

    def laid(x: float, y: float) -> bool:
        of_a, of_b = on_b.found(a, (x, y)), on_a.found(b, (-x, -y))
        common = max(of_a.seen, of_b.seen) >= LEAST_COMMON
        return common and min(of_a.share, of_b.share) >= FOUND_AGAIN

    return any(laid(x, y) for x, y in slides)


class _Found(NamedTuple):
    """Share of a floor's walls that another could show, and of these the share that it does show."""

    seen: float
    share: float


class _Laid:
    """A floor that others are laid onto."""

    def __init__(self, floor: Floor) -> None:
        self._grid = floor.grid
        cells = max(round(NEAR_M / floor.grid.resolution_m), 1)
        self._known, self._near = _grown(floor.known, cells), _grown(floor.walls, cells)

    def found(self, other: Floor, slide_m: tuple[float, float]) -> _Found:
        """The walls of ``other``, which is moved by ``slide_m``."""
        walls = other.grid.middle_m(np.argwhere(other.walls)) + slide_m
        cells = self._grid.cells(walls)
        cells = cells[self._grid.holds(cells)]
        could = self._known[cells[:, 0], cells[:, 1]]
        stands = self._near[cells[:, 0], cells[:, 1]][could]
        return _Found(len(stands) / max(len(walls), 1), float(stands.mean()) if len(stands) else 1.0)


def _grown(mask: NDArray[np.bool_], cells: int) -> NDArray[np.bool_]:
    kernel = np.ones((2 * cells + 1, 2 * cells + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)
