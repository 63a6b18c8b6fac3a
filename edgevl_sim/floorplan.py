"""Where a robot can be in a room and what is worth looking at from there."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edgevl_sim.layout import Layout
from edgevl_sim.parts import Floats

CELL_M = 0.05
CLEAR_M = 0.35  # a camera keeps 0.3 m from every surface; the rest is the grid's coarseness
MIN_FREE_M2 = 0.5


class FloorPlan(NamedTuple):
    """free (rows, columns) bool: cells of 0.05 m where the camera may be, one connected region, row along y.

    open (rows, columns) bool: cells with nothing in them up to 0.75 m. sights (N, 4) float32: x, y of the
    furniture's parts, their height, and how much they are worth looking at.
    """

    free: npt.NDArray[np.bool_]
    open: npt.NDArray[np.bool_]
    sights: Floats


def floor_plan(layout: Layout) -> FloorPlan | None:
    """The plan of a furnished room; None if too little of the floor is left to drive on."""
    rows, columns = int(layout.l / CELL_M), int(layout.w / CELL_M)
    grid = np.full((rows + 2, columns + 2), 255, np.uint8)
    grid[[0, -1]] = 0
    grid[:, [0, -1]] = 0
    sights = []
    for placed in layout.placed:
        for part in placed.parts:
            points = part.corners.reshape(-1, 3)
            low, high = points.min(axis=0), points.max(axis=0)
            if part.solid and low[2] < 0.75:
                hull = cv2.convexHull(np.ascontiguousarray(points[:, :2], np.float32))[:, 0] / CELL_M + 0.5
                cv2.fillConvexPoly(grid, np.round(hull).astype(np.int32), 0)
            if part.furniture and part.solid and low[2] < 1.9:
                size = high - low
                area = float(max(size[0], size[1]) * size[2] + 0.15 * size[0] * size[1])
                middle = (low + high) / 2
                sights.append((*middle[:2], middle[2], min(area, 0.5) ** 0.7 * placed.telling))
    clear = cv2.distanceTransform(grid, cv2.DIST_L2, 5) * CELL_M
    free = (clear > CLEAR_M).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(free, connectivity=4)
    if count < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[best, cv2.CC_STAT_AREA] * CELL_M**2 < MIN_FREE_M2:
        return None
    return FloorPlan(labels[1:-1, 1:-1] == best, grid[1:-1, 1:-1] > 0, np.array(sights, np.float32))
