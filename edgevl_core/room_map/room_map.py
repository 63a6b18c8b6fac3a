"""The rooms of a home: frames in, rooms with names out; asked by word or by place."""

import math
from collections import Counter, deque
from collections.abc import Mapping
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.camera.depth import MeasuredDepth
from edgevl_core.room_map.evidence import Evidence
from edgevl_core.room_map.floors import Floor, is_same, of_map, of_rooms
from edgevl_core.room_map.occupancy import Grid, OccupancyMap
from edgevl_core.room_map.places import Place, known_again, laid_out, lies_in, remembered
from edgevl_core.room_map.regions import Regions
from edgevl_core.room_map.rooms import LEAST_WEIGHT, Room, Shape, Words, describe, join_alike, shapes
from edgevl_core.room_map.segmentation import MIN_ROOM_M2, segment
from edgevl_core.room_map.view import Intrinsics, Stand, cells_in, outline

REMEMBERED = 101  # frames whose certainty says what is usual
LEAST_TEMPERATURE = 1e-3  # a thousandth of what frames have: their evidence would be all there is
NEAREST_M = 0.5  # a place this near to a room, such as one beside a table, is in it


class RoomMap:
    """Evidence over a home, and the rooms that follow from it. Not for several threads at once.

    ``add_frame`` for every frame, ``set_map`` when the map changes, ``rooms`` when somebody asks: only then are rooms
    made anew.

    Args:
        words: the label set in force; see :meth:`set_words`.

    Attributes:
        dropped: frames that were not used, by reason.
        owner_names: room number -> the owner's word.
    """

    def __init__(self, words: Words) -> None:
        self.words = words
        self.evidence = Evidence(words.vectors.shape[1])
        self.dropped: Counter[str] = Counter()
        self.owner_names: dict[int, str] = {}
        self._map: OccupancyMap | None = None
        self._regions = Regions(np.zeros((0, 0), np.int32), Grid((0, 0), 0.05, (0.0, 0.0)))  # of the map alone
        self._joined_to = np.zeros(0, np.int32)  # see join_alike; empty: not known for this map
        self._owned: dict[int, int] | None = None  # see lies_in; None: not known for this map and these places
        self._numbered = self._regions  # by the number of the room that each is
        self._joined = np.zeros((0, 0), np.int32)  # regions that these were made of
        self._places: dict[int, Place] = {}  # of these rooms, and of those that the map does not show now
        self._shapes: dict[int, Shape] = {}
        self._sums: dict[int, tuple[NDArray[np.float32], float]] = {}  # what was seen in each room, and its weight
        self._sure: deque[float] = deque(maxlen=REMEMBERED)
        self._next_id = 1
        self._stale = True
        self._rooms: tuple[Room, ...] = ()

    def set_words(self, words: Words) -> None:
        """Name everything by another label set, from what was seen before. The owner's words stay.

        Raises:
            UserError: its vectors are of another teacher.
        """
        if words.teacher != self.words.teacher:
            raise UserError(
                f"label vectors are of teacher {words.teacher}, the evidence is of {self.words.teacher}: begin a new "
                "map"
            )
        if words.vectors.shape[1] != self.evidence.dim:
            raise UserError(
                f"label vectors have {words.vectors.shape[1]} dimensions, the evidence {self.evidence.dim}: they are "
                "of another teacher; begin a new map"
            )
        self.words, self._stale = words, True
        self._sure.clear()

    def set_map(self, occupancy: OccupancyMap) -> None:
        """A new or a changed map. Evidence lies in metres, so a larger or a shifted grid moves nothing."""
        self._map, self._stale = occupancy, True
        numbers = segment(occupancy.free, occupancy.occupied, occupancy.grid.resolution_m)
        self._regions, self._joined_to, self._owned = Regions(numbers, occupancy.grid), np.zeros(0, np.int32), None

    def add_frame(
        self,
        stand: Stand | None,
        embedding: NDArray[np.float32],
        temperature: float,
        *,
        known: bool = True,
        depth: MeasuredDepth | None = None,
        camera: Intrinsics | None = None,
    ) -> str:
        """What a frame showed; the reason why it was not used, or "".

        Args:
            stand: the camera on the map at the image's stamp; None: not known.
            embedding: (D,) float32 of length 1.
            temperature: of the frame's modality, above 0.
            known: whether the input was worth looking at; a covered lens says nothing of a room.
            depth, camera: see :func:`edgevl_core.room_map.view.outline`.
        """
        reason = ""
        if stand is None or not np.isfinite([stand.x, stand.y, stand.yaw]).all():
            reason = "no pose"
        elif not known:
            reason = "nothing to see"
        elif not _is_unit(embedding) or not LEAST_TEMPERATURE < temperature < math.inf:
            reason = "no embedding"
        elif self._map is not None and not self._on_map(stand):
            reason = "off the map"
        if reason or stand is None:
            self.dropped[reason] += 1
            return reason
        polygon = outline(stand, depth, camera)
        xy_m = self._seen(polygon)
        if not len(xy_m):
            self.dropped["shows no floor"] += 1
            return "shows no floor"
        scaled = embedding / np.float32(temperature)
        scaled *= self._voice(scaled)
        self.evidence.add(xy_m, scaled, self.evidence.novelty(stand.x, stand.y, stand.yaw))
        self._stale = True
        return ""

    def _voice(self, scaled: NDArray[np.float32]) -> np.float32:
        """No frame is louder than the median of those before it: a bounded influence (Huber 1964), for wrong ones."""
        if len(self.words.names) < 2:  # one word tells no frame from another; those that come later may
            return np.float32(1)
        sure = float(np.std(self.words.vectors @ scaled))
        self._sure.append(sure)
        return np.float32(min(1.0, median_low(self._sure) / max(sure, 1e-9)))

    def rooms(self) -> tuple[Room, ...]:
        """All rooms of at least 1 m2, by number.

        Raises:
            UserError: there is no map yet.
        """
        self._update()
        return self._rooms

    def numbers(self) -> tuple[NDArray[np.int32], Grid]:
        """(rows, columns) the room number of each cell, 0: none; and where the cells lie."""
        self._update()
        return self._numbered.numbers, self._numbered.grid

    def room_at(self, x: float, y: float) -> Room | None:
        """The room of a place, or of the nearest cell within half a metre; None: there is none."""
        rooms = {room.id: room for room in self.rooms()}
        row, column = self._numbered.grid.cells(np.array([x, y])).tolist()
        reach = round(NEAREST_M / self._numbered.grid.resolution_m)
        top, left = max(row - reach, 0), max(column - reach, 0)
        near = self._numbered.numbers[top : row + reach + 1, left : column + reach + 1]
        cells = np.argwhere(np.isin(near, list(rooms)))
        if not len(cells):
            return None
        distance = np.hypot(cells[:, 0] + top - row, cells[:, 1] + left - column)
        nearest = cells[int(distance.argmin())]
        return rooms[int(near[nearest[0], nearest[1]])] if distance.min() <= reach else None

    def find_room(self, vector: NDArray[np.float32], word: str = "") -> list[tuple[Room, float]]:
        """Rooms with how well they fit, best first: the owner's ``word``, then the cosine to ``vector`` (D,).

        An owner's name that is a word of the label set says what the room is: it is nothing else. Another name, such as
        "Anna's", says nothing of that.
        """
        found, kinds = [], {name.casefold() for name in self.words.names}
        for room in self.rooms():
            name = room.label.casefold() if room.named_by_owner else ""
            if name and (name == word.casefold() or name in kinds or room.weight < LEAST_WEIGHT):
                found.append((room, 1.0 if name == word.casefold() else -1.0))
            elif room.weight >= LEAST_WEIGHT:
                total, _ = self._sums[room.id]
                found.append((room, float(vector @ total / max(float(np.linalg.norm(total)), 1e-12))))
        return sorted(found, key=lambda entry: -entry[1])

    def rename(self, number: int, name: str) -> Room:
        """The owner's word for a room; empty: the evidence names it again, and may join it to another one.

        Returns:
            The room that now lies where it was.

        Raises:
            UserError: there is no such room, or the map does not show it now.
        """
        room = next((room for room in self.rooms() if room.id == number), None)
        if room is None:
            numbers = ", ".join(str(room.id) for room in self._rooms) or "none"
            why = "the map does not show it now" if number in self._places else "there is no such room"
            raise UserError(f"room {number}: {why}; rooms are {numbers}")
        self.owner_names.pop(number, None)
        self._owned = None
        if name.strip():
            self.owner_names[number] = name.strip()
        self._stale = True
        return self.room_at(*room.pose_m) or room

    def restore(
        self,
        numbers: NDArray[np.int32],
        grid: Grid,
        hidden: Mapping[int, Place],
        owner_names: Mapping[int, str],
        next_id: int,
    ) -> None:
        """Rooms as they were numbered before a restart; see :attr:`hidden`."""
        self._numbered, self._next_id = Regions(numbers, grid), next_id
        self._places = remembered(hidden, numbers, grid)
        self._joined, self._joined_to, self._owned = np.zeros((0, 0), np.int32), np.zeros(0, np.int32), None
        self.owner_names, self._stale = dict(owner_names), True

    @property
    def has_map(self) -> bool:
        """Whether there is a map to have rooms on."""
        return self._map is not None

    @property
    def floor(self) -> Floor | None:
        """What this floor is known by; None where nothing was seen on it, or it has neither a map nor rooms."""
        if not self.evidence.weight.size and not self.owner_names:
            return None
        if self._map is not None:
            return of_map(self._map)
        laid = laid_out(self._places)
        return None if laid is None else of_rooms(*laid)

    def is_of(self, shown: Floor) -> bool | None:
        """Whether a map is of this floor, by the map of before or by all rooms that it had; None: it cannot be told."""
        if (floor := self.floor) is None:
            return None
        same = is_same(floor, shown)
        if same is not True and self._map is not None and self.hidden and (laid := laid_out(self._places)):
            return is_same(of_rooms(*laid), shown) or same
        return same

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """(rows, columns) walls and furniture; as large as :meth:`numbers`."""
        return np.zeros((0, 0), bool) if self._map is None else self._map.occupied

    @property
    def hidden(self) -> dict[int, Place]:
        """Where rooms lay that the map does not show now: by number, as they would come back."""
        shown = set(np.unique(self.numbers()[0]).tolist())
        return {number: place for number, place in self._places.items() if number not in shown}

    @property
    def next_id(self) -> int:
        """The number that the next new room gets."""
        return self._next_id

    def _on_map(self, stand: Stand) -> bool:
        assert self._map is not None
        return bool(self._map.grid.holds(self._map.grid.cells(np.array([stand.x, stand.y]))))

    def _seen(self, polygon: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 2) metres: free cells in the polygon; without a map, all cells."""
        grid = self._map.grid if self._map is not None else Grid((4000, 4000), 0.1, (-200.0, -200.0))
        cells = cells_in(polygon, grid)
        if self._map is not None and len(cells):
            cells = cells[self._map.free[cells[:, 0], cells[:, 1]]]
        return grid.middle_m(cells)

    def _update(self) -> None:
        if not self._stale:
            return
        if self._map is None:
            raise UserError("rooms are parts of a map, and there is none yet: publish one, or pass --map")
        whole, grid = self._regions, self._map.grid
        named = {number: place for number, place in self._places.items() if number in self.owner_names}
        if self._owned is None:
            self._owned = lies_in(whole.numbers, grid, named)
        joined_to = join_alike(whole, self.evidence, self.words, self._owned)
        small = np.bincount(joined_to, whole.sizes) * grid.resolution_m**2 < MIN_ROOM_M2
        joined_to[small[joined_to]] = 0
        if not np.array_equal(joined_to, self._joined_to):  # what follows looks at each cell of the map
            self._joined_to = joined_to
            self._number(joined_to[whole.numbers], grid, named)
        self._sums = self.evidence.by_region(self._numbered)
        self._rooms = tuple(
            describe(number, shape, *self._sums[number], self.words, self.owner_names.get(number))
            for number, shape in self._shapes.items()
        )
        self._stale = False

    def _number(self, regions: NDArray[np.int32], grid: Grid, named: Mapping[int, Place]) -> None:
        """Rooms of these regions, which keep the numbers that they had."""
        if grid == self._numbered.grid and np.array_equal(regions, self._joined):
            return
        numbers, self._next_id = known_again(regions, grid, self._places, named, self._next_id)
        self._places, self._owned = remembered(self._places, numbers, grid), None
        self._joined, self._numbered, self._shapes = regions, Regions(numbers, grid), shapes(numbers, grid)


def _is_unit(embedding: NDArray[np.float32]) -> bool:
    """Whether its length is 1, up to rounding: of another one a frame would be louder than the rest, or say nothing."""
    return abs(float(np.linalg.norm(embedding.astype(np.float64))) - 1) < 0.01
