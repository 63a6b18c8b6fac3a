"""Odometry set right by walls: each frame's depth is laid onto the map where it fits best, near where odometry has it.

Correlative scan matching (Olson, ICRA 2009) against the distance to the next obstacle, as AMCL's likelihood field has
it. It follows drift; it finds no robot whose place is not known to half a metre.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.depth import MeasuredDepth
from edgevl_core.room_map.occupancy import Grid, OccupancyMap
from edgevl_core.room_map.view import REACH_M, Intrinsics, Stand, outline

NEAREST_M = 0.3  # nearer than this is the robot itself, or noise
_LEAST_RAYS = 8  # of 32
_LEAST_FIT = 0.3  # of 1, all rays end at an obstacle: below it the frame is not believed to show this place
_STEP_M, _STEP_RAD = 0.2, math.radians(10)  # a frame from nearer than this tells nothing new
_OFF_THE_FLOOR = 0.3  # a fit is worth this much less where no robot can stand
# What a metre squared and a radian squared away from odometry cost, in fit.
_PER_M2, _PER_RAD2 = 0.6, 10.0
# First far and coarse, then near and fine: spread of an obstacle, reach and number of places, of directions.
_SEARCHES = ((0.25, 0.4, 9, math.radians(6), 9), (0.1, 0.1, 9, math.radians(1.5), 7))


class Correction:
    """Where a robot is on the map, by its odometry and by what its depth camera sees.

    Args:
        occupancy: the map.

    Attributes:
        offset: the frame of odometry on the map (REP 105's transform from map to odom).
        matched, unmatched: frames that fitted the map, and those that did not and changed nothing.
    """

    def __init__(self, occupancy: OccupancyMap) -> None:
        self.offset = Stand(0.0, 0.0, 0.0)
        self.matched = self.unmatched = 0
        self._last: Stand | None = None
        self.set_map(occupancy)

    def set_map(self, occupancy: OccupancyMap) -> None:
        """A new or a changed map, in the same frame."""
        away = cv2.distanceTransform((~occupancy.occupied).astype(np.uint8), cv2.DIST_L2, 5)
        self._grid, self._blocked = occupancy.grid, ~occupancy.free
        spreads = [spread_m / occupancy.grid.resolution_m for spread_m, *_ in _SEARCHES]
        self._fields = [np.exp(-0.5 * np.minimum(away / spread, 10.0) ** 2).astype(np.float32) for spread in spreads]

    def values(self) -> dict[str, object]:
        """For diagnostics: how many frames fitted, and the frame of odometry on the map."""
        at = self.offset
        counts = {"poses_set_right": self.matched, "poses_unmatched": self.unmatched}
        return {**counts, "map_to_odom": f"{at.x:.2f} {at.y:.2f} {math.remainder(at.yaw, 2 * math.pi):.3f}"}

    def begin(self, odometry: Stand, on_map: Stand) -> None:
        """The robot that odometry has at ``odometry`` is at ``on_map``. Without it both frames are one at first."""
        yaw = on_map.yaw - odometry.yaw
        turned = Stand(0.0, 0.0, yaw).of_camera(odometry)
        self.offset, self._last = Stand(on_map.x - turned.x, on_map.y - turned.y, yaw), None

    def of(self, odometry: Stand, depth: MeasuredDepth | None, camera: Intrinsics | None) -> Stand:
        """Where the camera is on the map that odometry has at ``odometry``.

        Args:
            depth, camera: see :func:`edgevl_core.room_map.view.outline`; without them odometry is followed.
        """
        stand = self.offset.of_camera(odometry)
        if depth is None or camera is None or not self._moved(odometry):
            return stand
        self._last = odometry
        ends_m = outline(Stand(0.0, 0.0, 0.0), depth, camera)[1:]
        ranges_m = np.hypot(ends_m[:, 0], ends_m[:, 1])
        ends_m = ends_m[(ranges_m > NEAREST_M) & (ranges_m < REACH_M)]
        found, fit = stand, 0.0
        if len(ends_m) >= _LEAST_RAYS:
            for field, search in zip(self._fields, _SEARCHES, strict=True):
                found, fit = self._best(field, ends_m, found, stand, search)
        if fit < _LEAST_FIT:
            self.unmatched += 1
            return stand
        self.matched += 1
        self.begin(odometry, found)
        self._last = odometry
        return found

    def _moved(self, odometry: Stand) -> bool:
        last = self._last
        return (
            last is None
            or math.hypot(odometry.x - last.x, odometry.y - last.y) >= _STEP_M
            or abs(math.remainder(odometry.yaw - last.yaw, 2 * math.pi)) >= _STEP_RAD
        )

    def _best(
        self,
        field: NDArray[np.float32],
        ends_m: NDArray[np.float64],
        about: Stand,
        believed: Stand,
        search: tuple[float, float, int, float, int],
    ) -> tuple[Stand, float]:
        """The place and direction near ``about`` with the best fit, and that fit without its cost, 0..1."""
        _, reach_m, places, reach_rad, directions = search
        steps_m, steps_rad = np.linspace(-reach_m, reach_m, places), np.linspace(-reach_rad, reach_rad, directions)
        yaws, xs, ys = about.yaw + steps_rad, about.x + steps_m, about.y + steps_m
        sine, cosine = np.sin(yaws)[:, None], np.cos(yaws)[:, None]
        ahead, left = ends_m.T
        ends_x = (cosine * ahead - sine * left)[:, None, None] + xs[:, None]  # direction, y, x, ray
        ends_y = (sine * ahead + cosine * left)[:, None, None] + ys[:, None, None]
        fit = _looked_up(field, self._grid, *np.broadcast_arrays(ends_x, ends_y)).mean(axis=-1)
        cost = _PER_M2 * ((xs - believed.x) ** 2 + (ys[:, None] - believed.y) ** 2)
        cost = cost + _OFF_THE_FLOOR * self._is_blocked(xs, ys)
        worth = fit - cost - _PER_RAD2 * ((yaws - believed.yaw) ** 2)[:, None, None]
        direction, row, column = np.unravel_index(int(worth.argmax()), worth.shape)
        place = Stand(float(xs[column]), float(ys[row]), float(yaws[direction]))
        return place, float(fit[direction, row, column])

    def _is_blocked(self, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(rows of ys, columns of xs): whether nothing can stand there."""
        cells = self._grid.cells(np.stack(np.meshgrid(xs, ys), axis=-1))
        rows, columns = np.clip(cells, 0, np.array(self._grid.shape) - 1).transpose(2, 0, 1)
        return np.asarray(self._blocked[rows, columns] | ~self._grid.holds(cells))


def _looked_up(
    field: NDArray[np.float32], grid: Grid, x_m: NDArray[np.float64], y_m: NDArray[np.float64]
) -> NDArray[np.float32]:
    """``field`` between its cells, 0 off the map; of the shape of ``x_m``."""
    columns = ((x_m - grid.origin_m[0]) / grid.resolution_m - 0.5).astype(np.float32)
    rows = ((y_m - grid.origin_m[1]) / grid.resolution_m - 0.5).astype(np.float32)
    flat = (-1, x_m.shape[-1])
    looked = cv2.remap(
        field, columns.reshape(flat), rows.reshape(flat), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return np.asarray(looked, np.float32).reshape(x_m.shape)
