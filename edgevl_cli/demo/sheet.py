"""The demo's contact sheet: one column a room, lit, in the dark, and the depth that the dark answer goes by."""

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
_COLUMNS = 4  # eight rooms side by side are too wide for a screen: bands of up to four


class RoomShown(NamedTuple):
    """Pictures of one room, each (H, W, 3) uint8 RGB: the answers drawn in, lit and in the dark; depth in the dark."""

    lit: RgbImage
    dark: RgbImage
    depth: RgbImage


def depth_picture(depth_m: NDArray[np.float32]) -> RgbImage:
    """(H, W) metres as a colour picture (H, W, 3) uint8 RGB: near is warm, far is cold, holes are black."""
    near_first = np.nan_to_num(255 * (1 - np.clip(depth_m, 0, 5) / 5)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(near_first, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    picture = np.asarray(colours, np.uint8)
    picture[np.isnan(depth_m)] = 0
    return picture


def room_sheet(shown: Mapping[str, RoomShown]) -> RgbImage:
    """All rooms, named by their true names, as one picture (H, W, 3) uint8 RGB."""
    from edgevl_core.draw.overlay import contact_sheet

    names = sorted(shown)
    rows = [[(getattr(shown[name], kind), f"{name}, {kind}") for name in names] for kind in RoomShown._fields]
    starts = range(0, len(names), _COLUMNS)
    tiles = [tile for start in starts for row in rows for tile in row[start : start + _COLUMNS]]
    return contact_sheet([image for image, _ in tiles], [caption for _, caption in tiles], columns=_COLUMNS)
