"""Whether depth is registered to RGB, and bringing it there: from camera_info, sizes and frames, never assumed.

A student learns that depth shows what RGB shows, so the two must look at the same part of the scene. Where the driver
has not seen to that, but both cameras say how they look (sensor_msgs/CameraInfo), depth is cut to RGB's field of view,
or filled up with invalid pixels where it sees less. The few centimetres between two cameras and the lenses' distortion
are left as they are: 5 cm move a point 2 m away by 1.4 degrees, a fiftieth of a usual field of view.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.depth import MeasuredDepth

DepthImage = TypeVar("DepthImage", NDArray[np.uint16], NDArray[np.float32], MeasuredDepth)
INFO_OF = {"camera_info": "rgb", "depth_camera_info": "depth"}
"""Camera by stream of its camera_info."""
_NAMES = {"rgb": "RGB", "depth": "depth"}
_SAME = 0.005
"""Share of a side by which two fields of view may differ and count as the same."""
_LEAST_VIEW, _MOST_VIEW = 1e-3, 1e3
"""Metres that a camera sees of the plane one metre ahead: a twentieth of a degree, and nearly a half circle."""
_LEAST_SIDE, _MOST_SIDE = 0.1, 4.0
"""RGB's field of view in those of depth; beyond, one of the two calibrations is wrong."""


class FieldOfView(NamedTuple):
    """What a camera sees of the plane one metre ahead of it, metres right and down of the optical axis (REP-104)."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def degrees(self) -> str:
        """Its width and height, for people."""
        width, height = (
            math.degrees(math.atan(high) - math.atan(low))
            for low, high in ((self.left, self.right), (self.top, self.bottom))
        )
        return f"{width:.0f}x{height:.0f} degrees"


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


def image_part(info: Any) -> tuple[int, int, int, int]:
    """Left, top, width, height of the image within the whole sensor, which size and K of a CameraInfo are of."""
    roi = info.roi
    if roi.width and roi.height:
        return int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height)
    return 0, 0, int(info.width), int(info.height)


def field_of_view(info: Any) -> FieldOfView | None:
    """Of a sensor_msgs/CameraInfo, by its size, its region of interest and K; None: not calibrated (zeros, NaN)."""
    k = [float(value) for value in info.k]
    fx, cx, fy, cy = k[0], k[2], k[4], k[5]
    if not (all(map(math.isfinite, k)) and fx > 0 and fy > 0 and info.width and info.height):
        return None
    # A pixel's centre has whole coordinates: the image begins half a pixel before the first.
    x, y, width, height = image_part(info)
    left, top = x - 0.5 - cx, y - 0.5 - cy
    view = FieldOfView(left / fx, top / fy, (left + width) / fx, (top + height) / fy)
    is_one = all(_LEAST_VIEW < side < _MOST_VIEW for side in (view.right - view.left, view.bottom - view.top))
    return view if is_one and all(map(math.isfinite, view)) else None


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


class Status(str, Enum):
    """Whether depth shows what RGB shows."""

    YES = "yes"
    BY_CAMERA_INFO = "by camera_info"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Registration:
    """Whether depth is registered to RGB.

    Attributes:
        window: what :func:`cut` needs; None where nothing is to be cut.
        reason: for people: what is done, why not, or what is missing.
    """

    status: Status
    window: Window | None = None
    reason: str = ""

    @property
    def is_registered(self) -> bool:
        """Whether depth, cut to ``window``, shows what RGB shows."""
        return self.status in (Status.YES, Status.BY_CAMERA_INFO)

    def __str__(self) -> str:
        return f"{self.status.value}, {self.reason}" if self.reason else self.status.value


def parse_registration(text: str) -> Registration:
    """From the text of a manifest, a log or diagnostics; without the window. What is not understood is unknown."""
    status, _, reason = text.partition(",")
    try:
        return Registration(Status(status.strip()), None, reason.strip())
    except ValueError:
        return Registration(Status.UNKNOWN, None, text)


class RegistrationFinder:
    """Collects what registration is told from, as it arrives: each camera's infos, the images' sizes and frames.

    Attributes:
        found: what is known by now.
    """

    def __init__(self) -> None:
        self.found = Registration(Status.UNKNOWN, None, "no camera_info of RGB and depth")
        self._views: dict[str, FieldOfView] = {}
        self._uncalibrated: set[str] = set()
        self._changes: dict[str, str] = {}
        self._frames: dict[str, str] = {}
        self._seen: Mapping[str, tuple[int, int, str]] = {}

    @property
    def changes(self) -> list[str]:
        """Cameras whose calibration changed after the first, one sentence each."""
        return list(self._changes.values())

    def knows(self, camera: str) -> bool:
        """Whether there was a calibrated info of "rgb" or "depth"."""
        return camera in self._views

    def info(self, camera: str, info: Any) -> bool:
        """A CameraInfo of "rgb" or "depth"; the first calibrated one counts. Whether ``found`` changed."""
        view, known = field_of_view(info), self._views.get(camera)
        if known is not None:
            if view is not None and not _is_same_view(known, view):
                self._changes[camera] = (
                    f"camera_info of {_NAMES[camera]} changed from a view of {known.degrees} to {view.degrees}: the "
                    "first calibrated one counts; begin anew after changing a camera's mode"
                )
            return False
        if view is None:
            self._uncalibrated.add(camera)
        else:
            self._views[camera], self._frames[camera] = view, info.header.frame_id
        return self._update()

    def images(self, **seen: tuple[int, int, str]) -> bool:
        """Width, height and frame of the images ``rgb`` and ``depth`` of a pair; whether ``found`` changed."""
        if seen == self._seen:
            return False
        self._seen = seen
        self._frames |= {camera: frame for camera, (_, _, frame) in seen.items()}
        return self._update()

    def _update(self) -> bool:
        before = self.found
        rgb, depth = self._views.get("rgb"), self._views.get("depth")
        if rgb is None or depth is None:
            self.found = self._without_infos()
        else:
            self.found = self._with_infos(shared_window(rgb, depth))
        return self.found != before

    def _with_infos(self, window: Window) -> Registration:
        if np.allclose(window, (0, 0, 1, 1), rtol=0, atol=_SAME):
            if self._frames["rgb"] == self._frames["depth"]:
                return Registration(Status.YES)
            return Registration(Status.BY_CAMERA_INFO, None, "both see the same")
        sides = window.right - window.left, window.bottom - window.top
        apart = window.right <= 0 or window.bottom <= 0 or window.left >= 1 or window.top >= 1
        if apart or min(sides) < _LEAST_SIDE or max(sides) > _MOST_SIDE:
            return Registration(Status.NO, None, f"the cameras' intrinsics do not go together ({window})")
        return Registration(Status.BY_CAMERA_INFO, window, str(window))

    def _without_infos(self) -> Registration:
        if self._seen:
            rgb, depth = self._seen["rgb"], self._seen["depth"]
            if rgb[:2] != depth[:2]:
                sizes = f"sizes differ (RGB {rgb[0]}x{rgb[1]}, depth {depth[0]}x{depth[1]})"
                return Registration(Status.NO, None, sizes)
            if rgb[2] != depth[2]:
                return Registration(Status.NO, None, f"frames differ (RGB {rgb[2]}, depth {depth[2]})")
        missing = [name for name in _NAMES if name not in self._views]
        absent = " and ".join(_NAMES[name] for name in missing if name not in self._uncalibrated)
        without = " and ".join(_NAMES[name] for name in missing if name in self._uncalibrated)
        reasons = [f"no camera_info of {absent}"] if absent else []
        reasons += [f"camera_info of {without} is not calibrated"] if without else []
        return Registration(Status.UNKNOWN, None, ", ".join(reasons))


def _is_same_view(a: FieldOfView, b: FieldOfView) -> bool:
    return bool(np.allclose(shared_window(a, b), (0, 0, 1, 1), rtol=0, atol=_SAME))


def as_learned(live: Registration, learned: Sequence[Registration]) -> tuple[Window | None, str]:
    """The window for a robot's depth, and in words what differs from where its student learned; empty: nothing.

    A student that learned from registered depth, in some of its bags at least, gets it; another gets depth as it comes.

    Args:
        live: of the robot's cameras.
        learned: of the bags that the student learned from.
    """
    others = [of_bag for of_bag in learned if not of_bag.is_registered]
    if len(others) == len(learned):
        why = f"{others[0]} there" if others else "its bundle names no bags"
        return None, (f"depth is not cut to RGB's view, as the student did not learn so ({why})" if live.window else "")
    if live.status is Status.NO and not others:
        return None, (
            f"depth is not registered to RGB ({live.reason}), and was where the student learned: "
            "set camera_info_topic and depth_camera_info_topic, or let the driver align depth"
        )
    return live.window, ""
