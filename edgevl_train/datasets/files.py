"""Image files as a sample's pixels: RGB kept byte for byte, depth as 16-bit millimetres."""

import stat
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.photo import decode_photo
from edgevl_core.camera.picture_file import decode_file, read_header
from edgevl_train.datasets.sample import Pixels

MAX_FILE_BYTES = 1 << 28  # far beyond any picture that a bag's reader takes
RGB_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}


def read_files(rgb: Path, depth: Path) -> Pixels:
    """The pair of an RGB file (a suffix of RGB_FORMATS) and a 16-bit PNG of millimetres.

    Raises:
        OSError, ValueError: one of them cannot be read; the message names it.
    """
    return Pixels(_read_rgb(rgb), RGB_FORMATS[rgb.suffix.lower()], read_png16(depth))


def read_png16(file: Path) -> NDArray[np.uint16]:
    """(H, W) uint16 of a one-channel 16-bit PNG.

    Raises:
        OSError, ValueError: it cannot be read, or is another kind of image; the message names it.
    """
    image, _ = decode_file(np.frombuffer(_bytes(file), np.uint8), str(file))
    if image.dtype != np.uint16 or image.ndim != 2:
        raise ValueError(f"{file}: {image.dtype} {image.shape}, not one channel of 16-bit millimetres")
    return np.asarray(image, np.uint16)


def png_pixels(rgb: NDArray[np.uint8], depth_mm: NDArray[np.uint16]) -> Pixels:
    """Pixels of arrays: (H, W, 3) uint8 RGB, packed as PNG without loss, and (H', W') uint16 millimetres."""
    coded = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
    return Pixels(coded.tobytes(), "png", depth_mm)


def _read_rgb(file: Path) -> bytes:
    """The file's bytes, once it has been shown to decode, and to be of a kind that is read from a bag."""
    data = _bytes(file)
    read_header(np.frombuffer(data, np.uint8), str(file))
    # An eighth of the size is enough to see that it decodes, and much cheaper for JPEG.
    if decode_photo(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8) is None:
        raise ValueError(f"{file}: no readable image")
    return data


def _bytes(file: Path) -> bytes:
    """A plain file's bytes: a device or a pipe would never end."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
        raise ValueError(f"{file}: not a plain file of at most {MAX_FILE_BYTES >> 20} MiB")
    return file.read_bytes()
