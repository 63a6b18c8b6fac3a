"""Text in pictures: by OpenCV's own strokes, which are ASCII, or by a font file for the letters of any language.

The strokes spell out a few European letters, drop accents (NFKD decomposition) and show anything else as "?".
"""

import functools
import unicodedata
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError

RgbImage = NDArray[np.uint8]
Colour = tuple[int, int, int]

_LETTERS = {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d"}
_SPELT = str.maketrans({**_LETTERS, "ı": "i", "–": "-", "—": "-", "’": "'", "‘": "'", "“": '"', "”": '"', "„": '"'})
_STROKES = cv2.FONT_HERSHEY_DUPLEX
# A font's size in pixels at which its capitals are about as high as the strokes' at scale 1.
_FONT_SIZE_PX = 29


class Lettering(Protocol):
    """How text is drawn; ``scale`` 1 has capitals of about 21 pixels."""

    def width(self, text: str, scale: float) -> int:
        """Pixels that ``text`` takes on its line."""

    def draw(self, picture: RgbImage, text: str, at: tuple[int, int], scale: float, colour: Colour) -> None:
        """Draw one line into ``picture``; ``at`` is x of its left end, y of its baseline."""


class Strokes:
    """OpenCV's font: needs nothing, knows ASCII."""

    def width(self, text: str, scale: float) -> int:
        return int(cv2.getTextSize(ascii_text(text), _STROKES, scale, _thickness(scale))[0][0])

    def draw(self, picture: RgbImage, text: str, at: tuple[int, int], scale: float, colour: Colour) -> None:
        cv2.putText(picture, ascii_text(text), at, _STROKES, scale, colour, _thickness(scale), cv2.LINE_AA)


class FontFile:
    """A TrueType or OpenType file, drawn by Pillow.

    Raises:
        UserError: Pillow is not installed, or the file is no font.
    """

    def __init__(self, path: Path | str) -> None:
        try:
            from PIL import ImageFont
        except ImportError:
            raise UserError(
                f"the font {path} needs Pillow, which is not installed: apt install python3-pil (or pip install "
                "pillow), or do without a font"
            ) from None
        self._open = ImageFont.truetype
        self._path = str(path)
        try:
            self._sized(_FONT_SIZE_PX)
        except OSError as error:
            raise UserError(f"font {path} cannot be read ({error}): give a .ttf, .otf or .ttc file") from error

    def width(self, text: str, scale: float) -> int:
        return int(np.ceil(self._font(scale).getlength(_one_line(text))))

    def draw(self, picture: RgbImage, text: str, at: tuple[int, int], scale: float, colour: Colour) -> None:
        from PIL import Image, ImageDraw

        font, text = self._font(scale), _one_line(text)
        left, top, right, bottom = (round(edge) for edge in font.getbbox(text, anchor="ls"))
        if right <= left or bottom <= top:
            return
        shape = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(shape).text((-left, -top), text, fill=255, font=font, anchor="ls")
        _blend(picture, np.asarray(shape, np.uint8), (at[0] + left, at[1] + top), colour)

    def _font(self, scale: float) -> Any:
        return self._sized(max(4, round(_FONT_SIZE_PX * scale)))

    @functools.lru_cache(maxsize=64)  # noqa: B019 - one lettering lives as long as its node
    def _sized(self, size_px: int) -> Any:
        return self._open(self._path, size_px)


def ascii_text(text: str) -> str:
    """``text`` in ASCII: accents dropped, other characters as "?", one line."""
    decomposed = unicodedata.normalize("NFKD", _one_line(text).translate(_SPELT))
    kept = "".join(c for c in decomposed if not unicodedata.combining(c))
    return kept.encode("ascii", "replace").decode()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _thickness(scale: float) -> int:
    return max(1, round(scale * 1.1))


def _blend(picture: RgbImage, mask: NDArray[np.uint8], corner: tuple[int, int], colour: Colour) -> None:
    """Colour ``picture`` where ``mask``, (h, w) 0..255, lies on it; what lies outside is left out."""
    x, y = corner
    x0, y0 = max(x, 0), max(y, 0)
    area = picture[y0 : y + mask.shape[0], x0 : x + mask.shape[1]]
    part = mask[y0 - y : y0 - y + area.shape[0], x0 - x : x0 - x + area.shape[1]]
    alpha = part[..., None].astype(np.float32) / np.float32(255)
    area[:] = (area * (1 - alpha) + np.array(colour, np.float32) * alpha + 0.5).astype(np.uint8)
