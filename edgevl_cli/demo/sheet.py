"""The demo's contact sheet: one column a room, lit, in the dark, and the depth that the dark answer goes by."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
_COLUMNS = 4  # eight rooms side by side are too wide for a screen: bands of up to four


class RoomShown(NamedTuple):
    """Pictures of one room, each (H, W, 3) uint8 RGB: the answers drawn in, lit and in the dark; depth in the dark."""

    lit: RgbImage
    dark: RgbImage
    depth: RgbImage


def room_sheet(shown: Mapping[str, RoomShown]) -> RgbImage:
    """All rooms, named by their true names, as one picture (H, W, 3) uint8 RGB."""
    from edgevl_core.draw.overlay import contact_sheet

    names = sorted(shown)
    rows = [[(getattr(shown[name], kind), f"{name}, {kind}") for name in names] for kind in RoomShown._fields]
    starts = range(0, len(names), _COLUMNS)
    tiles = [tile for start in starts for row in rows for tile in row[start : start + _COLUMNS]]
    return contact_sheet([image for image, _ in tiles], [caption for _, caption in tiles], columns=_COLUMNS)
