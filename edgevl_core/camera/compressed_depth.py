"""compressed_depth_image_transport: a header, then a PNG or RVL data, of millimetres or of quantised 1 / depth."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.encodings import DEPTH
from edgevl_core.camera.limits import ImageFormatError, check_size
from edgevl_core.camera.picture_file import PNG_MAGIC, decode_file, read_header
from edgevl_core.camera.rvl import decode_rvl

_HEADER_BYTES = 12  # int32 format, float32 quantisation a, b
_RVL_SIZE_BYTES = 8  # uint32 width, height


def decode_compressed_depth(data: NDArray[np.uint8], encoding: str, name: str) -> NDArray[Any]:
    """(H, W) uint16 millimetres, 0 = invalid, for 16UC1 and mono16; float32 metres, NaN = invalid, for 32FC1.

    Args:
        data: (N,) uint8.
        encoding: of the depth image that was compressed.
        name: what the message calls it, for the text; "rvl" in it says which of the two the data is.

    Raises:
        ImageFormatError: another encoding, too large, cut off, damaged, or a PNG that is no 16-bit depth image.
    """
    if encoding not in DEPTH:
        raise ImageFormatError(f"{name}: compressedDepth of {encoding}, of 16UC1 and 32FC1 is accepted")
    headerless = data[: len(PNG_MAGIC)].tobytes() == PNG_MAGIC
    if not headerless and data.size <= _HEADER_BYTES:
        raise ImageFormatError(f"{name}: {data.size} bytes are too few for a compressedDepth image")
    body = data if headerless else data[_HEADER_BYTES:]
    raw = _decode_rvl_body(body, name) if "rvl" in name.lower() and not headerless else _decode_png_body(body, name)
    if encoding != "32FC1":
        return raw
    if headerless:
        raise ImageFormatError(f"{name}: the header with the quantisation is missing")
    a, b = (float(value) for value in np.frombuffer(data[4:_HEADER_BYTES].tobytes(), "<f4"))
    if not (math.isfinite(a) and math.isfinite(b) and a > 0):
        raise ImageFormatError(f"{name}: a quantisation of {a:g} and {b:g} is none")
    depth_m = raw.astype(np.float32)
    depth_m -= np.float32(b)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        np.divide(np.float32(a), depth_m, out=depth_m)
    depth_m[raw == 0] = np.nan
    return depth_m


def _decode_png_body(body: NDArray[np.uint8], name: str) -> NDArray[np.uint16]:
    header = read_header(body, name)
    image = decode_file(body, name)[0] if header.kind == "PNG" and (header.bits, header.channels) == (16, 1) else None
    if image is None or image.ndim != 2 or image.dtype != np.uint16:
        raise ImageFormatError(f"{name}: the {header.kind} is no 16-bit single-channel image")
    return image


def _decode_rvl_body(body: NDArray[np.uint8], name: str) -> NDArray[np.uint16]:
    if body.size < _RVL_SIZE_BYTES:
        raise ImageFormatError(f"{name}: {body.size} bytes are too few for RVL data")
    width, height = (int(side) for side in np.frombuffer(body[:_RVL_SIZE_BYTES].tobytes(), "<u4"))
    check_size(width, height, 2, name)
    return decode_rvl(body[_RVL_SIZE_BYTES:], width, height, name)
