"""One decoder for everything shaped like sensor_msgs Image or CompressedImage, by cv_bridge's rules; JPEG and PNG.

A message is anything with the fields of the ROS type: one that rclpy delivered, or one read from a bag.
Pixels are not copied where the result is the buffer itself (no conversion, native byte order): such an array
is read-only when the buffer is.
"""

import re
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

ImageArray = NDArray[Any]
RgbArray = NDArray[np.uint8]


class ImageFormatError(ValueError):
    """The message cannot be decoded; the text names the fields that do not fit."""


_COLOUR = {  # encoding -> (family, dtype, channels)
    "mono8": ("gray", "u1", 1),
    "mono16": ("gray", "u2", 1),
    "rgb8": ("rgb", "u1", 3),
    "rgb16": ("rgb", "u2", 3),
    "bgr8": ("bgr", "u1", 3),
    "bgr16": ("bgr", "u2", 3),
    "rgba8": ("rgba", "u1", 4),
    "rgba16": ("rgba", "u2", 4),
    "bgra8": ("bgra", "u1", 4),
    "bgra16": ("bgra", "u2", 4),
    "yuv422": ("uyvy", "u1", 2),
    "uyvy": ("uyvy", "u1", 2),
    "yuv422_yuy2": ("yuyv", "u1", 2),
    "yuyv": ("yuyv", "u1", 2),
}
_COLOUR |= {
    f"bayer_{pattern}{bits}": (pattern, f"u{bits // 8}", 1)
    for pattern in ("rggb", "bggr", "gbrg", "grbg")
    for bits in (8, 16)
}
_OUTPUTS = ("gray", "rgb", "bgr", "rgba", "bgra")
# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first two.
_BAYER = {"rggb": "BG", "bggr": "RG", "gbrg": "GR", "grbg": "GB"}
_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C(\d+)?)?")
_DTYPES = {"8U": "u1", "8S": "i1", "16U": "u2", "16S": "i2", "32S": "i4", "32F": "f4", "64F": "f8"}
_PNG_MAGIC = b"\x89PNG"
_DEPTH_HEADER_BYTES = 12  # compressed_depth_image_transport: int32 format, float32 quantisation a, b


def layout(encoding: str) -> tuple[np.dtype[Any], int]:
    """Native dtype and number of channels of an image encoding.

    Raises:
        ImageFormatError: the encoding is unknown.
    """
    if encoding in _COLOUR:
        _, dtype, channels = _COLOUR[encoding]
        return np.dtype(dtype), channels
    if match := _GENERIC.fullmatch(encoding):
        return np.dtype(_DTYPES[match[1]]), int(match[2] or 1)
    raise ImageFormatError(f"image encoding {encoding!r} is unknown: use one of sensor_msgs/image_encodings")


def decode(msg: Any, encoding: str | None = None) -> ImageArray:
    """The pixels of an Image or CompressedImage.

    Args:
        msg: message with ``data`` and either ``encoding, height, width, step, is_bigendian`` or ``format``.
        encoding: the encoding wanted, None or "passthrough" for the message's own (a compressed colour image
            is then BGR, as OpenCV decodes it).

    Returns:
        (H, W) for one channel, else (H, W, C), in native byte order. 8 and 16 bit are rescaled into each
        other.

    Raises:
        ImageFormatError: unknown encoding, a conversion that makes no sense (16UC1 to rgb8), a step or a
            buffer too short, data that is no image.
    """
    if hasattr(msg, "format"):
        image, source = _decompress(msg)
    else:
        image, source = _view(msg), str(msg.encoding)
    if encoding is None or encoding in ("passthrough", source):
        return image
    return convert(image, source, encoding)


def decode_rgb(msg: Any) -> RgbArray:
    """(H, W, 3) uint8 RGB of an Image or CompressedImage; a view of the message where it is rgb8.

    Raises:
        ImageFormatError: as :func:`decode`.
    """
    return decode(msg, "rgb8")


def message_encoding(msg: Any) -> str:
    """The encoding that ``decode(msg)`` returns, "" where only decoding a CompressedImage would tell.

    compressedDepth gives "16UC1" or "32FC1"; image_transport's "rgb8; jpeg compressed bgr8" gives "bgr8"; a
    grey 16-bit PNG gives "mono16".
    """
    if not hasattr(msg, "format"):
        return str(msg.encoding)
    original, _, codec = (part.strip() for part in str(msg.format).partition(";"))
    if _is_compressed_depth(msg):
        return original if codec and original else "16UC1"
    if original in ("16UC1", "mono16", "mono8"):
        return original
    if target := re.search(r"compressed (\w+)", codec):
        return target[1]
    start = np.frombuffer(msg.data, np.uint8)[:26].tobytes()
    # PNG's header: bit depth and colour type (0 = grey) at 24 and 25
    return "mono16" if start.startswith(_PNG_MAGIC) and start[24:] == b"\x10\x00" else ""


def is_depth(msg: Any) -> bool:
    """Whether it is a depth image by its encoding (REP-118): 16UC1, 32FC1, mono16 or compressedDepth."""
    return message_encoding(msg) in ("16UC1", "32FC1", "mono16")


def _is_compressed_depth(msg: Any) -> bool:
    return "compresseddepth" in str(msg.format).lower()


def convert(image: ImageArray, source: str, target: str) -> ImageArray:
    """``image`` of encoding ``source`` as encoding ``target``.

    Raises:
        ImageFormatError: an unknown encoding, or a conversion that makes no sense.
    """
    dtype, channels = layout(target)
    if source == target:
        return image
    source_colour, target_colour = _COLOUR.get(source), _COLOUR.get(target)
    if source_colour is None and target_colour is not None:
        raise ImageFormatError(f"{source} is not a colour format, {target} is: the conversion makes no sense")
    if source_colour is None or target_colour is None:
        if layout(source)[1] != channels:
            raise ImageFormatError(f"{source} and {target} do not have the same number of channels")
    elif source_colour[0] != target_colour[0]:
        code = _colour_code(source_colour[0], target_colour[0], target)
        image = cv2.cvtColor(np.ascontiguousarray(image), code)
    return _rescale(image, dtype)


def _colour_code(source: str, target: str, name: str) -> int:
    if target not in _OUTPUTS:
        raise ImageFormatError(f"no image can be converted to {name}")
    prefix = {
        "uyvy": f"YUV2{target.upper()}_UYVY",
        "yuyv": f"YUV2{target.upper()}_YUYV",
    }.get(source)
    if prefix is None:
        start = f"Bayer{_BAYER[source]}" if source in _BAYER else source.upper()
        prefix = f"{start}2{target.upper()}"
    code = getattr(cv2, f"COLOR_{prefix}", None)
    if code is None or (source in _BAYER and target in ("rgba", "bgra")):
        raise ImageFormatError(f"no conversion from a {source} image to {name}")
    return int(code)


def _rescale(image: ImageArray, dtype: np.dtype[Any]) -> ImageArray:
    """To ``dtype``: 8 and 16 bit are rescaled into each other, other values are rounded and saturated."""
    if image.dtype == dtype:
        return image
    source_bits, target_bits = image.dtype.itemsize * 8, dtype.itemsize * 8
    if (source_bits, target_bits) == (8, 16):
        values = image.astype(np.float64) * (65535.0 / 255.0)
    elif (source_bits, target_bits) == (16, 8):
        values = image.astype(np.float64) * (255.0 / 65535.0)
    else:
        values = image
    if dtype.kind == "f":
        return np.asarray(values, dtype)
    limits = np.iinfo(dtype)
    rounded = np.nan_to_num(np.rint(values.astype(np.float64)), nan=0.0)
    return np.asarray(np.clip(rounded, limits.min, limits.max), dtype)


def _view(msg: Any) -> ImageArray:
    """The Image's pixels as a view that honours ``step``, copied only to swap bytes."""
    dtype, channels = layout(msg.encoding)
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    pixel = dtype.itemsize * channels
    if step < width * pixel:
        raise ImageFormatError(f"step {step} < width {width} * {pixel} bytes of {msg.encoding}: malformed image")
    buffer = np.frombuffer(msg.data, np.uint8)
    if buffer.size < height * step:
        raise ImageFormatError(f"the data has {buffer.size} bytes, height {height} * step {step} needs more")
    swapped = dtype.itemsize > 1 and bool(msg.is_bigendian) != (sys.byteorder == "big")
    shape: tuple[int, ...] = (height, width) if channels == 1 else (height, width, channels)
    strides = (step, pixel) if channels == 1 else (step, pixel, dtype.itemsize)
    stored = dtype.newbyteorder("S") if swapped else dtype
    image: ImageArray = np.ndarray(shape, stored, buffer=buffer, strides=strides)  # type: ignore[arg-type]
    return image.astype(dtype) if swapped else image


def _decompress(msg: Any) -> tuple[ImageArray, str]:
    data = np.frombuffer(msg.data, np.uint8)
    encoding = message_encoding(msg)
    if _is_compressed_depth(msg):
        return _decompress_depth(data, encoding, str(msg.format)), encoding
    image = _imdecode(data, msg.format)
    channels = 1 if image.ndim == 2 else image.shape[2]
    if encoding in ("16UC1", "mono16") and image.dtype == np.uint16 and channels == 1:
        return image, encoding
    family = {1: "mono", 3: "bgr", 4: "bgra"}.get(channels)
    bits = {1: 8, 2: 16}.get(image.dtype.itemsize)
    if family is None or bits is None:
        raise ImageFormatError(f"format {msg.format!r}: {channels} channels of {image.dtype} are not supported")
    return image, f"{family}{bits}"


def _decompress_depth(data: NDArray[np.uint8], encoding: str, name: str) -> ImageArray:
    """compressed_depth_image_transport: a header, then a PNG of millimetres or of quantised 1 / depth."""
    if "rvl" in name.lower():
        raise ImageFormatError(f"format {name!r}: RVL is not supported, publish compressedDepth as png")
    headerless = data[: len(_PNG_MAGIC)].tobytes() == _PNG_MAGIC
    if not headerless and data.size <= _DEPTH_HEADER_BYTES:
        raise ImageFormatError(f"format {name!r}: {data.size} bytes are too few for a compressedDepth image")
    image = _imdecode(data if headerless else data[_DEPTH_HEADER_BYTES:], name)
    if image.ndim != 2 or image.dtype != np.uint16:
        raise ImageFormatError(f"format {name!r}: the PNG is no 16-bit single-channel image")
    if encoding != "32FC1":
        return image
    if headerless:
        raise ImageFormatError(f"format {name!r}: the header with the quantisation is missing")
    a, b = np.frombuffer(data[4:_DEPTH_HEADER_BYTES].tobytes(), "<f4")
    with np.errstate(divide="ignore", invalid="ignore"):
        depth_m = a / (image.astype(np.float32) - b)
    depth_m[image == 0] = np.nan
    return np.asarray(depth_m, np.float32)


def encode_jpeg(rgb: RgbArray, quality: int) -> bytes:
    """A JPEG file of an (H, W, 3) uint8 RGB image; ``quality`` 0..100."""
    return _imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(image: ImageArray) -> bytes:
    """A PNG file, nothing lost, of (H, W, 3) uint8 RGB or (H, W) uint8 or uint16."""
    return _imencode(".png", image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [])


def _imencode(extension: str, image: ImageArray, options: list[int]) -> bytes:
    done, data = cv2.imencode(extension, image, options)
    if not done:
        raise ImageFormatError(f"an image of shape {image.shape} cannot be encoded as {extension}")
    return data.tobytes()


def _imdecode(data: NDArray[np.uint8], name: str) -> ImageArray:
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise ImageFormatError(f"format {name!r}: {data.size} bytes that are no readable image")
    return image
