"""A home's room map that follows the words in force and is kept on disk: all that a node does, without its messages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.vocabulary import check_words
from edgevl_core.camera.depth import MeasuredDepth
from edgevl_core.room_map.correction import Correction
from edgevl_core.room_map.files import KEPT, load, save
from edgevl_core.room_map.floors import LEAST_M2, Floor, of_map
from edgevl_core.room_map.occupancy import OccupancyMap
from edgevl_core.room_map.room_map import RoomMap
from edgevl_core.room_map.rooms import Room
from edgevl_core.room_map.view import Intrinsics, Stand
from edgevl_core.room_map.words import Dictionary, open_bundle

LEAST_SHARE = 0.3  # of the floor of before: a map that shows less and may be that floor is waited for
AGAIN_AFTER_S = 10.0  # a bundle that was refused is looked at again


@dataclass(frozen=True)
class Sight:
    """A frame that a student, of the bundle in the directory ``bundle``, has looked at; see RoomMap.add_frame."""

    embedding: NDArray[np.float32]
    temperature: float
    known: bool
    bundle_id: str
    bundle: str


class LabelSet(NamedTuple):
    """The label set in force in scene_classifier."""

    bundle_id: str = ""
    labels: tuple[str, ...] = ()
    version: int = 0


class KeptMap:
    """A room map with its words and its place on disk. Not for several threads at once.

    Nothing is added before there are words and a map: what cannot be placed is dropped, by a reason.

    A map whose walls are others than those of before is another floor: the room map of before is saved and laid aside,
    and taken up again when its map comes back, also after a restart.

    Args:
        directory: where it is kept. What lies there is taken up once the words are known. Other floors lie in
            ``directory/floors``.
        trusted: public keys, one of which must have signed the bundles of the frames; empty: any bundle.
        correct_poses: poses are odometry, and are set right by the walls that depth sees.

    Attributes:
        directory: where this floor is kept.
        changed: whether rooms may differ from those last shown; who shows them sets it back.
        unsaved: whether there is anything that ``save`` has not written.
        problem: why the bundle of the frames that come cannot be followed; empty: it is.
        version: of the label set in force; 0: the bundle's own.
        correction: None: poses are believed, or there is no map yet.
        stand: where the camera was last known to be, on the map.
    """

    def __init__(self, directory: Path, trusted: Sequence[str] = (), *, correct_poses: bool = False) -> None:
        self.directory = self._first = directory
        self._trusted = trusted
        self.changed = self.unsaved = False
        self.version = 0
        self.problem = ""
        self._told, self._refused, self._again_s = LabelSet(), "", 0.0
        self._dictionary: Dictionary | None = None
        self._rooms: RoomMap | None = None
        self._occupancy: OccupancyMap | None = None
        self._correct_poses = correct_poses
        self.correction: Correction | None = None
        self.stand: Stand | None = None
        self._begin: tuple[Stand | None, Stand] | None = None  # by odometry, and on the map: not taken up yet
        self._undecided = False  # the map shows too little to say of which floor it is

    @property
    def rooms(self) -> RoomMap:
        """Raises UserError while there are no words."""
        if self._rooms is None:
            raise UserError("no words to name rooms with yet: set the parameter bundle, or start scene_classifier")
        return self._rooms

    @property
    def ready(self) -> bool:
        """Whether there are words and a map, and so rooms."""
        return self._rooms is not None and self._rooms.has_map

    @property
    def bundle_id(self) -> str:
        """Of the bundle whose words and frames are taken; empty: none yet."""
        return "" if self._dictionary is None else self._dictionary.manifest.bundle_id

    def use(self, dictionary: Dictionary, labels: Sequence[str] = (), version: int = 0) -> None:
        """Name everything by these words from now on; the first time, take up what was kept.

        Raises:
            UserError: see Dictionary.words; words of another teacher, or the kept map cannot be read. Nothing changed.
        """
        words = dictionary.words(labels)
        if self._rooms is None:
            self._rooms = load(self.directory, words) if (self.directory / KEPT).exists() else RoomMap(words)
            if self._occupancy is not None:
                self._lay_on(self._rooms, self._occupancy)
        else:
            self._rooms.set_words(words)
        self._dictionary, self.version, self.changed, self.problem = dictionary, version, True, ""

    def use_labels(self, told: LabelSet) -> None:
        """Follow scene_classifier's label set: now, or with the first frame of its bundle."""
        self._told, self._refused = told, ""
        if self._dictionary is None or told.bundle_id != self.bundle_id:
            return
        if told.labels != self.rooms.words.names:
            self.use(self._dictionary, told.labels, told.version)
        self.version = told.version

    def _follow(self, sight: Sight) -> bool:
        """Take up the bundle of a frame; False where that is refused, which ``problem`` then tells."""
        if sight.bundle_id == self._refused and monotonic() < self._again_s:
            return False
        labels, version = self._told[1:] if self._told.bundle_id == sight.bundle_id else ((), 0)
        try:
            self.use(open_bundle(sight.bundle, sight.bundle_id, self._trusted), labels, version)
        except UserError as error:
            # It may be copied or signed by then.
            self.problem, self._refused, self._again_s = str(error), sight.bundle_id, monotonic() + AGAIN_AFTER_S
        return self.bundle_id == sight.bundle_id

    def set_map(self, occupancy: OccupancyMap) -> None:
        """The map, as often as it is published; one like the last changes nothing."""
        before = self._occupancy
        if before is not None and before.grid == occupancy.grid and np.array_equal(before.percent, occupancy.percent):
            return
        self.changed = True
        if self.correction is not None:
            self.correction.set_map(occupancy)
        elif self._correct_poses:
            self.correction = Correction(occupancy)
        if self._rooms is not None:
            self._lay_on(self._rooms, occupancy)
        self._occupancy = occupancy

    def _lay_on(self, rooms: RoomMap, occupancy: OccupancyMap) -> None:
        """Put the map under the room map of its own floor, which may be another one than ``rooms``."""
        shown, floor = of_map(occupancy), rooms.floor
        same = rooms.is_of(shown)
        # SLAM that begins anew shows a few square metres first, which may be of any floor: they wait until they tell.
        least_m2 = 0.0 if floor is None else max(LEAST_M2, LEAST_SHARE * floor.free_m2)
        was_large = floor is not None and floor.free_m2 >= LEAST_M2
        self._undecided = True  # also where the lines below fail: no frame goes onto another floor
        if was_large and same is not False and shown.free_m2 < least_m2:
            return
        another = floor is None or same is False
        try:
            if another and self.unsaved:
                self.save()
        finally:  # also with a full disk nothing goes onto the floor of before
            if another:
                rooms = self._kept_of(shown, rooms) or (rooms if floor is None else self._begun(rooms))
            rooms.set_map(occupancy)
            self._rooms, self._occupancy, self._undecided = rooms, occupancy, False
            self.unsaved = self.unsaved or rooms.floor is not None  # it may have other rooms now

    def _kept_of(self, shown: Floor, rooms: RoomMap) -> RoomMap | None:
        """The room map of another floor that was kept, at its place; None: there is none of this one."""
        for folder in (self._first, *sorted(self._floors.glob("*"))):
            try:
                kept = load(folder, rooms.words) if folder != self.directory and (folder / KEPT).exists() else None
            except UserError:  # damaged, or of another teacher: it stays where it is
                continue
            if kept is not None and kept.is_of(shown):
                self.directory, self.unsaved = folder, False
                return kept
        return None

    def _begun(self, rooms: RoomMap) -> RoomMap:
        """A new floor, at a new place."""
        numbers = [int(folder.name) for folder in self._floors.glob("*") if folder.name.isdecimal()]
        self.directory, self.unsaved = self._floors / str(max(numbers, default=1) + 1), False
        return RoomMap(rooms.words)

    @property
    def _floors(self) -> Path:
        """Where the room maps of all floors but the first lie."""
        return self._first / "floors"

    def add(
        self,
        sight: Sight,
        stand: Stand | None,
        depth: Callable[[], MeasuredDepth | None],
        camera: Intrinsics | None,
    ) -> str:
        """Put a frame onto the map; the reason why it was dropped, or "". ``depth`` is called only where it is used."""
        if sight.bundle_id == self.bundle_id:
            self.problem = ""
        elif not self._follow(sight):
            return "another bundle"
        if len(sight.embedding) != self.rooms.evidence.dim:
            return "another bundle"
        if self._occupancy is None:
            return "no map"
        if self._undecided:
            return "map too small"
        seen = depth() if stand is not None and sight.known else None
        if camera is not None and self._dictionary is not None:
            camera = replace(camera, rotation_deg=self._dictionary.manifest.preprocess.rotation_deg)
        if stand is not None:
            stand = self.stand = self._set_right(stand, seen, camera)
        reason = self.rooms.add_frame(
            stand, sight.embedding, sight.temperature, known=sight.known, depth=seen, camera=camera
        )
        if not reason:
            self.changed = self.unsaved = True
        return reason

    def begin(self, odometry: Stand | None, on_map: Stand) -> None:
        """The camera that odometry has at ``odometry`` (None: at that of the next frame) is at ``on_map``.

        Raises:
            UserError: ``on_map`` is no pose.
        """
        if not np.isfinite([on_map.x, on_map.y, on_map.yaw]).all():
            raise UserError(f"initial pose x {on_map.x}, y {on_map.y}, yaw {on_map.yaw}: numbers and a quaternion")
        self._begin = (odometry, on_map)

    def _set_right(self, stand: Stand, depth: MeasuredDepth | None, camera: Intrinsics | None) -> Stand:
        if self.correction is None:
            return stand
        if self._begin is not None:
            odometry, on_map = self._begin
            self.correction.begin(odometry or stand, on_map)
            self._begin = None
        return self.correction.of(stand, depth, camera)

    def find(self, word: str) -> list[tuple[Room, float]]:
        """Rooms with their scores, best first: see :meth:`RoomMap.find_room`.

        Raises:
            UserError: a word that neither the bundle nor an owner's name knows, or no map yet.
        """
        (word,) = check_words([word], 1)
        rooms, dictionary = self.rooms, self._dictionary
        assert dictionary is not None
        in_force = {name.casefold(): row for row, name in enumerate(rooms.words.names)}
        row = in_force.get(word.casefold())
        owners = [room for room in rooms.rooms() if room.named_by_owner and room.label.casefold() == word.casefold()]
        vector = rooms.words.vectors[row] if row is not None else None if owners else dictionary.vector(word)
        if vector is not None:
            return rooms.find_room(vector, word)
        if not owners:
            hidden = word.casefold() in {name.casefold() for name in rooms.owner_names.values()}
            raise UserError(
                f"word {word!r}: "
                + ("the map does not show the room of this name now" if hidden else "no room has this name")
                + f", and the bundle knows no such word; it knows {', '.join(dictionary.bank.names)}"
            )
        return [(room, 1.0) for room in owners]

    def rename(self, number: int, name: str) -> Room:
        """See :meth:`RoomMap.rename`. Raises UserError where ``name`` is no word."""
        room = self.rooms.rename(number, *(check_words([name], 1) if name.strip() else [""]))
        self.changed = self.unsaved = True
        return room

    def save(self) -> Path:
        """Write it; the file. Raises UserError where there is no map yet."""
        save(self.rooms, self.directory)
        self.unsaved = False
        return self.directory / KEPT

    def load(self) -> Path:
        """Go back to what was saved; the file. Raises UserError where that cannot be read, and nothing changed."""
        self._rooms = load(self.directory, self.rooms.words)
        if self._occupancy is not None and not self._undecided:
            self._rooms.set_map(self._occupancy)
        self.changed, self.unsaved = True, False
        return self.directory / KEPT
