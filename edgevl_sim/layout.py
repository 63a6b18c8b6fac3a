"""Where things go: pieces placed in a rectangular room without touching one another, doors kept free."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from edgevl_sim.furniture import common
from edgevl_sim.palette import Style
from edgevl_sim.parts import Floats, Parts, bounds
from edgevl_sim.plans import DISTRACTORS, Piece, Plan
from edgevl_sim.walls import doorway, heater, window

CLEARANCE_M = 0.04
WALL_YAW = (0.0, math.pi / 2, math.pi, -math.pi / 2)


class Place(NamedTuple):
    """Where a piece's origin goes, metres, how far it is turned, radians, and its wall (-1: none)."""

    x: float
    y: float
    yaw: float
    wall: int


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

    def wall_place(self, wall: int, along: float) -> Place:
        """Where a piece stands whose back is at this wall, `along` metres from the wall's start."""
        x, y = ((along, 0.0), (self.w, along), (along, self.l), (0.0, along))[wall]
        return Place(x, y, WALL_YAW[wall], wall)

    def fits(self, box_m: Floats) -> bool:
        """Whether these bounds lie in the room, clear of everything placed and of the doors."""
        low, high = box_m
        if low[0] < -0.01 or low[1] < -0.01 or high[0] > self.w + 0.01 or high[1] > self.l + 0.01:
            return False
        gap = np.array([CLEARANCE_M, CLEARANCE_M, 0.0], np.float32)
        others = [p.bounds for p in self.placed] + self.keep_free
        return not any(bool(np.all(low - gap < o[1]) and np.all(high + gap > o[0])) for o in others)

    def add(self, parts: Parts, places: Iterator[Place], telling: float) -> bool:
        """Put the parts, built about the origin, into the first of these places where they fit."""
        corners = np.concatenate([p.corners.reshape(-1, 3) for p in parts])
        outline = cv2.convexHull(np.ascontiguousarray(corners[:, :2], np.float32))[:, 0]
        low, high = corners[:, 2].min(), corners[:, 2].max()
        for place in places:
            c, s = math.cos(place.yaw), math.sin(place.yaw)
            turned = outline @ np.array([[c, s], [-s, c]], np.float32) + np.array([place.x, place.y], np.float32)
            box_m = np.array([[*turned.min(axis=0), low], [*turned.max(axis=0), high]], np.float32)
            if self.fits(box_m):
                self.placed.append(
                    Placed(common.around(parts, place.x, place.y, place.yaw), box_m, place.wall, telling)
                )
                return True
        return False


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
    if piece.where == "flat":
        return _lay_down(room, parts, s)
    return room.add(parts, _places(room, piece, s, bounds(parts)), piece.telling)


def _lay_down(room: Layout, parts: Parts, s: Style) -> bool:
    """A rug in mid-room, along its length; furniture may stand on it."""
    yaw = 0.0 if room.w > room.l else math.pi / 2
    flat = common.around(parts, room.w / 2 + s.u(-0.2, 0.2), room.l / 2 + s.u(-0.2, 0.2), yaw)
    low, high = bounds(flat)
    if low[0] < 0 or low[1] < 0 or high[0] > room.w or high[1] > room.l:
        return False
    beneath = np.array([[0, 0, -1], [0, 0, -0.5]], np.float32)  # bounds that nothing touches
    room.placed.append(Placed(flat, beneath, -1, 0.0))
    return True


def _places(room: Layout, piece: Piece, s: Style, size: Floats) -> Iterator[Place]:
    """Places to try, in the order in which to try them."""
    first = room.placed[len(room.keep_free)] if len(room.placed) > len(room.keep_free) else None
    last = room.placed[-1] if room.placed else None
    if piece.where == "above" and first is not None:
        x, y = ((first.bounds[0, :2] + first.bounds[1, :2]) / 2).tolist()
        yield Place(x, y, 0.0, -1)
        return
    for attempt in range(60 if piece.p == 1.0 else 25):
        if piece.where == "centre":
            yaw = s.pick([0.0, math.pi / 2]) + s.u(-0.06, 0.06)
            yield Place(room.w / 2 + s.u(-0.25, 0.25), room.l / 2 + s.u(-0.25, 0.25), yaw, -1)
        elif piece.where == "free":
            x, y = s.u(0.4, room.w - 0.4), s.u(0.4, room.l - 0.4)
            inward = math.atan2(room.l / 2 - y, room.w / 2 - x) - math.pi / 2
            yield Place(x, y, inward + s.u(-0.4, 0.4), -1)
        elif piece.where == "before" and first is not None:
            out = np.array([-math.sin(WALL_YAW[first.wall]), math.cos(WALL_YAW[first.wall])])
            reach = float(np.abs(out @ (first.bounds[1] - first.bounds[0])[:2])) / 2 + s.u(0.55, 0.85)
            x, y = (first.bounds.mean(axis=0)[:2] + out * reach).tolist()
            yield Place(x, y, WALL_YAW[first.wall] + s.u(-0.1, 0.1), -1)
        elif piece.where == "beside" and last is not None and last.wall >= 0 and attempt < 4:
            axis = last.wall % 2
            half = float(size[1, 0] - size[0, 0]) / 2 + CLEARANCE_M + 0.01
            along = float(last.bounds[1, axis]) + half if attempt % 2 else float(last.bounds[0, axis]) - half
            yield room.wall_place(last.wall, along)
        elif piece.where == "opposite" and first is not None and attempt < 30:
            wall = (first.wall + 2) % 4
            yield room.wall_place(wall, float(first.bounds[:, wall % 2].mean()) + s.u(-0.5, 0.5))
        else:
            yield _along_a_wall(room, s, size)


def _along_a_wall(room: Layout, s: Style, size: Floats) -> Place:
    """Much furniture stands in corners, so those are tried as often as the rest of a wall."""
    wall = s.n(0, 3)
    low, high = -float(size[0, 0]), room.span(wall) - float(size[1, 0])
    if wall in (2, 3):
        # These walls' own x axis runs against the room's.
        low, high = float(size[1, 0]), room.span(wall) + float(size[0, 0])
    if high <= low:
        return room.wall_place(wall, room.span(wall) / 2)
    return room.wall_place(wall, s.pick([low + 0.01, high - 0.01, s.u(low, high), s.u(low, high)]))


def _put_door(room: Layout, s: Style) -> None:
    walls = [k for k in range(4) if room.span(k) > 1.2]
    tries = ((k, s.u(0.55, room.span(k) - 0.55)) for k in s.rng.choice(walls, 20).tolist())
    if not room.add(doorway(s), (room.wall_place(k, along) for k, along in tries), 0.0):
        return
    door = room.placed[-1]
    out = np.array([-math.sin(WALL_YAW[door.wall]), math.cos(WALL_YAW[door.wall]), 0], np.float32) * 0.75
    free = np.minimum(door.bounds[0], door.bounds[0] + out), np.maximum(door.bounds[1], door.bounds[1] + out)
    room.keep_free.append(np.stack(free))
