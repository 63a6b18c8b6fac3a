"""Depth on one road: a message is decoded to what was measured, and that becomes pixels for the network.

What was measured (:data:`MeasuredDepth`) stays in the camera's unit, which its dtype tells: from 16UC1 to the network
no pixel is ever a float. Distances are along the optical axis (REP 118); ``depth_m`` is float32 metres, NaN = none.
"""

import functools
import math
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.images import ImageFormatError, decode_as_it_is

DepthArray = NDArray[np.float32]
MeasuredDepth = NDArray[np.uint16] | NDArray[np.float32]
"""(H, W) uint16 millimetres with 0 = invalid, or float32 metres with NaN = invalid."""
MILLIMETRES = ("16UC1", "mono16")
"""Encodings of uint16 millimetres, 0 = invalid."""

LINEAR_RANGE_M = 10.0
"""metric, channel 0: 255 at this depth and beyond."""
INVERSE_UNIT_M = 0.2
"""metric, channel 1: 255 * (this / depth), 255 at this depth and nearer."""

LOG_RANGE_M = (0.3, 10.0)
"""log: code 1 at the first depth and nearer, 255 at the second one and beyond."""
LOG_CODES = 254 / math.log(LOG_RANGE_M[1] / LOG_RANGE_M[0])
"""log: codes for each time that the depth grows by a factor of e."""

DepthEncoding = Literal["metric", "log", "minmax"]
ENCODINGS = get_args(DepthEncoding)


def to_measured(raw: NDArray[Any], encoding: str) -> MeasuredDepth:
    """A decoded depth image in its own unit, invalid pixels marked: uint16 is not converted while it is large.

    Args:
        raw: (H, W) as decoded: uint16 millimetres for 16UC1 and mono16 (0 invalid), float metres for 32FC1
            and 64FC1 (NaN, +-Inf and <= 0 invalid).

    Returns:
        (H, W) uint16 millimetres, 0 = invalid, for 16UC1 and mono16: ``raw`` itself; float32 metres, NaN = invalid, for
        the others: a new array.

    Raises:
        ImageFormatError: the encoding is no depth encoding, ``raw`` is not of its type, or has more than one channel.
    """
    if raw.ndim != 2:
        raise ImageFormatError(f"a depth image has one channel, this one has the shape {raw.shape}")
    if encoding in MILLIMETRES and raw.dtype == np.uint16:
        return raw
    if encoding in ("32FC1", "64FC1") and raw.dtype.kind == "f":
        with np.errstate(over="ignore"):
            depth_m = raw.astype(np.float32)
        depth_m[~((depth_m > 0) & (depth_m < np.inf))] = np.nan
        return depth_m
    raise ImageFormatError(
        f"{encoding!r} of {raw.dtype} is no depth encoding: 16UC1 (uint16 millimetres) or 32FC1 (metres) are"
    )


def decode_depth(msg: Any) -> MeasuredDepth:
    """The depth image of an Image or CompressedImage (png or compressedDepth), in the unit of the message.

    A grey 16-bit PNG whose format does not say what it holds is taken for millimetres.

    Raises:
        ImageFormatError: it cannot be decoded, or is no depth image.
    """
    return to_measured(*decode_as_it_is(msg))


def to_metres(depth: MeasuredDepth) -> DepthArray:
    """(..., H, W) float32 metres, NaN = invalid: for whoever needs distances. Metres are given back as they are."""
    if depth.dtype != np.uint16:
        return np.asarray(depth, np.float32)
    depth_m = depth.astype(np.float32)
    depth_m /= np.float32(1000.0)
    depth_m[depth == 0] = np.nan
    return depth_m


def to_millimetres(depth: MeasuredDepth) -> NDArray[np.uint16]:
    """(..., H, W) uint16 millimetres, 0 = invalid, what is farther than 65.535 m that; they are given back as they are.

    Metres are rounded.
    """
    if depth.dtype == np.uint16:
        return np.asarray(depth, np.uint16)
    scaled = np.asarray(depth * np.float32(1000.0), np.float32)
    scaled += np.float32(0.5)
    np.fmax(scaled, 0.0, out=scaled)  # fmax takes the number where the other is NaN: invalid becomes 0
    np.fmin(scaled, 65535.0, out=scaled)
    return scaled.astype(np.uint16)


def is_measured(depth: MeasuredDepth) -> NDArray[np.bool_]:
    """(..., H, W) bool: where there is a measurement."""
    return np.asarray(depth != 0 if depth.dtype == np.uint16 else np.isfinite(depth))


def encode_depth(depth: MeasuredDepth, name: str) -> NDArray[np.uint8]:
    """Depth as the three channels a network is given.

    Args:
        depth: (..., H, W) metres, NaN = invalid, or uint16 millimetres, 0 = invalid; leading axes are a batch.
        name: "metric" (depth over 10 m, 0.2 m / depth, validity; at a resolution of 1 mm; invalid = 0, 0, 0),
            "log" (a grey picture: the logarithm of the depth in all channels, from 1 at 0.3 m to 255 at 10 m, steps of
            1.4 % of the depth; invalid = 0) or "minmax" (EdgeVL: a grey picture, stretched over each image's own range,
            holes counting as 0; a blank image stays 0).

    Returns:
        (..., H, W, 3) uint8.

    Raises:
        ValueError: an unknown name.
    """
    if name in ("metric", "log"):
        packed = _table(name)[to_millimetres(depth)].view(np.uint8)
        if not packed.size:
            return np.zeros((*depth.shape, 3), np.uint8)
        # cvtColor drops the fourth byte five times faster than a strided copy does.
        pixels = cv2.cvtColor(packed.reshape(-1, depth.shape[-1], 4), cv2.COLOR_BGRA2BGR)
        return np.asarray(pixels, np.uint8).reshape(*depth.shape, 3)
    if name == "minmax":
        filled = np.nan_to_num(to_metres(depth), nan=0.0, posinf=0.0, neginf=0.0)
        low = filled.min(axis=(-2, -1), keepdims=True)
        span = filled.max(axis=(-2, -1), keepdims=True) - low
        scale = np.divide(255.0, span, out=np.zeros_like(span), where=span > 0)
        stretched = ((filled - low) * scale + 0.5).astype(np.uint8)
        return np.repeat(stretched[..., None], 3, axis=-1)
    raise ValueError(f"depth encoding {name!r} is not one of {ENCODINGS}")


@functools.cache
def _table(name: str) -> NDArray[np.uint32]:
    """(65536,) millimetres -> three bytes and an unused fourth, packed: one look-up per pixel, not three."""
    metres = np.arange(1, 65536, dtype=np.float64) / 1000.0
    channels = np.zeros((65536, 4), np.uint8)
    if name == "metric":
        channels[1:, 0] = np.rint(255.0 * np.minimum(metres / LINEAR_RANGE_M, 1.0))
        channels[1:, 1] = np.rint(255.0 * np.minimum(INVERSE_UNIT_M / metres, 1.0))
        channels[1:, 2] = 255
    else:
        near, far = LOG_RANGE_M
        channels[1:, :3] = np.rint(1 + LOG_CODES * np.log(np.clip(metres, near, far) / near))[:, None]
    return channels.view(np.uint32).reshape(-1)
