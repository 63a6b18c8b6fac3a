"""A home as a map: its eight rooms side by side in two rows, with doors between them, as a lidar would draw it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edgevl_sim.apartment import floor_of, room_order
from edgevl_sim.floorplan import CELL_M
from edgevl_sim.render import Pose

WALL_CELLS = 3  # 0.15 m
DOOR_CELLS = 17  # 0.85 m
MARGIN_CELLS = 10
FREE, OCCUPIED, UNKNOWN = 0, 100, -1


@dataclass(frozen=True)
class HomeMap:
    """A home's rooms on one floor, all turned as in their own coordinates.

    Attributes:
        percent: (rows, columns) int8 of 0.05 m, row along y: 0 free, 100 occupied, -1 unknown.
        room: (rows, columns) int8: which of ``names`` a cell belongs to, -1 none; furniture belongs to its room.
        names: the rooms, in the order in which they stand.
        corner_m: name -> x, y of the room's own origin on the map.
    """

    percent: npt.NDArray[np.int8]
    room: npt.NDArray[np.int8]
    names: tuple[str, ...]
    corner_m: dict[str, tuple[float, float]]

    def on_map(self, room: str, pose: Pose) -> Pose:
        """A pose in a room's own coordinates as one on the map."""
        x, y = self.corner_m[room]
        return Pose(pose.x + x, pose.y + y, pose.yaw)


def home_map(home_seed: int, drive: int = 0) -> HomeMap:
    """The map of a home on one day. Rooms stand where they stand on every day; furniture is that day's."""
    names = tuple(room_order(home_seed))
    opens = {name: floor_of(home_seed, name, drive).open for name in names}
    rows_of = (names[:4], names[4:])
    deepest = max(opens[name].shape[0] for name in rows_of[0])
    width = max(sum(opens[name].shape[1] + WALL_CELLS for name in row) for row in rows_of)
    height = deepest + WALL_CELLS + max(opens[name].shape[0] for name in rows_of[1])
    shape = (height + WALL_CELLS + 2 * MARGIN_CELLS, width + WALL_CELLS + 2 * MARGIN_CELLS)
    percent, room = np.full(shape, UNKNOWN, np.int8), np.full(shape, -1, np.int8)
    at: dict[str, tuple[int, int]] = {}
    for row, members in enumerate(rows_of):
        left = MARGIN_CELLS + WALL_CELLS
        for name in members:
            # The upper edge of the first row and the lower edge of the second are one wall.
            bottom = MARGIN_CELLS + WALL_CELLS + (deepest - opens[name].shape[0] if row == 0 else deepest + WALL_CELLS)
            at[name] = (bottom, left)
            _draw(percent, room, opens[name], bottom, left, names.index(name))
            left += opens[name].shape[1] + WALL_CELLS
    for members in rows_of:
        for a, b in pairwise(members):
            _door_beside(percent, opens[a], opens[b], at[a], at[b])
    _door_above(percent, rows_of, opens, at)
    corner_m = {name: (left * CELL_M, bottom * CELL_M) for name, (bottom, left) in at.items()}
    return HomeMap(percent, room, names, corner_m)


def _draw(
    percent: npt.NDArray[np.int8],
    room: npt.NDArray[np.int8],
    is_open: npt.NDArray[np.bool_],
    bottom: int,
    left: int,
    n: int,
) -> None:
    rows, columns = is_open.shape
    around = percent[bottom - WALL_CELLS : bottom + rows + WALL_CELLS, left - WALL_CELLS : left + columns + WALL_CELLS]
    around[around == UNKNOWN] = OCCUPIED
    percent[bottom : bottom + rows, left : left + columns] = np.where(is_open, FREE, OCCUPIED)
    room[bottom : bottom + rows, left : left + columns] = n


def _door_beside(
    percent: npt.NDArray[np.int8],
    a: npt.NDArray[np.bool_],
    b: npt.NDArray[np.bool_],
    at_a: tuple[int, int],
    at_b: tuple[int, int],
) -> None:
    """A door in the wall between two rooms of one row, where most of the floor before it is free."""
    first, last = max(at_a[0], at_b[0]), min(at_a[0] + a.shape[0], at_b[0] + b.shape[0])
    clear = a[first - at_a[0] : last - at_a[0], -10:].mean(axis=1) + b[first - at_b[0] : last - at_b[0], :10].mean(
        axis=1
    )
    start = first + _best_gap(clear)
    percent[start : start + DOOR_CELLS, at_b[1] - WALL_CELLS - 2 : at_b[1] + 2] = FREE


def _door_above(
    percent: npt.NDArray[np.int8],
    rows_of: tuple[tuple[str, ...], tuple[str, ...]],
    opens: dict[str, npt.NDArray[np.bool_]],
    at: dict[str, tuple[int, int]],
) -> None:
    """A door between the rows, where two rooms share most wall."""

    def shared(below: str, above: str) -> tuple[int, int]:
        first = max(at[below][1], at[above][1])
        return first, min(at[below][1] + opens[below].shape[1], at[above][1] + opens[above].shape[1])

    pairs = [(below, above) for below in rows_of[0] for above in rows_of[1]]
    below, above = max(pairs, key=lambda pair: shared(*pair)[1] - shared(*pair)[0])
    first, last = shared(below, above)
    clear = opens[below][-10:, first - at[below][1] : last - at[below][1]].mean(axis=0)
    clear = clear + opens[above][:10, first - at[above][1] : last - at[above][1]].mean(axis=0)
    start = first + _best_gap(clear)
    percent[at[above][0] - WALL_CELLS - 2 : at[above][0] + 2, start : start + DOOR_CELLS] = FREE


def _best_gap(clear: npt.NDArray[np.float64]) -> int:
    """Where a door fits best along a wall."""
    if len(clear) <= DOOR_CELLS:
        return 0
    return int(np.convolve(clear, np.ones(DOOR_CELLS), "valid").argmax())
