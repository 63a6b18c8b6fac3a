"""An image message with its pixels: decoded once, for the keep-decision and for what is written."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edgevl_core.camera.images import decode_as_it_is, decode_rgb
from edgevl_core.pairlog.types import header_stamp_ns


@dataclass(frozen=True)
class Decoded:
    """An Image or CompressedImage and what it shows.

    Attributes:
        message: the message.
        pixels: (H, W, 3) uint8 RGB, or (H, W) depth as the message has it.
        encoding: of ``pixels``.
    """

    message: Any
    pixels: NDArray[Any]
    encoding: str

    @property
    def header(self) -> tuple[int, str]:
        """Stamp in nanoseconds and frame_id."""
        return header_stamp_ns(self.message), self.message.header.frame_id

    @property
    def size_and_frame(self) -> tuple[int, int, str]:
        """Width and height in pixels, and frame_id."""
        height, width = self.pixels.shape[:2]
        return width, height, self.message.header.frame_id

    @property
    def is_compressed(self) -> bool:
        """Whether it came as a CompressedImage."""
        return hasattr(self.message, "format")


def decoded_rgb(message: Any) -> Decoded:
    """A colour image. Raises ImageFormatError where it cannot be decoded, or is none."""
    return Decoded(message, decode_rgb(message), "rgb8")


def decoded_depth(message: Any) -> Decoded:
    """A depth image. Raises ImageFormatError where it cannot be decoded."""
    return Decoded(message, *decode_as_it_is(message))
