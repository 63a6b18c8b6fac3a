"""One decoder for everything shaped like sensor_msgs Image or CompressedImage, by cv_bridge's rules; JPEG and PNG.

A message is anything with the fields of the ROS type: one that rclpy delivered, or one read from a bag.
Pixels are not copied where the result is the buffer itself (no conversion, native byte order): such an array
is read-only when the buffer is. Whatever is in a message, the only error is ImageFormatError, and sizes are checked
before memory is taken (:mod:`edgevl_core.camera.limits`).
"""

import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.compressed_depth import decode_compressed_depth
from edgevl_core.camera.encodings import (
    BAYER,
    COLOUR,
    PLANES,
    is_compressed_depth,
    is_generic,
    layout,
    message_encoding,
)
from edgevl_core.camera.limits import ImageFormatError, check_size
from edgevl_core.camera.picture_file import PictureHeader, decode_file

__all__ = [
    "ImageFormatError",
    "decode",
    "decode_as_it_is",
    "decode_rgb",
    "encode_jpeg",
    "encode_png",
    "layout",
    "message_encoding",
]

ImageArray = NDArray[Any]
RgbArray = NDArray[np.uint8]
_OUTPUTS = ("gray", "rgb", "bgr", "rgba", "bgra")


def decode(msg: Any, encoding: str | None = None) -> ImageArray:
    """The pixels of an Image or CompressedImage.

    Args:
        msg: message with ``data`` and either ``encoding, height, width, step, is_bigendian`` or ``format``.
        encoding: the encoding wanted, None or "passthrough" for the message's own (a compressed colour image
            is then BGR, as OpenCV decodes it).

    Returns:
        (H, W) for one channel, else (H, W, C), in native byte order. 8 and 16 bit are rescaled into each
        other. nv12 and nv21 as they are: (H * 3 / 2, W), the chroma below the luma.

    Raises:
        ImageFormatError: unknown encoding, a conversion that makes no sense (16UC1 to rgb8), a step or a
            buffer too short, too many pixels or none, data that is no image or another than its name says.
    """
    image, source = decode_as_it_is(msg)
    if encoding is None or encoding in ("passthrough", source):
        return image
    return convert(image, source, encoding)


def decode_as_it_is(msg: Any) -> tuple[ImageArray, str]:
    """The pixels of an Image or CompressedImage, and their encoding; as :func:`decode` without a conversion."""
    return _decompress(msg) if hasattr(msg, "format") else (_view(msg), str(msg.encoding))


def decode_rgb(msg: Any) -> RgbArray:
    """(H, W, 3) uint8 RGB of an Image or CompressedImage; a view of the message where it is rgb8.

    Raises:
        ImageFormatError: as :func:`decode`.
    """
    return decode(msg, "rgb8")


def convert(image: ImageArray, source: str, target: str) -> ImageArray:
    """``image`` of encoding ``source`` as encoding ``target``.

    Raises:
        ImageFormatError: an unknown encoding, or a conversion that makes no sense.
    """
    dtype, channels = layout(target)
    if source == target:
        return image
    source_colour, target_colour = COLOUR.get(source), COLOUR.get(target)
    if source_colour is None and target_colour is not None:
        raise ImageFormatError(f"{source} is not a colour format, {target} is: the conversion makes no sense")
    if source_colour is None or target_colour is None:
        if layout(source)[1] != channels:
            raise ImageFormatError(f"{source} and {target} do not have the same number of channels")
    elif source_colour.family != target_colour.family:
        code = _colour_code(source_colour.family, target_colour.family, target)
        try:
            image = cv2.cvtColor(np.ascontiguousarray(image), code)
        except cv2.error as error:  # a Bayer or yuv image of one pixel
            height, width = image.shape[:2]
            raise ImageFormatError(f"{source} of {width}x{height} pixels cannot be converted to {target}") from error
    return _rescale(image, dtype)


def _colour_code(source: str, target: str, name: str) -> int:
    if target not in _OUTPUTS:
        raise ImageFormatError(f"no image can be converted to {name}")
    prefix = {
        "uyvy": f"YUV2{target.upper()}_UYVY",
        "yuyv": f"YUV2{target.upper()}_YUYV",
        "nv12": f"YUV2{target.upper()}_NV12",
        "nv21": f"YUV2{target.upper()}_NV21",
    }.get(source)
    if prefix is None:
        start = f"Bayer{BAYER[source]}" if source in BAYER else source.upper()
        prefix = f"{start}2{target.upper()}"
    elif source in PLANES and target == "gray":
        prefix = "YUV2GRAY_420"
    code = getattr(cv2, f"COLOR_{prefix}", None)
    if code is None or (source in BAYER and target in ("rgba", "bgra")):
        raise ImageFormatError(f"no conversion from a {source} image to {name}")
    return int(code)


def _rescale(image: ImageArray, dtype: np.dtype[Any]) -> ImageArray:
    """To ``dtype``: 8 and 16 bit are rescaled into each other, other values are rounded and saturated."""
    if image.dtype == dtype:
        return image
    if image.dtype == np.uint8 and dtype == np.uint16:
        return np.asarray(image, np.uint16) * np.uint16(257)
    if image.dtype == np.uint16 and dtype == np.uint8:
        return cv2.convertScaleAbs(np.ascontiguousarray(image), alpha=255.0 / 65535.0)
    source_bits, target_bits = image.dtype.itemsize * 8, dtype.itemsize * 8
    with np.errstate(over="ignore", invalid="ignore"):
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
    encoding = str(msg.encoding)
    dtype, channels = layout(encoding)
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    pixel = dtype.itemsize * channels
    check_size(width, height, pixel, f"image of {encoding}")
    if step < width * pixel:
        raise ImageFormatError(f"step {step} < width {width} * {pixel} bytes of {encoding}: malformed image")
    rows = height
    if encoding in PLANES:
        if height % 2 or width % 2:
            raise ImageFormatError(f"{encoding} of {width}x{height} pixels: both sides must be even")
        rows += height // 2
    buffer = np.frombuffer(msg.data, np.uint8)
    if buffer.size < rows * step:
        raise ImageFormatError(f"the data has {buffer.size} bytes, height {rows} * step {step} needs more")
    swapped = dtype.itemsize > 1 and bool(msg.is_bigendian) != (sys.byteorder == "big")
    shape: tuple[int, ...] = (rows, width) if channels == 1 else (rows, width, channels)
    strides = (step, pixel) if channels == 1 else (step, pixel, dtype.itemsize)
    stored = dtype.newbyteorder("S") if swapped else dtype
    image: ImageArray = np.ndarray(shape, stored, buffer=buffer, strides=strides)  # type: ignore[arg-type]
    return image.astype(dtype) if swapped else image


def _decompress(msg: Any) -> tuple[ImageArray, str]:
    data = np.frombuffer(msg.data, np.uint8)
    claimed, name = message_encoding(msg), f"format {str(msg.format)[:60]!r}"
    if is_compressed_depth(msg):
        return decode_compressed_depth(data, claimed, name), claimed
    image, header = decode_file(data, name)
    channels = 1 if image.ndim == 2 else image.shape[2]
    family, bits = {1: "mono", 3: "bgr", 4: "bgra"}.get(channels), image.dtype.itemsize * 8
    if family is None or image.dtype not in (np.uint8, np.uint16):
        raise ImageFormatError(f"{name}: {channels} channels of {image.dtype} are not supported")
    if claimed in COLOUR or is_generic(claimed):
        _check_claim(claimed, image.dtype, channels, header, name)
        dtype, wanted = layout(claimed)
        # What image_transport did not convert is what its name says, a Bayer mosaic and millimetres too.
        if wanted == channels == 1 and dtype == image.dtype and claimed not in ("8UC1", "8U"):
            return image, claimed
    return image, f"{family}{bits}"


def _check_claim(claimed: str, dtype: np.dtype[Any], channels: int, header: PictureHeader, name: str) -> None:
    """Numbers must be as wide as their name says: 8 bits under 16UC1 are no millimetres, 16 under rgb8 no colours."""
    wanted, count = layout(claimed)
    # An 8-bit picture of a wide colour camera is right.
    narrow = not is_generic(claimed) and dtype.itemsize <= wanted.itemsize
    if not narrow and (wanted, count) != (dtype, channels):
        bits = dtype.itemsize * 8
        raise ImageFormatError(
            f"{name}: {claimed} is promised, this {header.kind} has {channels} channel{'s' * (channels > 1)} of "
            f"{bits} bits: let the driver publish depth as compressedDepth or raw, colour as JPEG"
        )


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
