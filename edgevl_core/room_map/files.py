"""A room map on disk: kept for the next start, and written as nav2 and others read it.

``save`` and ``load``: evidence and rooms in one directory. ``export``: ``rooms.json`` (a goal in each room),
``rooms.geojson`` (RFC 7946, but in metres of the map), and for each room a mask as nav2's map_server and its keep-out
and speed filters take it (PGM and YAML).
"""

import io
import json
import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import yaml

from edgevl_core.base.atomic import atomic_directory, atomic_write
from edgevl_core.base.errors import UserError
from edgevl_core.room_map.evidence import CELL_M
from edgevl_core.room_map.occupancy import FARTHEST_M, Grid, lies_somewhere
from edgevl_core.room_map.places import Place
from edgevl_core.room_map.room_map import RoomMap
from edgevl_core.room_map.rooms import Room, Words

KEPT = "room_map.npz"
SCHEMA_VERSION = 1


def save(rooms: RoomMap, directory: Path | str) -> None:
    """Write what ``load`` needs, whole or not at all; an earlier one in ``directory`` is replaced.

    Raises:
        UserError: there is no map yet, or it cannot be written.
    """
    numbers, grid = rooms.numbers()
    evidence, directory, hidden = rooms.evidence, Path(directory), rooms.hidden
    state = {
        "schema_version": SCHEMA_VERSION,
        "teacher": rooms.words.teacher,
        "evidence": {"origin_m": evidence.grid.origin_m},
        "grid": {"resolution_m": grid.resolution_m, "origin_m": grid.origin_m},
        "owner_names": {str(number): name for number, name in rooms.owner_names.items()},
        "hidden": [[number, len(place.xy_m), place.cell_m] for number, place in hidden.items()],
        "next_id": rooms.next_id,
        "dropped": dict(rooms.dropped),
        "visits": [[*place, count] for place, count in evidence.visits.items()],
    }
    # One file: sums and the place where they lie are of one moment, also after a power cut.
    text, buffer = np.frombuffer(json.dumps(state).encode(), np.uint8), io.BytesIO()
    hidden_m = np.concatenate([np.zeros((0, 2)), *(place.xy_m for place in hidden.values())])
    np.savez_compressed(
        buffer, total=evidence.total, weight=evidence.weight, numbers=numbers, hidden_m=hidden_m, state=text
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        atomic_write(directory / KEPT, buffer.getvalue())
    except OSError as error:
        raise UserError(
            f"room map {directory / KEPT} cannot be written ({error.strerror or error}): make room there, or give a "
            "directory that can be written to; what was kept before is left as it was"
        ) from error


def load(directory: Path | str, words: Words) -> RoomMap:
    """A room map as it was saved; give it the occupancy map again.

    Raises:
        UserError: there is none, it cannot be read, or it is of another teacher than ``words``.
    """
    directory = Path(directory)
    try:
        with np.load(directory / KEPT, allow_pickle=False) as arrays:
            total, weight, numbers = arrays["total"], arrays["weight"], arrays["numbers"]
            hidden_m = arrays["hidden_m"] if "hidden_m" in arrays else np.zeros((0, 2))  # files before 0.3 have none
            state = json.loads(arrays["state"].tobytes().decode())
        if state["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema version {state['schema_version']}, this edgevl reads {SCHEMA_VERSION}")
        seen_from, (left, bottom) = state["evidence"]["origin_m"], state["grid"]["origin_m"]
        seen = Grid(weight.shape, CELL_M, (float(seen_from[0]), float(seen_from[1])))
        grid = Grid(numbers.shape, float(state["grid"]["resolution_m"]), (float(left), float(bottom)))
        owner_names = {int(number): str(name) for number, name in state["owner_names"].items()}
        listed = [(int(number), int(cells), float(side)) for number, cells, side in state.get("hidden", [])]
        ends = np.cumsum([cells for _, cells, _ in listed])
        parts = np.split(np.asarray(hidden_m, np.float64), ends[:-1])
        hidden = {number: Place(xy_m, side) for (number, _, side), xy_m in zip(listed, parts, strict=False)}
        visits = Counter({(int(x), int(y), int(s)): int(n) for x, y, s, n in state["visits"]})
        next_id, dropped = int(state["next_id"]), Counter({str(k): int(v) for k, v in state["dropped"].items()})
        if (
            total.shape[:2] != weight.shape
            or total.ndim != 3
            or numbers.ndim != 2
            or hidden_m.shape != (sum(cells for _, cells, _ in listed), 2)
            or not all(np.isfinite(array).all() for array in (total, weight, hidden_m))
            or not all(lies_somewhere(side, (left, bottom)) for side in (grid.resolution_m, *(s for *_, s in listed)))
            or np.abs(hidden_m).max(initial=0) > FARTHEST_M
        ):
            raise ValueError("the arrays do not go together, or hold no numbers")
        of_rooms = [*np.unique(numbers[numbers != 0]).tolist(), *(number for number, *_ in listed)]
        if len(set(of_rooms)) < len(of_rooms) or not all(0 < number < next_id for number in of_rooms):
            raise ValueError("a room's number is there twice, or none that was given")
    except Exception as error:  # of damaged bytes zip, zlib, numpy's tokenizer and JSON raise nearly anything
        raise UserError(
            f"room map {directory} cannot be read ({type(error).__name__}: {error}): give the directory that "
            "`edgevl map` or ~/save wrote"
        ) from error
    rooms = RoomMap(words)
    if state["teacher"] != words.teacher or total.shape[2] != rooms.evidence.dim:
        raise UserError(
            f"room map {directory} holds embeddings of another teacher than the bundle's words ({state['teacher']}, "
            f"{total.shape[2]} dimensions; the bundle: {words.teacher}, {rooms.evidence.dim}): begin a new map in "
            "another directory, or give a bundle of that teacher"
        )
    rooms.evidence.grid = seen
    rooms.evidence.total, rooms.evidence.weight = total.astype(np.float32), weight.astype(np.float32)
    rooms.evidence.visits, rooms.dropped = visits, dropped
    rooms.restore(numbers.astype(np.int32), grid, hidden, owner_names, next_id)
    return rooms


def export(rooms: RoomMap, directory: Path | str) -> list[Path]:
    """Write masks, polygons and goals into the new directory ``directory``; the files.

    Raises:
        UserError: there is no map yet, or the directory exists.
    """
    found, (numbers, grid), directory = rooms.rooms(), rooms.numbers(), Path(directory)
    if directory.exists():
        raise UserError(f"{directory} exists already: choose a new name, or remove it first")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(directory) as made:
        (made / "rooms.json").write_text(json.dumps([goal(room) for room in found], indent=1), encoding="utf-8")
        collection = {"type": "FeatureCollection", "features": [_feature(room) for room in found]}
        (made / "rooms.geojson").write_text(json.dumps(collection, indent=1), encoding="utf-8")
        for room in found:
            _write_mask(made / _stem(room), numbers == room.id, grid)
    return sorted(directory.iterdir())


def _stem(room: Room) -> str:
    return f"{room.id:02d}_{re.sub(r'[^a-z0-9]+', '_', room.label.casefold()).strip('_') or 'room'}"


def goal(room: Room) -> dict[str, object]:
    """In nav2's words: a goal pose in the frame ``map``."""
    return {
        "id": room.id,
        "label": room.label,
        "probability": round(room.probability, 4),
        "named_by_owner": room.named_by_owner,
        "area_m2": round(room.area_m2, 2),
        "mask": f"{_stem(room)}.yaml",
        "goal": {"frame_id": "map", "x": round(room.pose_m[0], 3), "y": round(room.pose_m[1], 3), "yaw": 0.0},
    }


def _feature(room: Room) -> dict[str, object]:
    ring = [[round(float(x), 3), round(float(y), 3)] for x, y in room.polygon_m]
    properties = {key: value for key, value in goal(room).items() if key not in ("goal", "mask")}
    return {
        "type": "Feature",
        "id": room.id,
        "properties": properties,
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
    }


def _write_mask(stem: Path, mask: np.ndarray, grid: Grid) -> None:
    """Black where the room is, white elsewhere: occupied cells are what a filter acts on."""
    picture = np.where(mask[::-1], 0, 254).astype(np.uint8)
    if not cv2.imwrite(str(stem.with_suffix(".pgm")), picture):
        raise OSError(f"{stem.with_suffix('.pgm')} cannot be written")
    content = {
        "image": f"{stem.name}.pgm",
        "mode": "trinary",
        "resolution": grid.resolution_m,
        "origin": [*grid.origin_m, 0.0],
        "negate": 0,
        "occupied_thresh": 0.65,
        "free_thresh": 0.25,
    }
    stem.with_suffix(".yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
