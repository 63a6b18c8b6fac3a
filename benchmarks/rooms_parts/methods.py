"""Ways to put names onto a map: edgevl's room map, and the two simplest things that could work."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.room_map.occupancy import Grid, OccupancyMap
from edgevl_core.room_map.room_map import NEAREST_M, RoomMap
from edgevl_core.room_map.rooms import Words
from edgevl_core.room_map.segmentation import segment
from rooms_parts.drives import Frame

Place = tuple[float, float]


@dataclass(frozen=True)
class Named:
    """A map with names, by any method.

    Attributes:
        numbers: (rows, columns) the room of each cell, 0: none.
        labels: room -> its name.
        word_at: the name of a place, "" where there is none.
        find: a place in the room that fits a word best; None: there is none.
    """

    numbers: NDArray[np.int32]
    labels: Mapping[int, str]
    word_at: Callable[[float, float], str]
    find: Callable[[str], Place | None]


def room_map(frames: Sequence[Frame], occupancy: OccupancyMap, words: Words) -> Named:
    """edgevl's."""
    rooms = RoomMap(words)
    rooms.set_map(occupancy)
    for frame in frames:
        rooms.add_frame(
            frame.stand, frame.embedding, frame.temperature, known=frame.known, depth=frame.depth, camera=frame.camera
        )

    def word_at(x: float, y: float) -> str:
        room = rooms.room_at(x, y)
        return "" if room is None else room.label

    def find(word: str) -> Place | None:
        found = rooms.find_room(words.vectors[words.names.index(word)], word) if word in words.names else []
        return found[0][0].pose_m if found else None

    return Named(rooms.numbers()[0], {room.id: room.label for room in rooms.rooms()}, word_at, find)


def vote(frames: Sequence[Frame], occupancy: OccupancyMap, words: Words) -> Named:
    """Each part between doors gets the word that most of the frames said that were taken in it."""
    grid = occupancy.grid
    regions = segment(occupancy.free, occupancy.occupied, grid.resolution_m)
    votes: dict[int, Counter[str]] = {}
    for frame in frames:
        if (region := _near(regions, grid, frame.stand.x, frame.stand.y)) and frame.known:
            votes.setdefault(region, Counter())[frame.word(words)] += 1
    labels = {region: counted.most_common(1)[0][0] for region, counted in votes.items()}
    return _named(regions, labels, grid)


def nearest(frames: Sequence[Frame], occupancy: OccupancyMap, words: Words) -> Named:
    """Each free cell gets the word of the frame that was taken nearest to it; what has one word is one room."""
    told = [frame for frame in frames if frame.known]
    numbers = np.zeros(occupancy.grid.shape, np.int32)
    if told:
        free = np.argwhere(occupancy.free)
        stands = np.array([(frame.stand.x, frame.stand.y) for frame in told])
        away = np.linalg.norm(occupancy.grid.middle_m(free)[:, None] - stands, axis=2)
        said = np.array([words.names.index(frame.word(words)) + 1 for frame in told])
        numbers[free[:, 0], free[:, 1]] = said[away.argmin(axis=1)]
    return _named(numbers, dict(enumerate(words.names, 1)), occupancy.grid)


METHODS: dict[str, Callable[[Sequence[Frame], OccupancyMap, Words], Named]] = {
    "room map": room_map,
    "vote by room": vote,
    "nearest frame": nearest,
}


def _named(numbers: NDArray[np.int32], labels: Mapping[int, str], grid: Grid) -> Named:
    def find(word: str) -> Place | None:
        mask = np.isin(numbers, [number for number, label in labels.items() if label == word])
        if not mask.any():
            return None
        away = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        x, y = grid.middle_m(np.array(np.unravel_index(int(away.argmax()), mask.shape), np.intp)).tolist()
        return x, y

    return Named(numbers, labels, lambda x, y: labels.get(_near(numbers, grid, x, y), ""), find)


def _near(numbers: NDArray[np.int32], grid: Grid, x: float, y: float) -> int:
    """The room of the nearest cell that has one, within as much as RoomMap.room_at reaches; 0: none."""
    row, column = grid.cells(np.array([x, y])).tolist()
    reach = round(NEAREST_M / grid.resolution_m)
    top, left = max(row - reach, 0), max(column - reach, 0)
    near = numbers[top : max(row + reach + 1, 0), left : max(column + reach + 1, 0)]
    cells = np.argwhere(near)
    if not len(cells):
        return 0
    away = np.hypot(cells[:, 0] + top - row, cells[:, 1] + left - column)
    return int(near[tuple(cells[int(away.argmin())])]) if away.min() <= reach else 0
