"""Where things go: pieces placed in a rectangular room without touching one another, doors kept free."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from edgevl_sim.furniture import common
from edgevl_sim.palette import Style
from edgevl_sim.parts import Floats, Parts, bounds, shift, turn
from edgevl_sim.plans import DISTRACTORS, Piece, Plan
from edgevl_sim.shell import doorway, heater, window

CLEARANCE_M = 0.04
WALL_YAW = (0.0, math.pi / 2, math.pi, -math.pi / 2)


class Placed(NamedTuple):
    """A piece in room coordinates: its parts, its bounds (2, 3) metres, its wall (-1: none), how telling it is."""

    parts: Parts
    bounds: Floats
    wall: int
    telling: float


@dataclass
class Layout:
    """A room being furnished: [0, w] x [0, l] metres, wall 0 at y = 0, then anticlockwise x = w, y = l, x = 0."""

    w: float
    l: float  # noqa: E741
    h: float
    placed: list[Placed] = field(default_factory=list)
    keep_free: list[Floats] = field(default_factory=list)  # rectangles (2, 3) before doors

    def span(self, wall: int) -> float:
        """The wall's length, metres."""
        return self.w if wall % 2 == 0 else self.l

    def at_wall(self, parts: Parts, wall: int, along: float) -> Parts:
        """Parts built against y = 0, moved to `along` metres from the wall's start."""
        x, y = ((along, 0.0), (self.w, along), (along, self.l), (0.0, along))[wall]
        return shift(turn(parts, WALL_YAW[wall]), x, y)

    def fits(self, box_m: Floats) -> bool:
        """Whether these bounds lie in the room, clear of everything placed and of the doors."""
        low, high = box_m
        if low[0] < -0.01 or low[1] < -0.01 or high[0] > self.w + 0.01 or high[1] > self.l + 0.01:
            return False
        gap = np.array([CLEARANCE_M, CLEARANCE_M, 0.0], np.float32)
        others = [p.bounds for p in self.placed] + self.keep_free
        return not any(bool(np.all(low - gap < o[1]) and np.all(high + gap > o[0])) for o in others)

    def add(self, parts: Parts, wall: int, telling: float) -> bool:
        """Put the parts in if they fit."""
        box_m = bounds(parts)
        if not self.fits(box_m):
            return False
        self.placed.append(Placed(parts, box_m, wall, telling))
        return True


def furnish(plan: Plan, s: Style) -> Layout | None:
    """One try at a room: None if a piece it cannot do without found no place."""
    w, length = s.u(*plan.width_m), s.u(*plan.length_m)
    if s.chance(0.5):
        w, length = length, w
    room = Layout(w, length, s.u(2.4, 2.7))
    for _ in range(s.n(*plan.doors)):
        _put_door(room, s)
    for piece in plan.pieces:
        if s.chance(piece.p) and not put(room, piece, s) and piece.p == 1.0:
            return None
    for _ in range(s.n(0, 2)):
        put(room, s.pick(DISTRACTORS), s)
    for _ in range(s.n(*plan.windows)):
        put(room, Piece(window, "hang", telling=0.2), s)
    if s.chance(0.5):
        put(room, Piece(heater, "hang", telling=0.2), s)
    for _ in range(s.n(0, 2)):
        put(room, Piece(common.painting, "hang", telling=0.2), s)
    return room


def put(room: Layout, piece: Piece, s: Style) -> bool:
    """Build a piece and find it a place of the kind it asks for; False if there is none."""
    parts = piece.build(s)
    size = bounds(parts)
    first = room.placed[len(room.keep_free)] if len(room.placed) > len(room.keep_free) else None
    if piece.where == "flat":
        cx, cy, yaw = room.w / 2 + s.u(-0.2, 0.2), room.l / 2 + s.u(-0.2, 0.2), 0.0 if room.w > room.l else math.pi / 2
        flat = common.around(parts, cx, cy, yaw)
        low, high = bounds(flat)
        if low[0] < 0 or low[1] < 0 or high[0] > room.w or high[1] > room.l:
            return False
        room.placed.append(Placed(flat, np.array([[0, 0, -1], [0, 0, -0.5]], np.float32), -1, 0.0))
        return True
    if piece.where == "above" and first is not None:
        cx, cy = (first.bounds[0, :2] + first.bounds[1, :2]) / 2
        return room.add(shift(parts, cx, cy), -1, piece.telling)
    tries = 60 if piece.p == 1.0 else 25
    for attempt in range(tries):
        if piece.where == "centre":
            yaw = s.pick([0.0, math.pi / 2]) + s.u(-0.06, 0.06)
            moved, wall = common.around(parts, room.w / 2 + s.u(-0.25, 0.25), room.l / 2 + s.u(-0.25, 0.25), yaw), -1
        elif piece.where == "before" and first is not None:
            mid = (first.bounds[0] + first.bounds[1]) / 2
            out = np.array([-math.sin(WALL_YAW[first.wall]), math.cos(WALL_YAW[first.wall])])
            reach = float(np.abs(out @ (first.bounds[1] - first.bounds[0])[:2])) / 2 + s.u(0.55, 0.85)
            x, y = mid[:2] + out * reach
            moved, wall = common.around(parts, float(x), float(y), WALL_YAW[first.wall] + s.u(-0.1, 0.1)), -1
        elif piece.where == "free":
            r = 0.4
            x, y = s.u(r, room.w - r), s.u(r, room.l - r)
            inward = math.atan2(room.l / 2 - y, room.w / 2 - x) - math.pi / 2
            moved, wall = common.around(parts, x, y, inward + s.u(-0.4, 0.4)), -1
        else:
            wall, along = _wall_place(room, piece, s, size, attempt)
            moved = room.at_wall(parts, wall, along)
        if room.add(moved, wall, piece.telling):
            return True
    return False


def _wall_place(room: Layout, piece: Piece, s: Style, size: Floats, attempt: int) -> tuple[int, float]:
    """A wall and a place along it; most furniture stands in corners or mid-wall, so those are tried often."""
    last = room.placed[-1] if room.placed else None
    if piece.where == "beside" and last is not None and last.wall >= 0 and attempt < 4:
        axis = 0 if last.wall % 2 == 0 else 1
        half = (size[1, 0] - size[0, 0]) / 2 + CLEARANCE_M + 0.01
        return last.wall, float(last.bounds[1, axis] + half if attempt % 2 else last.bounds[0, axis] - half)
    wall = s.n(0, 3)
    if piece.where == "opposite" and attempt < 30:
        first = room.placed[len(room.keep_free)]
        wall = (first.wall + 2) % 4
        axis = 0 if wall % 2 == 0 else 1
        middle = float(first.bounds[:, axis].mean())
        return wall, middle + s.u(-0.5, 0.5)
    low, high = -float(size[0, 0]), room.span(wall) - float(size[1, 0])
    if wall in (2, 3):
        # These walls' own x axis runs against the room's.
        low, high = float(size[1, 0]), room.span(wall) + float(size[0, 0])
    if high <= low:
        return wall, room.span(wall) / 2
    return wall, s.pick([low + 0.01, high - 0.01, s.u(low, high), s.u(low, high)])


def _put_door(room: Layout, s: Style) -> None:
    parts = doorway(s)
    for _ in range(20):
        wall = s.n(0, 3)
        if room.span(wall) < 1.2:
            continue
        placed = room.at_wall(parts, wall, s.u(0.55, room.span(wall) - 0.55))
        box_m = bounds(placed)
        if room.fits(box_m):
            room.placed.append(Placed(placed, box_m, wall, 0.0))
            out = np.array([-math.sin(WALL_YAW[wall]), math.cos(WALL_YAW[wall]), 0]) * 0.75
            free = np.stack([np.minimum(box_m[0], box_m[0] + out), np.maximum(box_m[1], box_m[1] + out)])
            room.keep_free.append(free.astype(np.float32))
            return
