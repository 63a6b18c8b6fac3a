"""Regions of the map become rooms: joined where evidence says so, described, and named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.room_map.evidence import Evidence
from edgevl_core.room_map.occupancy import Grid
from edgevl_core.room_map.places import cells_of
from edgevl_core.room_map.regions import Regions

LEAST_WEIGHT = 1.0  # independent frames; with less, a room is not known
ALIKE = 0.2  # correlation that is left between frames of one room: more frames than 1 / ALIKE add little
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Room:
    """One room of the map.

    Attributes:
        id: stays the same as long as the room can be known again.
        label: the most probable word, or the owner's; "unknown" where evidence is thin.
        probability: of the label, 0..1; 1 for the owner's word.
        polygon_m: (N, 2) its outline.
        area_m2: of its free floor.
        pose_m: x, y of a place inside, as far from walls as any.
        named_by_owner: whether the owner gave the name.
        weight: independent frames that showed it.
    """

    id: int
    label: str
    probability: float
    polygon_m: NDArray[np.float64]
    area_m2: float
    pose_m: tuple[float, float]
    named_by_owner: bool
    weight: float


def room_around(rooms: Iterable[Room], x: float, y: float) -> Room | None:
    """The room whose outline has this place inside, metres in the frame of the map; None: there is none."""
    outlines = ((room, room.polygon_m.astype(np.float32)) for room in rooms)
    inside = (room for room, outline in outlines if len(outline) and cv2.pointPolygonTest(outline, (x, y), False) >= 0)
    return next(inside, None)


@dataclass(frozen=True)
class Words:
    """A label set: N names, (N, D) float32 unit vectors, the teacher's logit scale, and which teacher that is."""

    names: tuple[str, ...]
    vectors: NDArray[np.float32]
    logit_scale: float
    teacher: str = ""

    def probabilities(self, total: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
        """(N,): softmax of the mean logit times the number of independent frames; flat without evidence."""
        independent = weight / (1 + max(weight - 1, 0) * ALIKE)
        logits = self.logit_scale * (self.vectors @ total) / max(weight, 1e-6) * independent
        likelihood = np.exp(logits - logits.max())
        return np.asarray(likelihood / likelihood.sum(), np.float32)


def join_alike(regions: Regions, evidence: Evidence, words: Words, owned: Mapping[int, int]) -> NDArray[np.int32]:
    """Regions that touch and are surely the same room are one: both say one word, or one was never looked at.

    What furniture parts is so brought together again; two rooms of a kind with only a door between them are, too.
    A room that the owner named stays what it was: only regions of the same one are joined (``owned``: region -> room).

    Returns:
        (N + 1,) int32: by region, the one that it is joined to, or itself.
    """
    answer: dict[int, tuple[int, float]] = {}
    for region, (total, weight) in evidence.by_region(regions).items():
        answer[region] = (int(words.probabilities(total, weight).argmax()), weight)
    leader = {region: region for region in answer}

    def find(region: int) -> int:
        while leader[region] != region:
            region = leader[region]
        return region

    pairs = regions.touching
    for a, b in pairs:
        (word_a, weight_a), (word_b, weight_b) = answer[a], answer[b]
        if min(weight_a, weight_b) >= LEAST_WEIGHT and word_a == word_b and owned.get(a) == owned.get(b):
            leader[find(b)] = find(a)
    sizes = regions.sizes
    small_m2 = 2.5
    for region, (_, weight) in answer.items():
        if weight < LEAST_WEIGHT and sizes[region] * regions.grid.resolution_m**2 < small_m2:
            beside = [a if b == region else b for a, b in pairs if region in (a, b)]
            known = [other for other in beside if answer[other][1] >= LEAST_WEIGHT]
            if len({find(other) for other in known}) == 1 and owned.get(region) in (None, owned.get(known[0])):
                leader[find(region)] = find(known[0])
    renumbered = np.arange(len(sizes), dtype=np.int32)
    for region in answer:
        renumbered[region] = find(region)
    return renumbered


@dataclass(frozen=True)
class Shape:
    """Of a room: outline (N, 2) metres, free floor, and the place farthest from walls."""

    polygon_m: NDArray[np.float64]
    area_m2: float
    pose_m: tuple[float, float]


def shapes(numbers: NDArray[np.int32], grid: Grid) -> dict[int, Shape]:
    """By room number, from the number of each cell (rows, columns), 0: none."""
    return {number: _shape(numbers, number, grid, cells) for number, cells in cells_of(numbers).items()}


def _shape(numbers: NDArray[np.int32], number: int, grid: Grid, cells: NDArray[np.intp]) -> Shape:
    corner, (last_row, last_column) = cells.min(axis=0), cells.max(axis=0).tolist()
    mask = (numbers[corner[0] : last_row + 1, corner[1] : last_column + 1] == number).astype(np.uint8)
    distance = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    inside = grid.middle_m(np.array(np.unravel_index(int(distance.argmax()), mask.shape), np.intp) + corner)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = np.asarray(max(contours, key=cv2.contourArea)[:, 0, ::-1], np.intp) + corner
    return Shape(grid.middle_m(outline), len(cells) * grid.resolution_m**2, (float(inside[0]), float(inside[1])))


def describe(
    number: int, shape: Shape, total: NDArray[np.float32], weight: float, words: Words, owner_name: str | None
) -> Room:
    """One room of the map, from its shape and what was seen there."""
    probability = words.probabilities(total, weight)
    best = int(probability.argmax())
    known = weight >= LEAST_WEIGHT
    room = Room(
        id=number,
        label=words.names[best] if known else UNKNOWN,
        probability=float(probability[best]) if known else 0.0,
        polygon_m=shape.polygon_m,
        area_m2=shape.area_m2,
        pose_m=shape.pose_m,
        named_by_owner=False,
        weight=weight,
    )
    return room if owner_name is None else replace(room, label=owner_name, probability=1.0, named_by_owner=True)
