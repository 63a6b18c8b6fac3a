"""JPEG and PNG files: what their header says is checked before OpenCV is given them. No other kind is decoded.

OpenCV reads a dozen formats more (HDR, TIFF, WebP, GIF, ...) that no camera driver publishes: each is code that hostile
bytes could reach.
"""

import struct
import zlib
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.limits import ImageFormatError, check_size

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
_OTHERS = {b"RIFF": "WebP", b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"#?": "HDR", b"P": "PNM"}
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: grey, RGB, palette, grey + alpha, RGBA
_PNG_DECODED = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}  # channels as OpenCV may give them
_DEFLATE_MOST = 1032  # bytes that one byte of a deflate stream can stand for
_MAX_CHUNKS = 50_000
_MAX_SEGMENTS = 1000
_MAX_SCANS = 64  # of a progressive JPEG, each a pass over all pixels; encoders make about ten
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ORIENTATION = 0x0112  # EXIF


class PictureHeader(NamedTuple):
    """What a JPEG or PNG file says of itself.

    Attributes:
        kind: "JPEG" or "PNG".
        bits: of a sample, 1..16; decoded, they are 8 or 16.
        channels: as decoded, at most.
        orientation: EXIF's, 1..8; 1: as stored, and where the file does not say.
    """

    kind: str
    width: int
    height: int
    bits: int
    channels: int
    orientation: int = 1


def decode_file(data: NDArray[np.uint8], name: str) -> tuple[NDArray[Any], PictureHeader]:
    """The pixels of a JPEG or PNG file, as stored: an EXIF orientation turns nothing, as in cv_bridge.

    Args:
        data: (N,) the file.
        name: what the message calls it, for the text.

    Returns:
        (H, W) or (H, W, 3 or 4), BGR, uint8 or uint16; and the header.

    Raises:
        ImageFormatError: another kind of file, too large, cut off or damaged.
    """
    header = read_header(data, name)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        raise ImageFormatError(f"{name}: no readable image, this {header.kind} is damaged") from error
    if image is None or image.shape[:2] != (header.height, header.width):
        raise ImageFormatError(f"{name}: no readable image, this {header.kind} is damaged or cut off")
    return image, header


def read_header(data: NDArray[np.uint8], name: str) -> PictureHeader:
    """Header of a JPEG or PNG file, its size checked; no pixel is decoded.

    Raises:
        ImageFormatError: as :func:`decode_file`.
    """
    file = data.tobytes()
    if file.startswith(PNG_MAGIC):
        return _png_header(file, name)
    if file.startswith(JPEG_MAGIC):
        return _jpeg_header(file, name)
    kind = next((f": this is {kind}" for magic, kind in _OTHERS.items() if file.startswith(magic)), "")
    raise ImageFormatError(f"{name}: {len(file)} bytes that are no readable image, JPEG and PNG are accepted{kind}")


def _png_header(file: bytes, name: str) -> PictureHeader:
    if len(file) < 33 or file[12:16] != b"IHDR":
        raise ImageFormatError(f"{name}: no readable image, this PNG ends within its header")
    width, height, bits, colour = struct.unpack_from(">IIBB", file, 16)
    if colour not in _PNG_SAMPLES or bits not in (1, 2, 4, 8, 16):
        raise ImageFormatError(f"{name}: no readable image, this PNG has {bits} bits of colour type {colour}")
    check_size(width, height, _PNG_DECODED[colour] * (2 if bits == 16 else 1), name)
    inflated = height * (1 + (width * _PNG_SAMPLES[colour] * bits + 7) // 8)
    if inflated > _DEFLATE_MOST * len(file):
        raise ImageFormatError(f"{name}: no readable image, {len(file)} bytes cannot hold a {width}x{height} PNG")
    kinds = _png_chunks(file, name)
    if kinds[-1] != b"IEND" or b"IDAT" not in kinds or kinds.count(b"IHDR") > 1:
        raise ImageFormatError(f"{name}: no readable image, this PNG is cut off")
    if b"acTL" in kinds:
        raise ImageFormatError(f"{name}: an animated PNG, a single image is accepted")
    return PictureHeader("PNG", width, height, bits, _PNG_DECODED[colour])


def _png_chunks(file: bytes, name: str) -> list[bytes]:
    """The chunks' kinds. Lengths are checked, as OpenCV takes the memory that they claim, and so are check sums."""
    kinds: list[bytes] = []
    at, view = len(PNG_MAGIC), memoryview(file)
    while at + 12 <= len(file) and len(kinds) < _MAX_CHUNKS and kinds[-1:] != [b"IEND"]:
        (length,) = struct.unpack_from(">I", file, at)
        end = at + 12 + length
        if end > len(file) or struct.unpack_from(">I", file, end - 4)[0] != zlib.crc32(view[at + 4 : end - 4]):
            raise ImageFormatError(f"{name}: no readable image, this PNG is cut off or damaged at byte {at}")
        kinds.append(file[at + 4 : at + 8])
        at = end
    return kinds


def _jpeg_header(file: bytes, name: str) -> PictureHeader:
    found: tuple[int, ...] = ()
    at, orientation = 2, 1
    for _ in range(_MAX_SEGMENTS):
        at = file.find(b"\xff", at)
        if at < 0 or at + 4 > len(file):
            break
        marker = file[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # fill bytes, and markers without a segment
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", file, at + 2)
        segment = file[at + 4 : at + 2 + length]
        if marker in _START_OF_FRAME:
            if found or len(segment) < 6:
                break
            bits, height, width, components = struct.unpack_from(">BHHB", segment)
            found = (width, height, bits, components)
        elif marker == 0xE1:
            orientation = _orientation(segment)
        elif marker == 0xDA:
            return _whole_jpeg(file, at, found, orientation, name)
        at += 2 + max(length, 2)
    raise ImageFormatError(f"{name}: no readable image, this JPEG has no header that can be read")


def _whole_jpeg(file: bytes, scan_at: int, frame: tuple[int, ...], orientation: int, name: str) -> PictureHeader:
    if not frame:
        raise ImageFormatError(f"{name}: no readable image, this JPEG does not say its size")
    width, height, bits, components = frame
    if bits != 8 or components not in (1, 3, 4):
        raise ImageFormatError(f"{name}: a JPEG of {components} channels of {bits} bits, 8 bits are accepted")
    check_size(width, height, components, name)
    # Each block of 8x8 pixels takes a bit or more.
    blocks = -(-width // 8) * -(-height // 8)
    if blocks > 8 * (len(file) - scan_at) or file.rfind(b"\xff\xd9") < scan_at:
        raise ImageFormatError(f"{name}: no readable image, this {width}x{height} JPEG is cut off at {len(file)} bytes")
    if file.count(b"\xff\xda", scan_at) > _MAX_SCANS:
        raise ImageFormatError(f"{name}: a JPEG of more than {_MAX_SCANS} scans")
    return PictureHeader("JPEG", width, height, bits, 1 if components == 1 else 3, orientation)


def _orientation(segment: bytes) -> int:
    """EXIF's orientation in an APP1 segment; 1 where there is none, or none that can be read."""
    tiff = segment[6:]
    if not segment.startswith(b"Exif\0\0") or tiff[:2] not in (b"II", b"MM"):
        return 1
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
        for number in range(min(entries, 100)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * number)
            if tag == _ORIENTATION and kind == 3:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
