"""The demo's end: names on the map of a home that the student has never seen, lit and in the dark, beside the truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgevl_core.bundle.student_bundle import Bundle
    from edgevl_core.room_map.from_bags import Drive
    from edgevl_sim.home_map import HomeMap

SCALE, LETTERS = 3, 0.2  # pixels a cell; how large names are
SURE = 0.995  # a name that is this probable stands without a figure


def rooms_on_map(bags: Mapping[str, Path], bundle: Path, true: "HomeMap", picture: Path) -> dict[str, Any]:
    """Make a room map of each drive and draw them side by side into a PNG file; see :func:`judged` and :func:`floors`.

    Returns the figures by drive.
    """
    from edgevl_core.base.atomic import atomic_write
    from edgevl_core.bundle.student_bundle import load_bundle
    from edgevl_core.camera.images import encode_png

    drives, figures = judged(bags, load_bundle(bundle), true)
    atomic_write(picture, encode_png(floors(drives, figures, true)))
    return figures


def judged(
    bags: Mapping[str, Path], bundle: "Bundle", true: "HomeMap"
) -> tuple[dict[str, "Drive"], dict[str, dict[str, Any]]]:
    """Room maps of drives through one home, and what they are worth.

    Args:
        bags: drives by what they are called, such as "lit"; each with its map.
        true: the home on that day.

    Returns:
        The drives, and by drive: ``named`` of ``rooms`` rightly, ``cells``: share of the free floor that is in the
        right room, ``frames_used`` of ``frames``, ``wrong``: true room -> the name it got.
    """
    from edgevl_core.room_map.from_bags import map_of_bags

    drives = {name: map_of_bags([bag], bundle) for name, bag in bags.items()}
    return drives, {name: _figures(drive, true) for name, drive in drives.items()}


class _Drawn(NamedTuple):
    """A room in the picture."""

    id: int
    label: str
    probability: float = 1.0


def _true_numbers(true: "HomeMap") -> NDArray[np.int32]:
    """(rows, columns) of free cells one more than the index of their room's name; 0: no room."""
    from edgevl_sim.home_map import FREE

    return np.where(true.percent == FREE, true.room + 1, 0).astype(np.int32)


def _figures(drive: "Drive", true: "HomeMap") -> dict[str, Any]:
    from edgevl_core.room_map.judge import judge

    numbers, _ = drive.rooms.numbers()
    labels = {room.id: room.label for room in drive.rooms.rooms()}
    found = judge(_true_numbers(true) - 1, true.names, numbers, labels)
    return {
        "named": len(found.named),
        "rooms": len(true.names),
        "cells": round(found.cells, 4),
        "frames_used": len(drive.way),
        "frames": drive.frames,
        "wrong": {name: labels.get(found.matched.get(name, 0), "") for name in true.names if name not in found.named},
    }


def floors(drives: Mapping[str, "Drive"], figures: Mapping[str, Any], true: "HomeMap") -> NDArray[np.uint8]:
    """The true plan and each drive's map side by side, (H, W, 3) uint8 RGB."""
    from edgevl_core.draw.overlay import contact_sheet

    plan = [_Drawn(index, name) for index, name in enumerate(true.names, 1)]
    panes = [_pane(_true_numbers(true), plan, None, true)]
    captions = ["true plan"]
    for name, drive in drives.items():
        way = drive.occupancy.grid.cells(np.array(drive.way)) if drive.way else None
        rooms = [_Drawn(r.id, r.label, r.probability if r.probability < SURE else 1.0) for r in drive.rooms.rooms()]
        panes.append(_pane(drive.rooms.numbers()[0], rooms, way, true))
        told = figures[name]
        captions.append(f"{name} drive: {told['named']} of {told['rooms']} names, {told['cells']:.0%} of the floor")
    return contact_sheet(panes, captions, columns=len(panes))


def _pane(
    numbers: NDArray[np.int32], rooms: Sequence[_Drawn], way: NDArray[np.intp] | None, true: "HomeMap"
) -> NDArray[np.uint8]:
    """One floor without its margins, a word in one colour in all panes; turned, so that three stand side by side."""
    from edgevl_core.draw.floor import draw_floor
    from edgevl_sim.home_map import MARGIN_CELLS, OCCUPIED

    margin = MARGIN_CELLS - 3
    inside = (slice(margin, -margin), slice(margin, -margin))
    walls = (true.percent == OCCUPIED)[inside]
    if way is not None:
        row, column = (way - margin).T
        way = np.stack([walls.shape[1] - 1 - column, row], axis=1)
    colours = {name: index for index, name in enumerate(true.names)}
    return draw_floor(np.rot90(numbers[inside]), np.rot90(walls), rooms, way, SCALE, letters=LETTERS, colours=colours)
