"""The one road from a camera image to the network's input: for training, evaluation and the robot."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edgevl_core.base.errors import UserError
from edgevl_core.camera.depth import DepthEncoding, MeasuredDepth, encode_depth

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class Preprocess(BaseModel):
    """Parameters of :func:`to_input`; they travel in the student bundle.

    Attributes:
        size_px: side S of the square network input.
        depth_encoding: named depth encoding, see :func:`edgevl_core.camera.depth.encode_depth`.
        rotation_deg: how far the image is turned clockwise so that up is up (a camera mounted sideways).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_px: int = Field(ge=16, le=1024)
    depth_encoding: DepthEncoding = "metric"
    rotation_deg: Literal[0, 90, 180, 270] = 0


def to_input(image: NDArray[np.uint8] | MeasuredDepth, p: Preprocess) -> NDArray[np.uint8]:
    """Network input of one image.

    The whole field of view is kept: the image is squashed to a square, not cropped. RGB is averaged, see
    :func:`shrink`; depth takes the nearest pixel, since an average across an edge or a hole is a distance at
    which nothing stands.

    Args:
        image: RGB (H, W, 3) uint8, or depth (H, W): float32 in metres with NaN where invalid, or uint16 in
            millimetres with 0 where invalid. Both units give the same pixels; millimetres are faster.
        p: the bundle's parameters.

    Returns:
        (S, S, 3) uint8, C-contiguous. The student normalises inside its graph, (x - 128) / 64.

    Raises:
        UserError: the image is neither of the two kinds, or empty.
    """
    if not isinstance(image, np.ndarray):
        raise UserError(f"{image!r:.60} is no numpy array: read a picture file with edgevl_core.read_photo first")
    if image.size == 0:
        raise UserError(f"image of shape {image.shape} is empty: an image of at least one pixel is needed")
    side = (p.size_px, p.size_px)
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return np.ascontiguousarray(
            _rotate(shrink(np.asarray(image, np.uint8), p.size_px), p.rotation_deg), dtype=np.uint8
        )
    if image.ndim == 2 and image.dtype in (np.float32, np.uint16):
        nearest = cv2.resize(image, side, interpolation=cv2.INTER_NEAREST_EXACT)
        return np.ascontiguousarray(encode_depth(_rotate(nearest, p.rotation_deg), p.depth_encoding), dtype=np.uint8)
    raise UserError(
        f"image of shape {image.shape} and type {image.dtype}: RGB (H, W, 3) uint8, or depth (H, W), metres in "
        "float32 or millimetres in uint16, is accepted; decode it with edgevl_core.camera.images or .depth first"
    )


def shrink(rgb: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> (S, S, 3): sides halved while they are twice S or more, the rest by linear interpolation.

    Halving averages whole pixels, so nothing between the pixels taken is lost, in a ninth of the time of OpenCV's
    INTER_AREA at 640x480 to 224.
    """
    while True:
        height, width = rgb.shape[:2]
        down, across = (2 if side >= 2 * size_px else 1 for side in (height, width))
        if down == across == 1:
            return np.asarray(cv2.resize(rgb, (size_px, size_px), interpolation=cv2.INTER_LINEAR), np.uint8)
        # OpenCV is quick where both ratios are whole: a camera's sides are even.
        rgb = np.asarray(cv2.resize(rgb, (width // across, height // down), interpolation=cv2.INTER_AREA), np.uint8)


def to_batch(images: "list[NDArray[np.uint8]]") -> NDArray[np.uint8]:
    """Stack N inputs (S, S, 3) uint8 to the network's (N, 3, S, S) uint8, contiguous."""
    side_y, side_x, channels = images[0].shape
    return fill_batch(np.empty((len(images), channels, side_y, side_x), np.uint8), images)


def fill_batch(batch: NDArray[np.uint8], images: "Sequence[NDArray[np.uint8]]") -> NDArray[np.uint8]:
    """As :func:`to_batch`, into the first N of an array (>= N, 3, S, S) that is used again; returns that part."""
    for planes, image in zip(batch, images):
        cv2.split(image, list(planes))  # three times as fast as a transposed copy
    return batch[: len(images)]


def _rotate(image: NDArray, rotation_deg: int) -> NDArray:  # type: ignore[type-arg]
    return image if rotation_deg == 0 else cv2.rotate(image, _ROTATIONS[rotation_deg])
