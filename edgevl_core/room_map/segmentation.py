r"""Free space as rooms: split where it narrows to a door, by distance transform and watershed.

   wall      door      wall          distance to the next wall, along the line:
  ########          ########              /\        /\
  .   room A  ......  room B .           /  \__..__/  \      <- a door's middle is nearer to walls than both rooms are
  ########          ########

Bormann et al., "Room segmentation: survey, implementation, and analysis", ICRA 2016, compares such methods.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

DOOR_M = 1.0  # a passage narrower than this parts two rooms
ISLAND_M2 = 3.0  # an obstacle smaller than this that touches no wall is furniture, around which the room goes on
MIN_ROOM_M2 = 1.0
_STEPS = (1.0, 0.75, 0.5)  # shares of half a door; narrow rooms have no cell that is farther from walls


def segment(free: NDArray[np.bool_], occupied: NDArray[np.bool_], resolution_m: float) -> NDArray[np.int32]:
    """The region of each cell: (rows, columns), 1 to N; 0 where it is not free, or belongs to none.

    Args:
        free, occupied: (rows, columns); what is neither is unknown, and no region goes there.
        resolution_m: side of a cell.
    """
    space = free | _islands(occupied, resolution_m)
    distance_m = cv2.distanceTransform(np.pad(space, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] * resolution_m
    markers = _markers(distance_m, resolution_m)
    if not markers.any():
        return np.zeros(free.shape, np.int32)
    return np.where(free, _flooded(markers, distance_m, resolution_m), 0).astype(np.int32)


def _islands(occupied: NDArray[np.bool_], resolution_m: float) -> NDArray[np.bool_]:
    """Small obstacles that stand alone."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(occupied.astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] * resolution_m**2 < ISLAND_M2
    small[0] = False
    touches_edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    small[touches_edge] = False
    return np.asarray(small[labels]) if count > 1 else np.zeros(occupied.shape, bool)


def _markers(distance_m: NDArray[np.float32], resolution_m: float) -> NDArray[np.int32]:
    """Seeds: parts that are farther from walls than a door's middle; then, of narrow rooms, their middles."""
    seeds = np.zeros(distance_m.shape, np.int32)
    for share in _STEPS:
        core = (distance_m > share * DOOR_M / 2).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=4)
        # A core is the room less a rim of the threshold's width: small ones are niches, not rooms.
        new = stats[:, cv2.CC_STAT_AREA] * resolution_m**2 >= MIN_ROOM_M2 * 0.1
        new[0] = new[np.unique(labels[seeds > 0])] = False
        numbers = np.zeros(count, np.int32)
        numbers[new] = int(seeds.max()) + 1 + np.arange(np.count_nonzero(new))
        seeds += numbers[labels]
    return seeds


def _flooded(markers: NDArray[np.int32], distance_m: NDArray[np.float32], resolution_m: float) -> NDArray[np.int32]:
    """The watershed of the distance to walls: regions grow from their seeds, the cells farthest from walls first.

    OpenCV's watershed goes by the difference of neighbouring pixels instead and would follow the walls through doors.
    """
    # int16 is what cv2.dilate takes; a map has some dozens of regions.
    regions = markers.astype(np.int16)
    around = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    for level_m in np.arange(DOOR_M / 2, -resolution_m, -resolution_m):
        reached = distance_m > max(level_m, 0)
        while True:
            new = (regions == 0) & reached & (grown := cv2.dilate(regions, around)).astype(bool)
            if not new.any():
                break
            regions[new] = grown[new]
    return regions.astype(np.int32)


def neighbours(regions: NDArray[np.int32]) -> set[tuple[int, int]]:
    """Pairs (a, b), a < b, of regions that touch."""
    pairs: set[tuple[int, int]] = set()
    for a, b in ((regions[:, :-1], regions[:, 1:]), (regions[:-1], regions[1:])):
        touch = (a != b) & (a > 0) & (b > 0)
        found = np.sort(np.stack([a[touch], b[touch]], axis=1), axis=1)
        pairs |= {(int(x), int(y)) for x, y in np.unique(found, axis=0)}
    return pairs
