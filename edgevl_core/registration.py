"""Whether a depth image is registered to its RGB image: said from sizes, frames and intrinsics, never assumed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

YES = "yes"


@dataclass(frozen=True)
class View:
    """What is known of one camera's images. ``intrinsics``: fx, fy, cx, cy in pixels; None: no camera_info yet."""

    width: int
    height: int
    frame_id: str
    intrinsics: tuple[float, float, float, float] | None = None


def intrinsics_of(info: Any) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy of a sensor_msgs/CameraInfo."""
    return float(info.k[0]), float(info.k[4]), float(info.k[2]), float(info.k[5])


def registration(rgb: View, depth: View) -> str:
    """ "yes", "no, <why>" or "unknown, <what is missing>".

    A driver that registers depth to RGB publishes it in RGB's frame, at RGB's size, with RGB's intrinsics.
    """
    if (rgb.width, rgb.height) != (depth.width, depth.height):
        return f"no, sizes differ (RGB {rgb.width}x{rgb.height}, depth {depth.width}x{depth.height})"
    if rgb.frame_id != depth.frame_id:
        return f"no, frames differ (RGB {rgb.frame_id}, depth {depth.frame_id})"
    missing = [name for name, view in (("RGB", rgb), ("depth", depth)) if view.intrinsics is None]
    if rgb.intrinsics is None or depth.intrinsics is None:
        return f"unknown, no camera_info of {' and '.join(missing)}"
    if not np.allclose(rgb.intrinsics, depth.intrinsics, rtol=0.005, atol=0.5):
        return f"no, intrinsics differ (fx of RGB {rgb.intrinsics[0]:.1f}, of depth {depth.intrinsics[0]:.1f})"
    return YES


class RegistrationCheck:
    """Collects what registration is told from, as it arrives: the images' sizes and frames, each camera's first info.

    Attributes:
        verdict: as :func:`registration` says it.
        intrinsics: by camera, "rgb" and "depth".
    """

    def __init__(self) -> None:
        self.verdict = "unknown, no pair yet"
        self.intrinsics: dict[str, tuple[float, float, float, float]] = {}
        self._seen: Mapping[str, tuple[int, int, str]] = {}

    def images(self, **seen: tuple[int, int, str]) -> bool:
        """Width, height and frame of the images ``rgb`` and ``depth`` of a pair; whether the verdict changed."""
        if seen == self._seen:
            return False
        self._seen = seen
        return self._judge()

    def info(self, camera: str, info: Any) -> bool:
        """A CameraInfo of "rgb" or "depth"; whether the verdict changed."""
        self.intrinsics[camera] = intrinsics_of(info)
        return self._judge()

    def _judge(self) -> bool:
        before = self.verdict
        if self._seen:
            rgb, depth = (View(*self._seen[camera], self.intrinsics.get(camera)) for camera in ("rgb", "depth"))
            self.verdict = registration(rgb, depth)
        return self.verdict != before
