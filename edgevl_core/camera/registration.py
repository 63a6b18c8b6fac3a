"""Whether depth is registered to RGB, and bringing it there: from camera_info, sizes and frames, never assumed.

A student learns that depth shows what RGB shows, so the two must look at the same part of the scene. Where the driver
has not seen to that, but both cameras say how they look (sensor_msgs/CameraInfo), depth is cut to RGB's field of view,
or filled up with invalid pixels where it sees less. The few centimetres between two cameras and the lenses' distortion
are left as they are: 5 cm move a point 2 m away by 1.4 degrees, a fiftieth of a usual field of view.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.depth import MeasuredDepth

DepthImage = TypeVar("DepthImage", NDArray[np.uint16], NDArray[np.float32], MeasuredDepth)
YES = "yes"
BY_CAMERA_INFO = "by camera_info"
INFO_OF = {"camera_info": "rgb", "depth_camera_info": "depth"}
"""Camera by stream of its camera_info."""
_SAME = 0.005
"""Share of a side by which two fields of view may differ and count as the same."""
_LEAST_SIDE, _MOST_SIDE = 0.1, 4.0
"""RGB's field of view in those of depth; beyond, one of the two calibrations is wrong."""


class FieldOfView(NamedTuple):
    """What a camera sees of the plane one metre ahead of it, metres right and down of the optical axis (REP-104)."""

    left: float
    top: float
    right: float
    bottom: float


class Window(NamedTuple):
    """RGB's field of view within a depth image, in shares of its width and height; it may reach beyond 0..1."""

    left: float
    top: float
    right: float
    bottom: float

    def __str__(self) -> str:
        return (
            f"columns {self.left:.0%} to {self.right:.0%} and rows {self.top:.0%} to {self.bottom:.0%} of depth "
            "are what RGB sees"
        )


def field_of_view(info: Any) -> FieldOfView | None:
    """Of a sensor_msgs/CameraInfo, by its size and K; None where the camera is not calibrated."""
    fx, cx, fy, cy = (float(info.k[i]) for i in (0, 2, 4, 5))
    if not (fx > 0 and fy > 0 and info.width and info.height):
        return None
    # A pixel's centre has whole coordinates: the image begins half a pixel before the first.
    return FieldOfView((-0.5 - cx) / fx, (-0.5 - cy) / fy, (info.width - 0.5 - cx) / fx, (info.height - 0.5 - cy) / fy)


def shared_window(rgb: FieldOfView, depth: FieldOfView) -> Window:
    """RGB's field of view within the depth image; (0, 0, 1, 1) where both cameras see the same."""
    width, height = depth.right - depth.left, depth.bottom - depth.top
    return Window(
        (rgb.left - depth.left) / width,
        (rgb.top - depth.top) / height,
        (rgb.right - depth.left) / width,
        (rgb.bottom - depth.top) / height,
    )


def cut(depth: DepthImage, window: Window | None) -> DepthImage:
    """The window's part of a depth image, at the image's own resolution.

    Args:
        depth: (H, W) uint16 millimetres, 0 = invalid, or float32 metres, NaN = invalid.
        window: None: the whole image.

    Returns:
        (H', W') of the same type: a view where the window lies within the image, else filled up with invalid pixels.
    """
    if window is None:
        return depth
    height, width = depth.shape
    left, right = _pixels(window.left, window.right, width)
    top, bottom = _pixels(window.top, window.bottom, height)
    inside = depth[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.shape == (bottom - top, right - left):
        return inside
    filled = np.full((bottom - top, right - left), 0 if depth.dtype == np.uint16 else np.nan, depth.dtype)
    y, x = max(-top, 0), max(-left, 0)
    filled[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return filled


def _pixels(low: float, high: float, size: int) -> tuple[int, int]:
    first = round(low * size)
    return first, max(first + 1, round(high * size))


class Registration:
    """Collects what registration is told from, as it arrives: each camera's first info, the images' sizes and frames.

    Attributes:
        verdict: "yes", "by camera_info, <what is done>", "no, <why>", or "unknown, <what is missing>".
        window: what :func:`cut` needs; None where nothing is to be cut.
    """

    def __init__(self) -> None:
        self.verdict = "unknown, no camera_info of RGB and depth"
        self.window: Window | None = None
        self._infos: dict[str, FieldOfView | None] = {}
        self._frames: dict[str, str] = {}
        self._seen: Mapping[str, tuple[int, int, str]] = {}

    def knows(self, camera: str) -> bool:
        """Whether there was an info of "rgb" or "depth"."""
        return camera in self._infos

    def info(self, camera: str, info: Any) -> bool:
        """A CameraInfo of "rgb" or "depth", of which the first counts; whether the verdict changed."""
        if camera in self._infos:
            return False
        self._infos[camera], self._frames[camera] = field_of_view(info), info.header.frame_id
        return self._update_verdict()

    def images(self, **seen: tuple[int, int, str]) -> bool:
        """Width, height and frame of the images ``rgb`` and ``depth`` of a pair; whether the verdict changed."""
        if seen == self._seen:
            return False
        self._seen = seen
        self._frames |= {camera: frame for camera, (_, _, frame) in seen.items()}
        return self._update_verdict()

    def _update_verdict(self) -> bool:
        before = self.verdict
        rgb, depth = self._infos.get("rgb"), self._infos.get("depth")
        if rgb is None or depth is None:
            self.verdict, self.window = self._without_infos(), None
        else:
            self.verdict, self.window = self._with_infos(shared_window(rgb, depth))
        return self.verdict != before

    def _with_infos(self, window: Window) -> tuple[str, Window | None]:
        if np.allclose(window, (0, 0, 1, 1), rtol=0, atol=_SAME):
            one_frame = self._frames["rgb"] == self._frames["depth"]
            return (YES if one_frame else f"{BY_CAMERA_INFO}, both see the same"), None
        sides = window.right - window.left, window.bottom - window.top
        apart = window.right <= 0 or window.bottom <= 0 or window.left >= 1 or window.top >= 1
        if apart or min(sides) < _LEAST_SIDE or max(sides) > _MOST_SIDE:
            return f"no, the cameras' intrinsics do not go together ({window})", None
        return f"{BY_CAMERA_INFO}, {window}", window

    def _without_infos(self) -> str:
        missing = " and ".join(
            name for camera, name in (("rgb", "RGB"), ("depth", "depth")) if self._infos.get(camera) is None
        )
        if self._seen:
            rgb, depth = self._seen["rgb"], self._seen["depth"]
            if rgb[:2] != depth[:2]:
                return f"no, sizes differ (RGB {rgb[0]}x{rgb[1]}, depth {depth[0]}x{depth[1]})"
            if rgb[2] != depth[2]:
                return f"no, frames differ (RGB {rgb[2]}, depth {depth[2]})"
        return f"unknown, no camera_info of {missing}"


def as_learned(live: Registration, learned: Sequence[str]) -> tuple[Window | None, str]:
    """The window for a robot's depth, and in words what differs from where its student learned; empty: nothing.

    A student that learned from registered depth, in some of its bags at least, gets it; another gets depth as it comes.

    Args:
        live: of the robot's cameras.
        learned: the verdicts of the bags that the student learned from.
    """
    others = [verdict for verdict in learned if not verdict.startswith((YES, BY_CAMERA_INFO))]
    if len(others) == len(learned):
        why = f"{others[0]} there" if others else "its bundle names no bags"
        return None, (f"depth is not cut to RGB's view, as the student did not learn so ({why})" if live.window else "")
    if live.verdict.startswith("no") and not others:
        return None, (
            f"depth is not registered to RGB ({live.verdict.removeprefix('no, ')}), and was where the student learned: "
            "set camera_info_topic and depth_camera_info_topic, or let the driver align depth"
        )
    return live.window, ""
