"""Which pairs are worth keeping: often enough, from another place, new enough, sharp, lit, with enough depth."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.depth import LINEAR_RANGE_M, MeasuredDepth, is_measured, to_metres
from edgevl_core.pairlog.motion import Pose, distance_m, turn_rad

TOO_SOON = "too_soon"
NOT_MOVED = "not_moved"
NO_POSE = "no_pose"
DARK = "dark"
BLURRED = "blurred"
DEPTH_INVALID = "depth_invalid"
NOT_NOVEL = "not_novel"

_THUMBNAIL = (16, 12)  # width, height: too coarse for sensor noise, fine enough to see the robot move
_ENOUGH_PX = 640  # of width: what larger images have more says nothing to a thumbnail, and costs 100 MB at 8 megapixels
_SHARPNESS_WIDTH_PX = 320


class FrameSelector:
    """Decides pair by pair; every threshold is off when it is None.

    Args:
        min_interval_s: least time since the last kept pair, by stamps.
        min_novelty: least mean absolute change against the last kept pair, 0..1 of full scale, of RGB or of
            depth (16 x 12 thumbnails, depth over 10 m; 0.02 is a slight move).
        min_sharpness: least variance of the Laplacian of the grey image at 320 px width (0..255 grey levels
            squared; under about 30 is blurred).
        min_brightness: least mean grey level, 0..255. A dark image is useless even with good depth: the
            teacher sees RGB only.
        min_depth_valid: least share of depth pixels with a measurement, 0..1.
        min_distance_m, min_turn_rad: least motion since the last kept pair, straight from there to here. With both,
            either of them is enough.

    Attributes:
        counts: "kept", and dropped pairs by reason.
    """

    def __init__(
        self,
        min_interval_s: float | None = None,
        min_novelty: float | None = None,
        min_sharpness: float | None = None,
        min_brightness: float | None = None,
        min_depth_valid: float | None = None,
        min_distance_m: float | None = None,
        min_turn_rad: float | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._min_interval_ns = None if min_interval_s is None else round(min_interval_s * 1e9)
        self._min_novelty = min_novelty
        self._min_sharpness = min_sharpness
        self._min_brightness = min_brightness
        self._min_depth_valid = min_depth_valid
        self._min_distance_m = min_distance_m
        self._min_turn_rad = min_turn_rad
        self._last_stamp_ns: int | None = None
        self._last_pose: Pose | None = None
        self._last_thumbnails: list[NDArray[np.float32]] | None = None

    def without_images(self, stamp_ns: int, pose: Pose | None = None) -> str | None:
        """The verdict of interval and motion, before anything is decoded; a refusal is counted."""
        reason = self._interval(stamp_ns) or self._motion(pose)
        if reason is not None:
            self.counts[reason] += 1
        return reason

    def _interval(self, stamp_ns: int) -> str | None:
        if self._min_interval_ns is None or self._last_stamp_ns is None:
            return None
        # A clock that was set back must not silence the log until it has caught up.
        return TOO_SOON if 0 <= stamp_ns - self._last_stamp_ns < self._min_interval_ns else None

    def _motion(self, pose: Pose | None) -> str | None:
        if self._min_distance_m is None and self._min_turn_rad is None:
            return None
        if pose is None:
            return NO_POSE
        last = self._last_pose
        if last is None:
            return None
        moved = self._min_distance_m is not None and distance_m(last, pose) >= self._min_distance_m
        turned = self._min_turn_rad is not None and turn_rad(last, pose) >= self._min_turn_rad
        return None if moved or turned else NOT_MOVED

    def decide(
        self,
        stamp_ns: int,
        rgb: NDArray[np.uint8] | None,
        depth: MeasuredDepth,
        pose: Pose | None = None,
    ) -> str | None:
        """None when the pair is kept (and becomes what the next ones are compared with), else the reason.

        Args:
            rgb: (H, W, 3) uint8; None where depth alone is logged: rules about RGB then have no say.
            depth: (H', W'), uint16 millimetres or float32 metres.
            pose: the robot's at that stamp; None where it is not known.
        """
        if reason := self.without_images(stamp_ns, pose):
            return reason
        reason = self._quality(rgb, depth)
        thumbnails = None
        if reason is None and self._min_novelty is not None:
            grey = [] if rgb is None else [_thumbnail(rgb_grey(_coarse(rgb)).astype(np.float32) / 255.0)]
            thumbnails = [*grey, _depth_thumbnail(to_metres(_coarse(depth)))]
            if self._last_thumbnails is not None:
                before = self._last_thumbnails
                change = max(float(np.abs(new - old).mean()) for new, old in zip(thumbnails, before))
                if change < self._min_novelty:
                    reason = NOT_NOVEL
        if reason is not None:
            self.counts[reason] += 1
            return reason
        self.counts["kept"] += 1
        self._last_stamp_ns = stamp_ns
        self._last_pose = pose
        self._last_thumbnails = thumbnails
        return None

    def _quality(self, rgb: NDArray[np.uint8] | None, depth: MeasuredDepth) -> str | None:
        checks: list[tuple[str, float | None, Callable[[], float]]] = [
            (DEPTH_INVALID, self._min_depth_valid, lambda: depth_valid_ratio(depth)),
        ]
        if rgb is not None:  # the cheapest first, the dearest last
            checks.insert(0, (DARK, self._min_brightness, lambda: brightness(rgb)))
            checks.append((BLURRED, self._min_sharpness, lambda: sharpness(rgb)))
        failed = (reason for reason, least, value in checks if least is not None and value() < least)
        return next(failed, None)


def rgb_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) uint8 luma of (H, W, 3) RGB."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), np.uint8)


def brightness(rgb: NDArray[np.uint8]) -> float:
    """Mean luma, 0..255."""
    red, green, blue, _ = cv2.mean(np.ascontiguousarray(rgb))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def sharpness(rgb: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian at 320 px width, so that one threshold serves every resolution."""
    grey = rgb_grey(rgb)
    height, width = grey.shape
    if width > _SHARPNESS_WIDTH_PX:
        size = (_SHARPNESS_WIDTH_PX, max(1, round(height * _SHARPNESS_WIDTH_PX / width)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(deviation[0, 0]) ** 2


def depth_valid_ratio(depth: MeasuredDepth) -> float:
    """Share of the pixels that hold a measurement, 0..1."""
    return float(is_measured(depth).mean()) if depth.size else 0.0


def _coarse(image: NDArray[Any]) -> NDArray[Any]:
    """Every n-th row and column, a view: n is 1 up to a width of 640 px."""
    step = max(1, -(-image.shape[1] // _ENOUGH_PX))
    return image[::step, ::step]


def _thumbnail(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image, _THUMBNAIL, interpolation=cv2.INTER_AREA), np.float32)


def _depth_thumbnail(depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth over 10 m, 0..1, holes filled from their own cell: flickering holes are no novelty."""
    valid = np.isfinite(depth_m)
    scaled = np.where(valid, np.minimum(depth_m / np.float32(LINEAR_RANGE_M), 1.0), 0.0).astype(np.float32)
    weight = _thumbnail(valid.astype(np.float32))
    return np.where(weight > 0, _thumbnail(scaled) / np.maximum(weight, 1e-6), 0.0).astype(np.float32)
