"""Raw images as compressed messages, as image_transport would publish them: what a compressed log holds.

RGB becomes JPEG, by which a little is lost. Depth becomes a 16-bit PNG of millimetres: 16UC1 comes back bit by bit,
32FC1 to half a millimetre.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.depth import MeasuredDepth, decode_depth, to_millimetres
from edgevl_core.camera.images import decode_rgb, encode_jpeg, encode_png
from edgevl_core.pairlog.types import compressed_image_msg, header_stamp_ns

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


def compress_rgb_msg(message: Any) -> Any:
    """A colour Image as a JPEG CompressedImage; header kept.

    Raises:
        ImageFormatError: the message cannot be decoded, or is no colour image.
    """
    return jpeg_msg(decode_rgb(message), header_stamp_ns(message), message.header.frame_id)


def compress_depth_msg(message: Any) -> Any:
    """A depth Image as a compressedDepth CompressedImage; header kept.

    Raises:
        ImageFormatError: the message cannot be decoded, or is no depth image.
    """
    return depth_png_msg(decode_depth(message), header_stamp_ns(message), message.header.frame_id)
