"""Pictures for people: the answer drawn into the camera image, and contact sheets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.draw.lettering import Colour, Lettering, RgbImage, Strokes

KNOWN: Colour = (94, 234, 146)
UNKNOWN: Colour = (255, 191, 0)  # amber
WHITE: Colour = (245, 245, 245)
GREY: Colour = (165, 170, 178)
PANEL: Colour = (18, 20, 24)
TRACK: Colour = (70, 74, 82)
CAPTION_BAR: Colour = (28, 30, 34)
PANEL_OPACITY = 0.8
SHOWN_SCORES = 3
ROW_SCALE = 0.36  # of the font, in the rows of scores
LONGEST_SIDE_PX = 1920
FAR_M = 5.0
_STROKES = Strokes()


class SceneFields(Protocol):
    """What is drawn: an edgevl_core Scene or an edgevl SceneClass message."""

    @property
    def label(self) -> str: ...

    @property
    def confidence(self) -> float: ...

    @property
    def known(self) -> bool: ...

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def scores(self) -> Sequence[float]: ...

    @property
    def modality(self) -> str: ...


@dataclass(frozen=True)
class _Pen:
    """Writes into a picture."""

    picture: RgbImage
    lettering: Lettering

    def width(self, text: str, scale: float) -> int:
        return self.lettering.width(text, scale)

    def write(self, text: str, at: tuple[int, int], scale: float, colour: Colour, *, shadow: bool = True) -> None:
        if shadow:
            below = (at[0] + max(1, round(scale)), at[1] + max(1, round(scale)))
            self.lettering.draw(self.picture, text, below, scale, (0, 0, 0))
        self.lettering.draw(self.picture, text, at, scale, colour)

    def fit(
        self, text: str, at: tuple[int, int], scale: float, room: int, colour: Colour, *, shadow: bool = True
    ) -> None:
        """Write as much of ``text`` as fits into ``room`` pixels: first smaller, to two thirds, then cut."""
        while self.width(text, scale * 2 / 3) > room and len(text) > 1:
            text = text.rstrip(".")[:-1].rstrip() + ".."
            if len(text) <= 3:
                break
        wide = self.width(text, scale)
        self.write(text, at, scale * min(1.0, room / wide) if wide else scale, colour, shadow=shadow)


def viewable(rgb: RgbImage) -> RgbImage:
    """(H, W, 3) uint8 as it is, or shrunk to :data:`LONGEST_SIDE_PX`: copies of 20 megapixels would fill the memory."""
    height, width = rgb.shape[:2]
    scale = LONGEST_SIDE_PX / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def draw_scene(rgb: RgbImage, scene: SceneFields, lettering: Lettering = _STROKES) -> RgbImage:
    """Draw an answer along the lower edge: label, confidence, modality, and bars of the three best labels.

    Args:
        rgb: (H, W, 3) uint8; left as it is. Meant for 160 pixels of height and more.
        scene: the answer; ``labels`` and ``scores`` with the best first.
        lettering: how text is drawn; the default knows ASCII only.

    Returns:
        (H, W, 3) uint8, a copy: green where the scene is known, amber with "UNKNOWN" where it is not.

    Raises:
        UserError: ``rgb`` is not a colour image.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:
        raise UserError(f"overlay on an image of shape {rgb.shape}, {rgb.dtype}: RGB (H, W, 3) uint8 is needed")
    picture = np.ascontiguousarray(rgb).copy()
    pen = _Pen(picture, lettering)
    height, width = picture.shape[:2]
    unit = max(min(height / 240, width / 320), 0.4)  # drawn as on 320 x 240, larger on larger images
    rows = min(SHOWN_SCORES, len(scene.labels), len(scene.scores))
    # Under hysteresis the label in force may not be the one with the best score.
    named = list(scene.labels).index(scene.label) if scene.label in scene.labels else 0
    margin, pad, line = round(6 * unit), round(8 * unit), round(13 * unit)
    top = height - margin - (2 * pad + round(22 * unit) + rows * line)
    _shade(picture, (margin, top), (width - margin, height - margin), round(6 * unit))
    colour = KNOWN if scene.known else UNKNOWN
    cv2.rectangle(
        picture,
        (margin, top + pad // 2),
        (margin + max(2, round(3 * unit)), height - margin - pad // 2),
        colour,
        cv2.FILLED,
    )
    left, right = margin + pad + round(4 * unit), width - margin - pad
    # The names' column is as wide as the longest needs, up to half of the row.
    longest = max((pen.width(label, ROW_SCALE * unit) for label in scene.labels[:rows]), default=0) + round(8 * unit)
    names = max(round(92 * unit), min(longest, (right - left) // 2))
    baseline = top + pad + round(13 * unit)
    tag_left = _tag(pen, scene.modality.upper(), (right, baseline), unit, colour)
    percent = f"{_share(scene.confidence):.0%}"
    percent_left = tag_left - round(8 * unit) - pen.width(percent, 0.5 * unit)
    pen.write(percent, (percent_left, baseline), 0.5 * unit, WHITE)
    title = scene.label if scene.known else "UNKNOWN"
    pen.fit(title, (left, baseline), 0.62 * unit, percent_left - round(6 * unit) - left, colour)
    for row in range(rows):
        y = baseline + round(10 * unit) + row * line + line // 2
        _bar(
            pen,
            scene.labels[row],
            scene.scores[row],
            (left, left + names, right, y),
            unit,
            colour if row == named else GREY,
        )
    return picture


def depth_picture(depth_m: NDArray[np.float32]) -> RgbImage:
    """(H, W) metres, NaN = invalid, as colours (H, W, 3) uint8 RGB: near warm, 5 m and more cold, holes black."""
    near_first = np.nan_to_num(255 * (1 - np.clip(depth_m, 0, FAR_M) / FAR_M)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(near_first, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    picture = np.asarray(colours, np.uint8)
    picture[np.isnan(depth_m)] = 0
    return picture


def contact_sheet(images: Sequence[RgbImage], captions: Sequence[str], columns: int) -> RgbImage:
    """Tile images with captions.

    Args:
        images: N >= 1 images (H, W, 3) uint8 RGB; each is scaled to the first's width, keeping its shape.
        captions: N texts, one below each image.
        columns: images per row, >= 1.

    Returns:
        (H', W', 3) uint8 RGB; free cells of the last row stay dark.

    Raises:
        UserError: no images, as many captions as images not given, columns below 1.
    """
    if not len(images) or len(images) != len(captions) or columns < 1:
        raise UserError(
            f"contact sheet of {len(images)} images, {len(captions)} captions, {columns} columns: at least "
            "one image, a caption for each and one column are needed"
        )
    width = images[0].shape[1]
    scaled = [_to_width(image, width) for image in images]
    unit = max(width / 320, 0.4)
    gap, bar = round(6 * unit), round(20 * unit)
    cell_height = max(image.shape[0] for image in scaled) + bar
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (rows * (cell_height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.full(size, PANEL, dtype=np.uint8)
    for index, (image, caption) in enumerate(zip(scaled, captions)):
        row, column = divmod(index, columns)
        y, x = gap + row * (cell_height + gap), gap + column * (width + gap)
        sheet[y : y + cell_height, x : x + width] = CAPTION_BAR
        sheet[y : y + image.shape[0], x : x + width] = image
        baseline = y + cell_height - round(6 * unit)
        _Pen(sheet, _STROKES).fit(caption, (x + gap, baseline), 0.45 * unit, width - 2 * gap, WHITE, shadow=False)
    return sheet


def _to_width(image: RgbImage, width: int) -> RgbImage:
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    if image.shape[1] == width:
        return image
    smaller = image.shape[1] > width
    return np.asarray(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR),
        np.uint8,
    )


def _shade(picture: RgbImage, start: tuple[int, int], end: tuple[int, int], radius: int) -> None:
    """Blend a panel with rounded corners into ``picture``."""
    (x0, y0), (x1, y1) = start, end
    y0 = max(y0, 0)
    if x1 <= x0 or y1 <= y0:
        return  # a picture of a few pixels has no room for it
    area = picture[y0:y1, x0:x1]
    mask = np.zeros(area.shape[:2], dtype=np.uint8)
    h, w = y1 - y0, x1 - x0
    radius = min(radius, h // 2, w // 2)
    cv2.rectangle(mask, (radius, 0), (w - 1 - radius, h - 1), 255, cv2.FILLED)
    cv2.rectangle(mask, (0, radius), (w - 1, h - 1 - radius), 255, cv2.FILLED)
    for x in (radius, w - 1 - radius):
        for y in (radius, h - 1 - radius):
            cv2.circle(mask, (x, y), radius, 255, cv2.FILLED, cv2.LINE_AA)
    alpha = mask[..., None].astype(np.float32) * np.float32(PANEL_OPACITY / 255)
    area[:] = (area * (1 - alpha) + np.array(PANEL, dtype=np.float32) * alpha + 0.5).astype(np.uint8)


def _bar(pen: _Pen, label: str, score: float, at: tuple[int, int, int, int], unit: float, colour: Colour) -> None:
    """One line: name, track, filled share, percentage; ``at`` is (left, start of the track, right, middle y)."""
    left, start, right, y = at
    scale = ROW_SCALE * unit
    end, half = right - pen.width("100%", scale) - round(6 * unit), max(1, round(2.5 * unit))
    pen.fit(label, (left, y + round(4 * unit)), scale, start - left - round(6 * unit), WHITE, shadow=False)
    share = _share(score)
    filled = start + round((end - start) * share)
    cv2.rectangle(pen.picture, (start, y - half), (end, y + half), TRACK, cv2.FILLED)
    if filled > start:
        cv2.rectangle(pen.picture, (start, y - half), (filled, y + half), colour, cv2.FILLED)
    text = f"{share:.0%}"
    pen.write(
        text,
        (right - pen.width(text, scale), y + round(4 * unit)),
        scale,
        WHITE,
        shadow=False,
    )


def _share(score: float) -> float:
    """As a share of 1; whatever is no number is none."""
    return min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0


def _tag(pen: _Pen, text: str, at: tuple[int, int], unit: float, colour: Colour) -> int:
    """A filled tag that ends at ``at`` (right, baseline); returns its left edge."""
    right, baseline = at
    pad = round(4 * unit)
    left = right - pen.width(text, ROW_SCALE * unit) - 2 * pad
    cv2.rectangle(
        pen.picture, (left, baseline - round(11 * unit)), (right, baseline + round(4 * unit)), colour, cv2.FILLED
    )
    pen.write(text, (left + pad, baseline), ROW_SCALE * unit, PANEL, shadow=False)
    return left
