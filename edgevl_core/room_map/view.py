"""Which cells of the map a frame shows: the area between the camera and what its depth image sees."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.depth import MeasuredDepth, to_metres
from edgevl_core.camera.registration import image_part
from edgevl_core.room_map.occupancy import Grid

REACH_M = 5.0  # beyond this, depth cameras of robots are noise
NEAR_M = 0.8  # without depth or camera_info: what a frame shows for certain is where it was taken
_RAYS = 32
_BAND = (0.3, 0.7)  # rows that are looked at: neither floor nor ceiling


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera: focal lengths and middle in pixels of its image, which is ``rotation_deg`` off upright.

    ``rotation_deg``: how far the image is to be turned clockwise so that up is up, 0, 90, 180 or 270.
    """

    fx: float
    cx: float
    width_px: int
    fy: float
    cy: float
    height_px: int
    rotation_deg: int = 0

    def columns(self) -> tuple[float, float, int]:
        """Focal length, middle and width of the upright image, in pixels."""
        if self.rotation_deg in (90, 270):
            return self.fy, self.cy if self.rotation_deg == 270 else self.height_px - 1 - self.cy, self.height_px
        return self.fx, self.width_px - 1 - self.cx if self.rotation_deg else self.cx, self.width_px


def intrinsics(info: Any) -> Intrinsics | None:
    """Of a sensor_msgs/CameraInfo; None where it is not calibrated."""
    left, top, width, height = image_part(info)
    fx, fy = float(info.k[0]), float(info.k[4])
    if math.isfinite(fx) and fx > 0 and math.isfinite(fy) and fy > 0 and width and height:
        return Intrinsics(fx, float(info.k[2]) - left, width, fy, float(info.k[5]) - top, height)
    return None


@dataclass(frozen=True)
class Stand:
    """Where the camera is on the map, and where it looks: metres, radians anticlockwise from x (REP 103)."""

    x: float
    y: float
    yaw: float

    def of_camera(self, mounted: "Stand") -> "Stand":
        """Where a camera is that is ``mounted`` on what stands here: ahead of it, to its left, turned to its left."""
        sine, cosine = math.sin(self.yaw), math.cos(self.yaw)
        x, y = self.x + cosine * mounted.x - sine * mounted.y, self.y + sine * mounted.x + cosine * mounted.y
        return Stand(x, y, self.yaw + mounted.yaw)


def outline(stand: Stand, depth: MeasuredDepth | None, camera: Intrinsics | None) -> NDArray[np.float64]:
    """(N, 2) metres: the polygon on the floor that a frame shows.

    Args:
        depth: (H, W) metres, NaN where nothing was measured, or uint16 millimetres, 0 there; along the optical axis.
        camera: of the depth image; None: how wide it sees is not known.
    """
    if depth is None or camera is None:
        angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
        return np.stack([stand.x + NEAR_M * np.cos(angles), stand.y + NEAR_M * np.sin(angles)], axis=1)
    depth = np.rot90(depth, -camera.rotation_deg // 90)
    (height, width), (focal, middle, width_px) = depth.shape, camera.columns()
    # Every fourth row of the middle band, and as many columns as there are rays times eight.
    columns = np.linspace(0, width - 1, 8 * _RAYS).astype(int)
    band = depth[int(_BAND[0] * height) : max(int(_BAND[1] * height), int(_BAND[0] * height) + 1) : 4, columns]
    band_m = to_metres(band)
    ranges_m = _medians(band_m.reshape(len(band), _RAYS, 8).transpose(1, 0, 2).reshape(_RAYS, -1))
    pixels = (columns.reshape(_RAYS, 8).mean(axis=1) + 0.5) * width_px / width - 0.5
    bearing = -np.arctan((pixels - middle) / focal)  # image columns run to the right, angles to the left
    reach_m = np.minimum(ranges_m / np.cos(bearing), REACH_M)
    ends = np.stack([np.cos(stand.yaw + bearing), np.sin(stand.yaw + bearing)], axis=1) * reach_m[:, None]
    return np.asarray(np.concatenate([[[0.0, 0.0]], ends]) + np.array([stand.x, stand.y]), np.float64)


def _medians(depth_m: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, K) -> (N,) the median of what was measured in each row; 0 where nothing was: that shows nothing."""
    ordered = np.sort(depth_m, axis=1)  # NaN comes last
    count = np.isfinite(depth_m).sum(axis=1)
    middle = ordered[np.arange(len(ordered)), np.maximum(count - 1, 0) // 2]
    return np.where(count > 0, middle, 0.0).astype(np.float64)


def cells_in(polygon_m: NDArray[np.float64], grid: Grid) -> NDArray[np.intp]:
    """(N, 2) row, column of the grid's cells whose middles the polygon covers."""
    corners = (polygon_m - grid.origin_m) / grid.resolution_m - 0.5
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, np.array(grid.shape[::-1]))
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, 0, np.array(grid.shape[::-1]))
    if (high <= low).any():
        return np.zeros((0, 2), np.intp)
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.fillPoly(mask, [np.round((corners - low) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return np.asarray(np.argwhere(mask) + low[::-1], np.intp)
