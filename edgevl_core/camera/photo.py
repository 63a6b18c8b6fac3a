"""A picture file of one's own as RGB. What a message or a bundle brings goes through ``picture_file``."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.limits import ImageFormatError


def decode_photo(data: NDArray[np.uint8], flags: int) -> NDArray[Any] | None:
    """What OpenCV makes of a picture file's bytes; None where that is nothing, also as it has too many pixels."""
    try:
        return cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        return None


def read_photo(file: Path | str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a picture file, turned as its EXIF says.

    Raises:
        ImageFormatError: there is none, or it is no picture.
    """
    file = Path(file)
    if not file.is_file():
        raise ImageFormatError(f"{file} does not exist: give a picture file, such as a JPEG or PNG")
    bgr = decode_photo(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ImageFormatError(
            f"{file} is no picture that can be read: a JPEG, PNG, WebP or BMP of at most 2^30 pixels is accepted"
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
