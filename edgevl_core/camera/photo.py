"""A picture file of one's own as RGB. What a message or a bundle brings goes through ``picture_file``."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.limits import ImageFormatError


def read_photo(file: Path | str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a picture file, turned as its EXIF says.

    Raises:
        ImageFormatError: there is none, or it is no picture.
    """
    file = Path(file)
    if not file.is_file():
        raise ImageFormatError(f"{file} does not exist: give a picture file, such as a JPEG or PNG")
    data = np.fromfile(file, np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise ImageFormatError(f"{file} is no picture that can be read: a JPEG, PNG, WebP or BMP is accepted")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
