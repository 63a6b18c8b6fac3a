"""Homes: eight furnished rooms each, in an order of their own, made from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from edgevl_sim.another_day import Arrangement, Light, light_of, rearranged
from edgevl_sim.floorplan import FloorPlan, floor_plan
from edgevl_sim.layout import Layout, furnish
from edgevl_sim.mesh import Mesh, build_mesh
from edgevl_sim.palette import Style
from edgevl_sim.parts import Floats, Material, Part, box
from edgevl_sim.plans import PLANS, ROOMS, Plan
from edgevl_sim.seeds import drive_rng
from edgevl_sim.texture_atlas import Atlas
from edgevl_sim.textures import Pixels
from edgevl_sim.walls import FLOOR_PX_PER_M, WALL_PX_PER_M, WallFinish, contact_shadow, floor_texture

TRIES = 200


@dataclass(frozen=True)
class Room:
    """One room, ready to be driven through and rendered.

    lamps (2, 4) float32: x, y, z in metres and strength; the second is the window (strength 0 without one).
    """

    name: str
    size_m: tuple[float, float, float]
    mesh: Mesh
    atlas: Atlas
    lamps: Floats
    floor_plan: FloorPlan


class Camera(NamedTuple):
    """How a home's robot sees: height above the floor, pitch (up is positive), horizontal field of view."""

    height_m: float
    pitch_rad: float
    fov_rad: float


def room_order(home_seed: int, drive: int = 0) -> list[str]:
    """The eight rooms in the order in which this home's robot visits them on this drive."""
    rng = drive_rng((home_seed, 101), drive)
    return [ROOMS[i] for i in rng.permutation(len(ROOMS))]


def camera_of(home_seed: int) -> Camera:
    """This home's robot: 0.15 to 0.4 m high, pitched up 4 to 13 degrees, 70 to 90 degrees wide."""
    rng = np.random.default_rng((home_seed, 102))
    return Camera(
        float(rng.uniform(0.15, 0.4)), float(np.radians(rng.uniform(4, 13))), float(np.radians(rng.uniform(70, 90)))
    )


def build_room(home_seed: int, name: str, drive: int = 0) -> Room:
    """The home's room of this name on this drive; the same arguments give the same room to the bit."""
    number = ROOMS.index(name)
    s, first = furnished(home_seed, name)
    today = rearranged(first, s, drive_rng((home_seed, 110, number), drive)) if drive else first
    return _finish(name, s, first, today, light_of(home_seed, number, drive))


def floor_of(home_seed: int, name: str, drive: int = 0) -> FloorPlan:
    """The floor of the room that ``build_room`` makes, without what only a picture needs."""
    s, first = furnished(home_seed, name)
    if not drive:
        return first.floor_plan
    return rearranged(first, s, drive_rng((home_seed, 110, ROOMS.index(name)), drive)).floor_plan


def furnished(home_seed: int, name: str) -> tuple[Style, Arrangement]:
    """The room's colours, and its furniture as it stands on drive 0."""
    rng = np.random.default_rng((home_seed, 103, ROOMS.index(name)))
    for _ in range(TRIES):
        s = Style(rng)
        layout = furnish(PLANS[name], s)
        if layout is None:
            continue
        free = floor_plan(layout)
        if free is not None:
            return s, Arrangement(layout, free)
    raise RuntimeError(f"no layout of {name} found for home {home_seed} in {TRIES} tries")


def _finish(name: str, s: Style, first: Arrangement, today: Arrangement, light: Light) -> Room:
    """What is drawn from the style's rng depends on the first drive's furniture alone, so that it stays as it was."""
    layout = today.layout
    parts = [_lit(part, light.window) for placed in layout.placed for part in placed.parts]
    shell, baked = _shell(PLANS[name], s, layout)
    mesh, atlas = build_mesh(parts, shell, baked, _texture_starts(s, shell, first, today))
    lamp = [layout.w / 2 + s.u(-0.5, 0.5), layout.l / 2 + s.u(-0.5, 0.5), layout.h - 0.3, light.lamp * s.u(0.8, 1.2)]
    panes = [p for p in parts if p.materials[0].pattern == "window"]
    sun = [0.0, 0.0, 1.0, 0.0]
    if panes:
        middle = panes[0].corners.reshape(-1, 3).mean(axis=0)
        centre = np.array([layout.w / 2, layout.l / 2, 1.4])
        sun = [*(middle + 0.25 * (centre - middle)).tolist(), light.window * s.u(0.3, 0.9)]
    lamps = np.array([lamp, sun], np.float32)
    return Room(name, (layout.w, layout.l, layout.h), mesh, atlas, lamps, today.floor_plan)


def _lit(part: Part, window: float) -> Part:
    """The part as bright as the sky behind it, if it is a window's pane."""
    if part.materials[0].pattern != "window":
        return part
    return part._replace(materials=tuple(m._replace(glow=min(m.glow * window, 1.0)) for m in part.materials))


def _texture_starts(s: Style, shell: list[Part], first: Arrangement, today: Arrangement) -> Floats:
    """build_mesh's starts: a draw for each face of the first drive's room; what is new today starts at 0."""
    faces = [sum(len(part.corners) for part in placed.parts) for placed in first.layout.placed]
    ends = np.cumsum([sum(len(part.corners) for part in shell), *faces])
    starts = s.rng.random((2, int(ends[-1])), dtype=np.float32)
    if today.gone is not None:
        starts = np.delete(starts, slice(ends[today.gone], ends[today.gone + 1]), axis=1)
    standing = len(first.layout.placed) - (today.gone is not None)
    new = sum(len(part.corners) for placed in today.layout.placed[standing:] for part in placed.parts)
    return np.pad(starts, ((0, 0), (0, new)))


def _shell(plan: Plan, s: Style, layout: Layout) -> tuple[list[Part], list[Pixels | None]]:
    """Floor, ceiling and walls as inward faces, and the baked texture of each (None for the ceiling)."""
    w, length, h = layout.w, layout.l, layout.h
    solids = [part for placed in layout.placed for part in placed.parts if part.solid]
    low = [part for part in solids if part.corners[..., 2].min() < 0.35]
    feet = [np.ascontiguousarray(part.corners.reshape(-1, 3)[:, :2], np.float32) for part in low]
    outlines = [np.asarray(cv2.convexHull(points)[:, 0], np.float32) for points in feet]
    fh, fw = (round(n * FLOOR_PX_PER_M / 32) * 16 for n in (length, w))
    shadow = contact_shadow(fh, fw, FLOOR_PX_PER_M / 2, outlines, 0.3)
    floor = floor_texture(s, w, length, s.chance(plan.floor_tiled), shadow)
    floor = np.asarray(cv2.resize(floor, (2 * fw, 2 * fh)), np.uint8)
    finish = WallFinish(s, s.chance(plan.wall_tiled))
    white = Material(colour=s.shade(((244, 242, 236), (232, 232, 228))))
    room = box(w / 2, 0, 0, w, length, h, white, furniture=False)
    # An inward face keeps its plane but runs the other way: corners and texture axes as seen from inside.
    frames = {
        "floor": ((0, 0, 0), (w, 0, 0), (0, length, 0)),
        "ceiling": ((0, length, h), (w, 0, 0), (0, -length, 0)),
        "w0": ((w, 0, h), (-w, 0, 0), (0, 0, -h)),
        "w1": ((w, length, h), (0, -length, 0), (0, 0, -h)),
        "w2": ((0, length, h), (w, 0, 0), (0, 0, -h)),
        "w3": ((0, 0, h), (0, length, 0), (0, 0, -h)),
    }
    walls = [finish.texture(layout.span(k), h, _wall_shadow(layout, k, solids)) for k in range(4)]
    f = np.array(list(frames.values()), np.float32)
    corners = np.stack([f[:, 0], f[:, 0] + f[:, 1], f[:, 0] + f[:, 1] + f[:, 2], f[:, 0] + f[:, 2]], axis=1)
    # The textures of floor and ceiling run along x and y whichever way the face looks: their corners are reversed.
    corners[:2] = corners[:2, ::-1]
    return [room._replace(corners=corners, frames=f)], [floor, None, *walls]


def _wall_shadow(layout: Layout, wall: int, solids: list[Part]) -> Floats:
    """What stands within 15 cm of a wall dims it."""
    w, h = round(layout.span(wall) * WALL_PX_PER_M / 16) * 16, round(layout.h * WALL_PX_PER_M / 16) * 16
    polygons = []
    for part in solids:
        points = part.corners.reshape(-1, 3)
        gap = (points[:, 1], layout.w - points[:, 0], layout.l - points[:, 1], points[:, 0])[wall]
        if gap.min() > 0.15:
            continue
        along = (layout.w - points[:, 0], layout.l - points[:, 1], points[:, 0], points[:, 1])[wall]
        a, b, low, high = along.min(), along.max(), layout.h - points[:, 2].max(), layout.h - points[:, 2].min()
        polygons.append(np.array([[a, low], [b, low], [b, high], [a, high]], np.float32))
    return contact_shadow(h, w, WALL_PX_PER_M, polygons, 0.35)
