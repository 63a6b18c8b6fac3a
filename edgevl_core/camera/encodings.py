"""What sensor_msgs/image_encodings and image_transport's formats mean: dtype, channels, depth or colour."""

import re
from typing import Any, NamedTuple

import numpy as np

from edgevl_core.camera.limits import ImageFormatError
from edgevl_core.camera.picture_file import PNG_MAGIC


class Colour(NamedTuple):
    """A colour encoding: order of its channels (or its pattern), numpy dtype, channels."""

    family: str
    dtype: str
    channels: int


COLOUR = {
    "mono8": Colour("gray", "u1", 1),
    "mono16": Colour("gray", "u2", 1),
    "rgb8": Colour("rgb", "u1", 3),
    "rgb16": Colour("rgb", "u2", 3),
    "bgr8": Colour("bgr", "u1", 3),
    "bgr16": Colour("bgr", "u2", 3),
    "rgba8": Colour("rgba", "u1", 4),
    "rgba16": Colour("rgba", "u2", 4),
    "bgra8": Colour("bgra", "u1", 4),
    "bgra16": Colour("bgra", "u2", 4),
    "yuv422": Colour("uyvy", "u1", 2),
    "uyvy": Colour("uyvy", "u1", 2),
    "yuv422_yuy2": Colour("yuyv", "u1", 2),
    "yuyv": Colour("yuyv", "u1", 2),
    "nv12": Colour("nv12", "u1", 1),
    "nv21": Colour("nv21", "u1", 1),
}
BAYER = {"rggb": "BG", "bggr": "RG", "gbrg": "GR", "grbg": "GB"}
"""OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first two."""
COLOUR |= {f"bayer_{pattern}{bits}": Colour(pattern, f"u{bits // 8}", 1) for pattern in BAYER for bits in (8, 16)}
PLANES = ("nv12", "nv21")
"""A plane of luma, and below it, half as high, one of chroma."""
DEPTH = ("16UC1", "32FC1", "mono16")
_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C(\d{0,3}))?")
_DTYPES = {"8U": "u1", "8S": "i1", "16U": "u2", "16S": "i2", "32S": "i4", "32F": "f4", "64F": "f8"}
_MOST_CHANNELS = 512  # as in OpenCV


def layout(encoding: str) -> tuple[np.dtype[Any], int]:
    """Native dtype and number of channels of an image encoding.

    Raises:
        ImageFormatError: the encoding is unknown.
    """
    if encoding in COLOUR:
        colour = COLOUR[encoding]
        return np.dtype(colour.dtype), colour.channels
    match = _GENERIC.fullmatch(encoding)
    channels = int(match[2] or 1) if match else 0
    if match and 1 <= channels <= _MOST_CHANNELS:
        return np.dtype(_DTYPES[match[1]]), channels
    raise ImageFormatError(
        f"image encoding {encoding[:40]!r} is unknown: let the driver publish colour as rgb8, bgr8, yuv422, nv12, nv21 "
        "or JPEG, depth as 16UC1 or 32FC1"
    )


def is_generic(encoding: str) -> bool:
    """Whether it names a type of pixel (16UC1) and no colour."""
    return _GENERIC.fullmatch(encoding) is not None


def message_encoding(msg: Any) -> str:
    """The encoding that an Image or CompressedImage claims, "" where only decoding a CompressedImage would tell.

    compressedDepth gives "16UC1" or "32FC1"; image_transport's "rgb8; jpeg compressed bgr8" gives "bgr8"; a
    grey 16-bit PNG gives "mono16".
    """
    if not hasattr(msg, "format"):
        return str(msg.encoding)
    original, _, codec = (part.strip() for part in str(msg.format).partition(";"))
    if is_compressed_depth(msg):
        return original if codec and original else "16UC1"
    # What image_transport does not convert keeps its name: plain numbers, grey, a Bayer mosaic.
    if original in ("mono16", "mono8") or is_generic(original):
        return original
    if target := re.search(r"compressed (\w+)", codec):
        return target[1]
    if original.startswith("bayer_"):
        return original
    start = np.frombuffer(msg.data, np.uint8)[:26].tobytes()
    # PNG's header: bit depth and colour type (0 = grey) at 24 and 25
    return "mono16" if start.startswith(PNG_MAGIC) and start[24:] == b"\x10\x00" else ""


def is_compressed_depth(msg: Any) -> bool:
    """Whether a CompressedImage comes from compressed_depth_image_transport."""
    return "compresseddepth" in str(msg.format).lower()
