"""Shapes: boxes and prisms as flat quads in metres, each with a material and a texture frame.

A furniture function works in its own frame: x to the sides (0 in the middle), y out of the wall behind it
(0 at the wall), z up from the floor. Faces are wound so that (v3 - v0) x (v1 - v0) points outwards.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RGB = tuple[int, int, int]
Floats = npt.NDArray[np.float32]


class Material(NamedTuple):
    """What a face looks like; hashable, so that equal ones share a place in the atlas.

    span_m: metres one texture covers; 0 stretches it once over the face.
    shine: 0 to 1, how often a depth camera gets nothing back. glow: light given off, 0 for most things.
    """

    pattern: str = "plain"
    colour: RGB = (200, 200, 200)
    accent: RGB = (90, 90, 90)
    span_m: float = 0.0
    variant: int = 0
    shine: float = 0.0
    glow: float = 0.0


class Part(NamedTuple):
    """n quads. corners (n, 4, 3) float32 metres; frames (n, 3, 3): the texture's origin, u axis, v axis, in metres."""

    corners: Floats
    frames: Floats
    materials: tuple[Material, ...]
    furniture: bool = True
    solid: bool = True  # False: a robot drives over it or it hangs flat on a wall


Parts = list[Part]

# Per face of a box: where the texture's origin lies (0 = low end, 1 = high end of x, y, z), its u and v axes.
_BOX_ORIGIN = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 1]], np.float32)
_BOX_U = np.array([[0, -1, 0], [0, 1, 0], [1, 0, 0], [-1, 0, 0], [1, 0, 0], [1, 0, 0]], np.float32)
_BOX_V = np.array([[0, 0, -1], [0, 0, -1], [0, 0, -1], [0, 0, -1], [0, 1, 0], [0, -1, 0]], np.float32)


def box(
    x: float,
    y: float,
    z: float,
    w: float,
    d: float,
    h: float,
    m: Material,
    *,
    front: Material | None = None,
    top: Material | None = None,
    yaw: float = 0.0,
    tilt: float = 0.0,
    roll: float = 0.0,
    furniture: bool = True,
    solid: bool = True,
) -> Part:
    """A box over [x-w/2, x+w/2] x [y, y+d] x [z, z+h] metres, turned about its own middle.

    front is the +y face's material. yaw turns about z, tilt about x (positive leans back), roll about y; radians.
    """
    size = np.array([w, d, h], np.float32)
    low = np.array([x - w / 2, y, z], np.float32)
    frames = np.stack([low + _BOX_ORIGIN * size, _BOX_U * size, _BOX_V * size], axis=1)
    materials = (m, m, m, front or m, m, top or m)
    part = Part(_parallelograms(frames), frames, materials, furniture, solid)
    if yaw or tilt or roll:
        middle = low + size * np.float32(0.5)
        part = _rotate(part, _rotation(yaw, tilt, roll), middle)
    return part


def prism(
    x: float,
    y: float,
    z: float,
    r: float,
    h: float,
    m: Material,
    *,
    n: int = 8,
    r_top: float | None = None,
    axis: str = "z",
    cap: Material | None = None,
    squash: float = 1.0,
    furniture: bool = True,
) -> Part:
    """An n-gon prism or frustum (n even): base centre (x, y, z), radius r, length h along `axis` ("x", "y" or "z").

    squash scales the second radius (an oval toilet bowl). Its caps carry `cap`.
    """
    top = r if r_top is None else r_top
    angle = (np.arange(n, dtype=np.float32) + 0.5) * np.float32(2 * np.pi / n)
    ring = np.stack([np.cos(angle), squash * np.sin(angle), np.zeros(n, np.float32)], axis=1).astype(np.float32)
    up = np.array([0, 0, h], np.float32)
    low, high = ring * np.float32(r), ring * np.float32(top) + up
    after_low, after_high = np.roll(low, -1, axis=0), np.roll(high, -1, axis=0)
    sides = np.stack([high, after_high, after_low, low], axis=1)
    fan = [(0, i, i + 1, i + 2) for i in range(1, n - 1, 2)]
    lid = np.stack([high[list(f)][::-1] for f in fan])
    base = np.stack([low[list(f)] for f in fan])
    corners = np.concatenate([sides, lid, base]).astype(np.float32)
    frames = np.empty((len(corners), 3, 3), np.float32)
    # A side's texture is as wide as its wider end.
    across = after_high - high if top >= r else after_low - low
    upper, lower = (high + after_high) / 2, (low + after_low) / 2
    frames[:n] = np.stack([upper - across / 2, across, lower - upper], axis=1)
    square = np.array([[-1, squash, 0], [2, 0, 0], [0, -2 * squash, 0]], np.float32)
    frames[n:] = square * np.float32(max(top, 1e-3))
    frames[n : n + len(fan), 0] += up
    frames[n + len(fan) :] = square * np.float32(max(r, 1e-3))
    materials = (m,) * n + (cap or m,) * (2 * len(fan))
    part = Part(corners, frames, materials, furniture)
    if axis != "z":
        turn = {"y": [[1, 0, 0], [0, 0, 1], [0, -1, 0]], "x": [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]}[axis]
        part = _rotate(part, np.array(turn, np.float32), np.zeros(3, np.float32))
    return shift([part], x, y, z)[0]


def bar(a: tuple[float, float, float], b: tuple[float, float, float], t: float, m: Material) -> Part:
    """A square bar of thickness t metres from a to b (a leg that leans, a rail)."""
    start, end = np.array(a, np.float32), np.array(b, np.float32)
    along = end - start
    length = float(np.linalg.norm(along))
    axis = along / length
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    basis = np.stack([side, np.cross(axis, side), axis], axis=1).astype(np.float32)
    return shift([_rotate(box(0, -t / 2, 0, t, t, length, m), basis, np.zeros(3, np.float32))], *a)[0]


def legs(w: float, d: float, h: float, t: float, m: Material, *, x: float = 0.0, y: float = 0.0) -> Parts:
    """Four legs of thickness t under a top of w x d metres whose back edge lies at y."""
    return [box(x + sx * (w - t) / 2, y + sy * (d - t), 0, t, t, h, m) for sx in (-1, 1) for sy in (0, 1)]


def shift(parts: Parts, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Parts:
    """The parts moved by (x, y, z) metres."""
    by = np.array([x, y, z], np.float32)
    moved = []
    for p in parts:
        frames = p.frames.copy()
        frames[:, 0] += by
        moved.append(p._replace(corners=p.corners + by, frames=frames))
    return moved


def turn(parts: Parts, yaw: float, x: float = 0.0, y: float = 0.0) -> Parts:
    """The parts turned about the z axis through (x, y), anticlockwise, radians."""
    rotation, pivot = _rotation(yaw, 0.0, 0.0), np.array([x, y, 0], np.float32)
    return [_rotate(p, rotation, pivot) for p in parts]


def bounds(parts: Parts) -> Floats:
    """(2, 3) float32: the least and greatest x, y, z, metres."""
    corners = np.concatenate([p.corners.reshape(-1, 3) for p in parts])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _parallelograms(frames: Floats) -> Floats:
    origin, u, v = frames[:, 0], frames[:, 1], frames[:, 2]
    return np.stack([origin, origin + u, origin + u + v, origin + v], axis=1)


def _rotation(yaw: float, tilt: float, roll: float) -> Floats:
    cy, sy, ct, st, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(tilt), np.sin(tilt), np.cos(roll), np.sin(roll)
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, ct, -st], [0, st, ct]])
    about_y = np.array([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]])
    return (about_z @ about_x @ about_y).astype(np.float32)


def _rotate(part: Part, rotation: Floats, pivot: Floats) -> Part:
    frames = part.frames.copy()
    frames[:, 0] -= pivot
    frames = frames @ rotation.T
    frames[:, 0] += pivot
    corners: Floats = part.corners - pivot
    corners = corners @ rotation.T
    corners += pivot
    return part._replace(corners=corners, frames=frames)
