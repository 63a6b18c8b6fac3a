"""Images and camera_info at a lower resolution, as messages: what a log of reduced resolution holds.

RGB is averaged over areas. Depth takes the nearest pixel: an average across an edge is a distance at which nothing
stands.
"""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.depth import to_measured
from edgevl_core.camera.images import decode_as_it_is, decode_rgb
from edgevl_core.pairlog.compressing import depth_png_msg, jpeg_msg, png_msg
from edgevl_core.pairlog.types import header_stamp_ns, image_msg


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Width and height in pixels after scaling by 0 < ``scale`` <= 1; at least one pixel each."""
    return max(1, round(width * scale)), max(1, round(height * scale))


def scale_rgb(rgb: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 at a lower resolution, averaged over areas."""
    size = scaled_size(rgb.shape[1], rgb.shape[0], scale)
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def scale_depth(raw: NDArray[Any], scale: float) -> NDArray[Any]:
    """(H, W) of any depth type at a lower resolution: every value is one of the input's."""
    size = scaled_size(raw.shape[1], raw.shape[0], scale)
    return np.asarray(cv2.resize(raw, size, interpolation=cv2.INTER_NEAREST_EXACT), raw.dtype)


def scale_rgb_msg(message: Any, scale: float) -> Any:
    """An RGB Image as rgb8, a CompressedImage as jpeg (as png where it was png); header kept.

    Raises:
        ImageFormatError: the message cannot be decoded.
    """
    rgb = scale_rgb(decode_rgb(message), scale)
    stamp_ns, frame_id = header_stamp_ns(message), message.header.frame_id
    if not hasattr(message, "format"):
        return image_msg(rgb, "rgb8", stamp_ns, frame_id)
    return (png_msg if "png" in message.format else jpeg_msg)(rgb, stamp_ns, frame_id)


def scale_depth_msg(message: Any, scale: float) -> Any:
    """A depth Image in its own encoding, a CompressedImage as compressedDepth in millimetres; header kept.

    Raises:
        ImageFormatError: the message cannot be decoded, or is no depth image.
    """
    raw, encoding = decode_as_it_is(message)
    depth = to_measured(raw, encoding)  # refuses what is no depth
    stamp_ns, frame_id = header_stamp_ns(message), message.header.frame_id
    if not hasattr(message, "format"):
        return image_msg(scale_depth(raw, scale), encoding, stamp_ns, frame_id)
    return depth_png_msg(scale_depth(depth, scale), stamp_ns, frame_id)


def scale_info_msg(info: Any, scale: float) -> Any:
    """The CameraInfo that goes with images scaled by ``scale``: size, K, P and region of interest.

    A pixel's centre has whole coordinates, its corners lie half a pixel away: hence the halves at cx and cy.
    """
    width, height = scaled_size(int(info.width), int(info.height), scale)
    if not (info.width and info.height):  # an uncalibrated camera: nothing to scale
        return info
    x, y = width / info.width, height / info.height
    k, p = np.array(info.k, np.float64).reshape(3, 3), np.array(info.p, np.float64).reshape(3, 4)
    for matrix in (k, p):
        if matrix.any():  # all zeros: uncalibrated
            matrix[0] *= x
            matrix[1] *= y
            matrix[0, 2] += (x - 1.0) / 2.0
            matrix[1, 2] += (y - 1.0) / 2.0
    roi = replace(
        info.roi,
        x_offset=round(info.roi.x_offset * x),
        y_offset=round(info.roi.y_offset * y),
        width=round(info.roi.width * x),
        height=round(info.roi.height * y),
    )
    return replace(info, width=width, height=height, k=k.reshape(-1), p=p.reshape(-1), roi=roi)
