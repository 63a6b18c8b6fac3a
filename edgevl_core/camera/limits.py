"""How large a picture may be, and the one error of a message that cannot be read.

A picture's file says its size in its header and may lie: 600 bytes of JPEG can ask for gigabytes. Whoever may publish
on a topic must not be able to stop the robot, so sizes are checked before memory is taken.
"""

from edgevl_core.base.errors import UserError

MAX_PIXELS = 21_000_000
"""More than the cameras of robots have (RGB 20 megapixels, depth 4), and a node that decodes it stays below 300 MB."""
MAX_DECODED_BYTES = 3 * MAX_PIXELS
"""OpenCV decodes into memory of its own and copies that for Python: twice as much is held for a moment."""


class ImageFormatError(UserError, ValueError):
    """The message cannot be decoded; the text names the fields that do not fit."""


def check_size(width: int, height: int, pixel_bytes: int, name: str) -> None:
    """Refuse a picture without pixels, or with more than there may be.

    Args:
        pixel_bytes: of a decoded pixel.
        name: what the message calls it, for the text.

    Raises:
        ImageFormatError: it is refused.
    """
    if width <= 0 or height <= 0:
        raise ImageFormatError(f"{name}: the image is empty ({width}x{height} pixels)")
    if width * height > MAX_PIXELS or width * height * pixel_bytes > MAX_DECODED_BYTES:
        raise ImageFormatError(
            f"{name}: {width}x{height} pixels of {pixel_bytes} bytes are too many, {MAX_PIXELS // 1_000_000} "
            f"megapixels and {MAX_DECODED_BYTES // 1_000_000} MB are accepted: lower the camera's resolution"
        )
