"""Pictures that can be read and still may be wrong: the unit of depth, a camera that lies on its side."""

from collections import deque
from typing import Any

import numpy as np

from edgevl_core.camera.depth import MeasuredDepth, is_measured, to_metres
from edgevl_core.camera.encodings import is_compressed_depth
from edgevl_core.camera.limits import ImageFormatError
from edgevl_core.camera.picture_file import read_header

NEAREST_MEDIAN_M, FAR_MEDIAN_M, FARTHEST_MEDIAN_M = 0.05, 12.0, 50.0
"""A scene whose median depth lies beyond the first or the last is none that a robot's camera sees. Beyond the second it
is none within a home, where millimetres are tenths of them in some drivers."""
UNIT_FIX = "16UC1 holds millimetres and 32FC1 metres (REP 118): correct the driver's depth scale"
_REMEMBERED = 16
_STEP = 4  # every fourth row and column is enough for a median
_TURNS = {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}  # clockwise, by EXIF orientation


def median_m(depth: MeasuredDepth) -> float | None:
    """Median of what a depth image, (H, W) uint16 millimetres or float32 metres, has measured; None: nothing."""
    sample = depth[::_STEP, ::_STEP]
    measured_m = to_metres(sample[is_measured(sample)])
    return float(np.median(measured_m)) if measured_m.size else None


def unit_doubt(middle_m: float, is_millimetres: bool) -> str:
    """Why the unit of a camera's depth images is to be doubted; empty where it is not.

    Args:
        middle_m: median of their medians, metres.
        is_millimetres: they come as uint16.
    """
    if middle_m > FARTHEST_MEDIAN_M:
        return "too far for a room, as if millimetres stood where metres should"
    if middle_m > FAR_MEDIAN_M and is_millimetres:
        return "too far for a room, as if tenths of millimetres stood where millimetres should"
    if middle_m < NEAREST_MEDIAN_M:
        return "too near for a camera, as if metres stood where millimetres should"
    return ""


class DepthWatch:
    """Looks at some of a camera's depth images, live or recorded.

    Args:
        every: of how many images one is looked at.
    """

    def __init__(self, every: int = 1) -> None:
        self._every = every
        self._seen = 0
        self._medians_m: deque[float] = deque(maxlen=_REMEMBERED)
        self._is_millimetres = False

    def add(self, depth: MeasuredDepth) -> None:
        """Take an image, (H, W) uint16 millimetres or float32 metres."""
        self._seen += 1
        if (self._seen - 1) % self._every == 0 and (median := median_m(depth)) is not None:
            self._medians_m.append(median)
            self._is_millimetres = depth.dtype == np.uint16

    def doubt(self) -> str:
        """Why their unit is to be doubted, and what to do; empty: it is not, or nothing was measured."""
        medians_m = list(self._medians_m)  # another thread may be adding
        middle_m = float(np.median(medians_m)) if medians_m else 1.0
        why = unit_doubt(middle_m, self._is_millimetres)
        return f"median depth {middle_m:.3g} m, {why}: {UNIT_FIX}" if why else ""


def turn_doubt(msg: Any) -> str:
    """What to know of an Image or CompressedImage that EXIF says to turn; empty where it does not."""
    if not hasattr(msg, "format") or is_compressed_depth(msg):
        return ""
    try:
        header = read_header(np.frombuffer(msg.data, np.uint8), "")
    except ImageFormatError:
        return ""
    if header.orientation == 1:
        return ""
    turn = f", by {_TURNS[header.orientation]} degrees clockwise" if header.orientation in _TURNS else ", mirrored"
    return (
        f"its JPEGs ask to be turned{turn} (EXIF orientation {header.orientation}), and are used as they are stored: "
        "where the camera is mounted so, set preprocess.rotation_deg, which turns depth as well"
    )
