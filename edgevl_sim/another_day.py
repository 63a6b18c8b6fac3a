"""What differs when a home is driven through again on another day: some furniture, the light, the date."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from edgevl_sim.floorplan import FloorPlan, floor_plan
from edgevl_sim.furniture import common
from edgevl_sim.layout import WALL_YAW, Layout, Placed, put
from edgevl_sim.palette import Style
from edgevl_sim.parts import Parts, bounds, shift, turn
from edgevl_sim.plans import DISTRACTORS
from edgevl_sim.seeds import drive_rng

APART_NS = 29 * 3600 * 10**9  # from drive to drive: a day, and five hours so that the time of day changes
MOVED_SHARE = 1 / 3
TRIES = 12  # places tried for a piece before it is left where it is
STANDS_M = 0.08  # what starts lower than this stands on the floor: feet and plinths are lower, shelves on a wall higher
SMALL_M2 = 0.5
SMALL_THINGS = tuple(p for p in DISTRACTORS if p.build not in (common.cupboard, common.open_shelf))


class Light(NamedTuple):
    """The ceiling lamp's and the window's strength as a share of what they are on drive 0."""

    lamp: float
    window: float


class Arrangement(NamedTuple):
    """A room's furniture on one drive and the floor it leaves.

    gone: the index in drive 0's layout of a piece that is not here today, None if all are. What is new stands last.
    """

    layout: Layout
    floor_plan: FloorPlan
    gone: int | None = None


def light_of(home_seed: int, room: int, drive: int) -> Light:
    """The time of day is one for the whole home, each room's lamp is set for itself."""
    if drive == 0:
        return Light(1.0, 1.0)
    window = drive_rng((home_seed, 108), drive).uniform(0.2, 1.3)
    return Light(float(drive_rng((home_seed, 109, room), drive).uniform(0.7, 1.15)), float(window))


def rearranged(before: Arrangement, style: Style, rng: np.random.Generator) -> Arrangement:
    """The room with about a third of its loose pieces moved a little; a small thing may have come or gone.

    What makes the room (its first piece), what hangs, rugs, doors and windows stay. Every step is taken only where
    the pieces keep clear of one another and the robot keeps floor to drive on. The style's own rng is not drawn from.
    """
    first = len(before.layout.keep_free)  # the doors come before it
    loose = [i for i, piece in enumerate(before.layout.placed) if i != first and _stands(piece)]
    today, to_move = before, max(1, round(MOVED_SHARE * len(loose)))
    for i in rng.permutation(np.array(loose, int)).tolist():
        moved = _with_moved(today.layout, i, rng) if to_move else None
        if moved is not None:
            today, to_move = moved, to_move - 1
    small = [i for i in loose if _is_small(before.layout.placed[i])]
    dice = rng.random()
    if dice < 0.3 and small:
        return _without(today, small[int(rng.integers(len(small)))])
    return _with_new(today, style, rng) if dice > 0.7 else today


def _stands(piece: Placed) -> bool:
    # Doors, windows, heaters, pictures and rugs are not solid.
    return any(part.solid for part in piece.parts) and float(piece.bounds[0, 2]) < STANDS_M


def _is_small(piece: Placed) -> bool:
    width, depth, _ = (piece.bounds[1] - piece.bounds[0]).tolist()
    return piece.telling <= 0.2 and width * depth < SMALL_M2


def _with_moved(room: Layout, i: int, rng: np.random.Generator) -> Arrangement | None:
    """The room with its piece i in another place near by; None if none was found."""
    piece, before, after = room.placed[i], room.placed[:i], room.placed[i + 1 :]
    others = replace(room, placed=[*before, *after])
    for _ in range(TRIES):
        parts = _slid(piece, rng) if piece.wall >= 0 else _shoved(piece, rng)
        box_m = bounds(parts)
        if not others.fits(box_m):
            continue
        now = replace(room, placed=[*before, piece._replace(parts=parts, bounds=box_m), *after])
        free = floor_plan(now)
        if free is not None:
            return Arrangement(now, free)
    return None


def _slid(piece: Placed, rng: np.random.Generator) -> Parts:
    """The piece moved along its wall by 0.15 to 0.6 m."""
    by, yaw = float(rng.uniform(0.15, 0.6) * rng.choice([-1, 1])), WALL_YAW[piece.wall]
    return shift(piece.parts, by * math.cos(yaw), by * math.sin(yaw))


def _shoved(piece: Placed, rng: np.random.Generator) -> Parts:
    """A free-standing piece moved by 0.1 to 0.5 m in any direction and turned by up to 0.4 rad."""
    x, y = piece.bounds.mean(axis=0)[:2].tolist()
    by, where = rng.uniform(0.1, 0.5), rng.uniform(-math.pi, math.pi)
    turned = turn(piece.parts, float(rng.uniform(-0.4, 0.4)), x, y)
    return shift(turned, float(by * math.cos(where)), float(by * math.sin(where)))


def _without(today: Arrangement, i: int) -> Arrangement:
    room = today.layout
    less = replace(room, placed=[*room.placed[:i], *room.placed[i + 1 :]])
    free = floor_plan(less)
    return Arrangement(less, free, i) if free is not None else today


def _with_new(today: Arrangement, style: Style, rng: np.random.Generator) -> Arrangement:
    """The room with one small thing more, in the room's own colours."""
    style = copy.copy(style)
    style.rng = rng
    more = replace(today.layout, placed=list(today.layout.placed))
    if not put(more, style.pick(SMALL_THINGS), style):
        return today
    free = floor_plan(more)
    return Arrangement(more, free) if free is not None else today
