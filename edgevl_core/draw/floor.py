"""A labelled map as a picture: walls, rooms in colours, names and probabilities."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError

JUMP = 40  # cells; nobody drives that far between two frames
PAPER, WALL, UNSEEN = (250, 250, 248), (60, 60, 66), (222, 222, 220)
# Light colours that also people tell apart who see few (Paul Tol's "light" scheme, and darker ones after it).
COLOURS = (
    (119, 170, 221),
    (153, 221, 255),
    (68, 187, 153),
    (187, 204, 51),
    (170, 170, 0),
    (238, 221, 136),
    (238, 136, 102),
    (255, 170, 187),
    (190, 170, 220),
    (150, 200, 180),
)


class NamedRoom(Protocol):
    """What is drawn of a room."""

    @property
    def id(self) -> int: ...

    @property
    def label(self) -> str: ...

    @property
    def probability(self) -> float: ...


def draw_floor(
    numbers: NDArray[np.int32],
    occupied: NDArray[np.bool_],
    rooms: Sequence[NamedRoom],
    path: NDArray[np.intp] | None = None,
    scale: int = 4,
    letters: float = 0.11,
    colours: Mapping[str, int] | None = None,
) -> NDArray[np.uint8]:
    """Draw rooms with their names.

    Args:
        numbers: (rows, columns) the room of each cell, 0: none; row 0 at the least y.
        occupied: (rows, columns) walls and furniture.
        rooms: what the numbers are called.
        path: (N, 2) row, column: where the robot drove; None: not drawn. Steps longer than JUMP cells are left out.
        scale: pixels a cell, >= 1.
        letters: how large names are, in the font's own size for each pixel of a cell.
        colours: label -> index of its colour, other labels stay grey; None: each room has its own.

    Returns:
        (rows * scale, columns * scale, 3) uint8 RGB, y up.

    Raises:
        UserError: the two grids differ.
    """
    if numbers.shape != occupied.shape:
        raise UserError(f"map of {numbers.shape} cells with walls of {occupied.shape}: one grid is needed")
    picture = np.empty((*numbers.shape, 3), np.uint8)
    picture[:] = UNSEEN
    for index, room in enumerate(rooms):
        chosen = index if colours is None else colours.get(room.label)
        picture[numbers == room.id] = UNSEEN if chosen is None else COLOURS[chosen % len(COLOURS)]
    picture[occupied] = WALL
    side = (numbers.shape[1] * scale, numbers.shape[0] * scale)
    picture = np.ascontiguousarray(cv2.resize(picture[::-1], side, interpolation=cv2.INTER_NEAREST))
    if path is not None and len(path) > 1:
        points = np.stack([path[:, 1] + 0.5, numbers.shape[0] - path[:, 0] - 0.5], axis=1) * scale
        way = np.round(points).astype(np.int32)
        jumps = np.flatnonzero(np.hypot(*np.diff(path, axis=0).T) > JUMP) + 1
        cv2.polylines(picture, np.split(way, jumps), False, (255, 255, 255), max(1, scale // 3), cv2.LINE_AA)
    for room in rooms:
        _name(picture, numbers == room.id, room, scale, letters)
    return picture


def _name(picture: NDArray[np.uint8], mask: NDArray[np.bool_], room: NamedRoom, scale: int, letters: float) -> None:
    """The name in the room's middle, which is the cell farthest from its walls; as large as the room is wide there."""
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(distance.argmax()), mask.shape)
    lines = [room.label] if room.probability in (0.0, 1.0) else [room.label, f"{room.probability:.0%}"]
    size = letters * scale
    middle = np.array([column + 0.5, mask.shape[0] - row - 0.5]) * scale
    for number, line in enumerate(lines):
        (width, height), _ = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        x = min(max(round(middle[0] - width / 2), 2), max(picture.shape[1] - width - 2, 2))
        y = round(middle[1] + (number + 0.5 - len(lines) / 2) * 1.8 * height + height / 2)
        for colour, thickness in ((PAPER, 3), ((20, 20, 24), 1)):
            cv2.putText(picture, line, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness, cv2.LINE_AA)
