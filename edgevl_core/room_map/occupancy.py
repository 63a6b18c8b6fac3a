"""The occupancy map of a home: cells that are free, occupied or unknown, in metres of the frame ``map`` (REP 105)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.base.yaml_text import load_yaml
from edgevl_core.camera.photo import decode_photo

UNKNOWN = -1
FREE_BELOW, OCCUPIED_FROM = 25, 65  # percent; nav2's map_server has the same thresholds as defaults
MAX_CELLS = 100_000_000
LEAST_RESOLUTION_M = 0.001
FARTHEST_M = 1e7  # metres of UTM are fewer
PLACED = f"{LEAST_RESOLUTION_M} to 10 m, and an origin within {FARTHEST_M:.0e} m and without rotation are accepted"
# What map_saver writes for "not known". With a free_thresh of 0.25 it would be read as free: 1 - 205 / 255 is 0.196.
_SAVED_UNKNOWN = 205


@dataclass(frozen=True)
class Grid:
    """Where cells lie. Row 0 is at the smallest y, as in nav_msgs/OccupancyGrid.

    Attributes:
        shape: rows, columns.
        resolution_m: side of a cell.
        origin_m: x, y of the outer corner of cell (0, 0).
    """

    shape: tuple[int, int]
    resolution_m: float
    origin_m: tuple[float, float]

    def cells(self, xy_m: NDArray[np.float64]) -> NDArray[np.intp]:
        """(..., 2) metres -> (..., 2) row, column; not limited to the grid."""
        columns_rows = np.floor((np.asarray(xy_m, np.float64) - self.origin_m) / self.resolution_m).astype(np.intp)
        return columns_rows[..., ::-1]

    def middle_m(self, cells: NDArray[np.intp]) -> NDArray[np.float64]:
        """(..., 2) row, column -> (..., 2) metres of the cells' middles."""
        middles = (np.asarray(cells)[..., ::-1] + 0.5) * self.resolution_m
        return np.asarray(middles + np.asarray(self.origin_m), np.float64)

    def rows_columns(self, other: "Grid") -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row of this grid in which the middle of each row of ``other`` lies, and column likewise; -1: outside."""

        def of_axis(axis: int, xy: int) -> NDArray[np.intp]:
            middles_m = (np.arange(other.shape[axis]) + 0.5) * other.resolution_m + other.origin_m[xy]
            found = np.floor((middles_m - self.origin_m[xy]) / self.resolution_m).astype(np.intp)
            return np.where((found >= 0) & (found < self.shape[axis]), found, -1)

        return of_axis(0, 1), of_axis(1, 0)

    def holds(self, cells: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(..., 2) row, column -> (...): whether they lie in the grid."""
        return np.asarray(((cells >= 0) & (cells < np.asarray(self.shape))).all(axis=-1))


@dataclass(frozen=True)
class OccupancyMap:
    """``percent`` (rows, columns) int8: probability of an obstacle in percent, -1 unknown; see :class:`Grid`."""

    grid: Grid
    percent: NDArray[np.int8]

    @property
    def free(self) -> NDArray[np.bool_]:
        """(rows, columns): cells that a robot may stand on."""
        return np.asarray((self.percent >= 0) & (self.percent < FREE_BELOW))

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """(rows, columns): cells with an obstacle."""
        return np.asarray(self.percent >= OCCUPIED_FROM)


def from_message(message: Any) -> OccupancyMap:
    """A nav_msgs/OccupancyGrid.

    Raises:
        UserError: no cells, as many values as cells not there, a resolution that is no length, or a map that is turned.
    """
    info = message.info
    rows, columns, resolution_m = int(info.height), int(info.width), float(info.resolution)
    values = np.asarray(message.data, np.int8)
    orientation = info.origin.orientation
    turned = not abs(orientation.z) + abs(orientation.x) + abs(orientation.y) <= 1e-3  # NaN, too
    if not 0 < rows * columns <= MAX_CELLS or len(values) != rows * columns:
        raise UserError(f"map of {columns} x {rows} cells with {len(values)} values: one value for each cell is needed")
    origin_m = (float(info.origin.position.x), float(info.origin.position.y))
    if turned or not lies_somewhere(resolution_m, origin_m):
        raise UserError(
            f"map with a resolution of {resolution_m} m and its origin at {origin_m}{', turned' if turned else ''}: "
            f"{PLACED}"
        )
    return OccupancyMap(Grid((rows, columns), resolution_m, origin_m), values.reshape(rows, columns))


def lies_somewhere(resolution_m: float, origin_m: tuple[float, float]) -> bool:
    """Whether this is a side of cells and a place of a map of the world, metres."""
    return LEAST_RESOLUTION_M <= resolution_m < 10 and all(abs(value) <= FARTHEST_M for value in origin_m)


def read_map(file: Path | str) -> OccupancyMap:
    """A map as nav2's map_saver writes it: a YAML file that names an image.

    Raises:
        UserError: a file is missing or is something else.
    """
    file = Path(file)
    try:
        content = load_yaml(file.read_text(encoding="utf-8"))
        image = Path(content["image"])
        resolution_m, origin = float(content["resolution"]), [float(value) for value in content["origin"]]
        negate = bool(content.get("negate", 0))
        occupied, free = float(content.get("occupied_thresh", 0.65)), float(content.get("free_thresh", 0.25))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"map {file} cannot be read ({type(error).__name__}: {error}): map_saver's YAML is accepted"
        ) from error
    path = image if image.is_absolute() else file.parent / image
    grey = decode_photo(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    if grey is None or grey.size > MAX_CELLS:
        raise UserError(
            f"map {file}: its image {path} is missing, or no picture of at most {MAX_CELLS} pixels: keep both files "
            "together"
        )
    turned = len(origin) > 2 and not abs(origin[2]) <= 1e-3
    if len(origin) < 2 or turned or not lies_somewhere(resolution_m, (origin[0], origin[1])):
        raise UserError(f"map {file}: resolution {resolution_m}, origin {origin}: {PLACED}")
    share = grey / 255.0 if negate else 1 - grey / 255.0
    percent = np.full(grey.shape, UNKNOWN, np.int8)
    percent[share > occupied], percent[share < free] = 100, 0
    percent[grey == _SAVED_UNKNOWN] = UNKNOWN
    grid = Grid((grey.shape[0], grey.shape[1]), resolution_m, (origin[0], origin[1]))
    return OccupancyMap(grid, np.ascontiguousarray(percent[::-1]))  # the image's first row is the largest y
