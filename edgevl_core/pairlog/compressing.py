"""Raw images as compressed messages, as image_transport would publish them: what a compressed log holds.

RGB becomes JPEG, by which a little is lost. Depth becomes a 16-bit PNG of millimetres: 16UC1 comes back bit by bit,
32FC1 to half a millimetre.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.depth import MeasuredDepth, to_measured, to_millimetres
from edgevl_core.camera.images import encode_jpeg, encode_png
from edgevl_core.pairlog.decoded import Decoded
from edgevl_core.pairlog.types import compressed_image_msg

JPEG_QUALITY = 95
RGB_SUFFIX, DEPTH_SUFFIX = "/compressed", "/compressedDepth"
"""What image_transport appends to the raw topic's name."""
_DEPTH_HEADER = bytes(12)  # compressed_depth_image_transport's header, all zero for millimetres


def jpeg_msg(rgb: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> Any:
    """A CompressedImage of (H, W, 3) uint8 RGB."""
    data = encode_jpeg(rgb, JPEG_QUALITY)
    return compressed_image_msg(data, "rgb8; jpeg compressed bgr8", stamp_ns, frame_id)


def png_msg(rgb: NDArray[np.uint8], stamp_ns: int, frame_id: str) -> Any:
    """A CompressedImage of (H, W, 3) uint8 RGB, nothing lost."""
    return compressed_image_msg(encode_png(rgb), "rgb8; png compressed bgr8", stamp_ns, frame_id)


def depth_png_msg(depth: MeasuredDepth, stamp_ns: int, frame_id: str) -> Any:
    """A CompressedImage of (H, W) depth: uint16 millimetres, or float metres with NaN where invalid."""
    data = _DEPTH_HEADER + encode_png(to_millimetres(depth))
    return compressed_image_msg(data, "16UC1; compressedDepth png", stamp_ns, frame_id)


def compress_rgb_msg(image: Decoded) -> Decoded:
    """A colour Image as a JPEG CompressedImage; header kept. The pixels stay those before the JPEG."""
    return replace(image, message=jpeg_msg(image.pixels, *image.header))


def compress_depth_msg(image: Decoded) -> Decoded:
    """A depth Image as a compressedDepth CompressedImage; header kept.

    Raises:
        ImageFormatError: it is no depth image.
    """
    return replace(image, message=depth_png_msg(to_measured(image.pixels, image.encoding), *image.header))
