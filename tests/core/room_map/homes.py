"""A small home drawn by hand, and what a robot sees in it."""

import numpy as np
from numpy.typing import NDArray

from edgevl_core.room_map.occupancy import Grid, OccupancyMap
from edgevl_core.room_map.room_map import RoomMap
from edgevl_core.room_map.rooms import Words
from edgevl_core.room_map.view import Intrinsics, Stand

NAMES = ("kitchen", "bedroom", "bathroom", "office")
DIM = 16
CAMERA = Intrinsics(fx=160.0, cx=159.5, width_px=320, fy=160.0, cy=119.5, height_px=240)


def words(names: tuple[str, ...] = NAMES, seed: int = 0) -> Words:
    """Unit vectors at right angles, the same for the same word."""
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(DIM, DIM)))[0]
    order = (*NAMES, "study", "loo")
    return Words(names, basis[[order.index(name) for name in names]].astype(np.float32), 20.0)


def two_rooms(resolution_m: float = 0.05, door_m: float = 0.9) -> OccupancyMap:
    """Two rooms of 4 x 3 m side by side, a wall of 0.15 m and a door between them; the left one is x < 4.15."""
    rows, columns = round(3.4 / resolution_m), round(8.6 / resolution_m)
    percent = np.full((rows, columns), -1, np.int8)

    def fill(x: float, y: float, width: float, height: float, value: int) -> None:
        a, b = round(y / resolution_m), round(x / resolution_m)
        percent[a : a + round(height / resolution_m), b : b + round(width / resolution_m)] = value

    fill(0.05, 0.05, 8.45, 3.3, 100)
    fill(0.2, 0.2, 4, 3, 0)
    fill(4.35, 0.2, 4, 3, 0)
    fill(4.2, 1.2, 0.15, door_m, 0)
    return OccupancyMap(Grid(percent.shape, resolution_m, (0.0, 0.0)), percent)


def upstairs() -> OccupancyMap:
    """As large as two_rooms, at the same place, with the same outer walls; parted across, and with a stairwell."""
    ground = two_rooms()
    percent = ground.percent.copy()
    percent[4:64, 4:167] = 0
    percent[33:36, 4:167], percent[33:36, 20:38] = 100, 0
    percent[4:33, 60:110], percent[36:58, 30:70], percent[36:58, 110:150] = 100, 100, 100
    percent[14:33, 4:14], percent[4:20, 130:167], percent[58:64, 80:100] = 100, 100, 100
    return OccupancyMap(ground.grid, percent)


def looked_at(rooms: RoomMap, word: str, x: float, y: float, frames: int = 6, wrong: str = "") -> None:
    """Frames around a place, all saying ``word``; every third says ``wrong`` where that is given."""
    vectors = dict(zip(NAMES, words().vectors, strict=True))
    for number in range(frames):
        said = wrong if wrong and number % 3 == 2 else word
        yaw = 2 * np.pi * number / frames
        refused = rooms.add_frame(
            Stand(x, y, yaw), vectors[said], 1.0, depth=np.full((60, 80), 1.2, np.float32), camera=CAMERA
        )
        assert refused == ""


def labels(rooms: RoomMap) -> list[str]:
    return [room.label for room in rooms.rooms()]


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / np.float32(np.linalg.norm(vector))


def three_rooms(shown: int = 3) -> OccupancyMap:
    """Three rooms of 4 x 3 m in a row, a wall of 0.15 m and a door between two; of the last ones nothing is known."""
    whole = np.full((68, 254), -1, np.int8)
    whole[1:67, 1:253] = 100
    for left in (4, 87, 170):
        whole[4:64, left : left + 80] = 0
    whole[24:42, 84:87] = whole[24:42, 167:170] = 0
    whole[:, 3 + shown * 83 :] = -1
    return OccupancyMap(Grid(whole.shape, 0.05, (0.0, 0.0)), whole)
