"""The room itself: floor, walls and ceiling with baked contact shadows, doors, windows, radiators."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edgevl_sim.palette import FURNITURE, Style
from edgevl_sim.parts import RGB, Material, Parts, box, shift
from edgevl_sim.textures import Pixels, darker

FLOOR_PX_PER_M = 64
WALL_PX_PER_M = 40


def doorway(s: Style) -> Parts:
    """A closed door in its frame, standing a little out of the wall; no furniture."""
    frame = Material(colour=s.shade(FURNITURE[:4]))
    face = Material("door", s.shade(FURNITURE[:9]), s.metal_colour, variant=s.variant() % 16)
    w, h = 0.82, 2.02
    parts = [
        box(0, 0, 0, w, 0.02, h, frame, front=face),
        *(box(sx * (w + 0.07) / 2, 0, 0, 0.08, 0.05, h + 0.07, frame) for sx in (-1, 1)),
        box(0, 0, h, w, 0.05, 0.07, frame),
        box(w * 0.38, 0.02, 1.0, 0.12, 0.05, 0.025, s.metal()),
    ]
    return _inert(parts)


def window(s: Style) -> Parts:
    """A window of bright sky, a sill, often curtains; no furniture."""
    w, h, z = s.u(0.8, 1.5), s.u(0.9, 1.2), s.u(0.85, 1.0)
    pane = Material("window", accent=s.shade(FURNITURE[:2]), variant=s.variant() % 16, glow=0.85, shine=0.6)
    parts = [
        box(0, 0, z, w, 0.02, h, pane),
        box(0, 0, z - 0.04, w + 0.12, 0.12, 0.04, Material(colour=(232, 230, 224))),
    ]
    if s.chance(0.6):
        drape = s.cloth()._replace(pattern="folds", span_m=0.0)
        low = s.pick([0.06, z - 0.1])
        parts += [box(sx * (w / 2 + 0.08), 0.03, low, 0.3, 0.06, z + h + 0.1 - low, drape) for sx in (-1, 1)]
        parts.append(box(0, 0.04, z + h + 0.1, w + 0.6, 0.03, 0.03, s.metal()))
    return _inert(parts)


def heater(s: Style) -> Parts:
    """A radiator; no furniture."""
    m = s.front("radiator", Material(colour=s.shade(FURNITURE[:2])))
    return _inert([box(0, 0.02, 0.14, s.u(0.6, 1.1), 0.08, 0.55, m)])


def floor_texture(s: Style, w_m: float, l_m: float, tiled: bool, shadow: npt.NDArray[np.float32]) -> Pixels:
    """The whole floor, (l, w, 3) uint8 at 64 px/m: planks, tiles or carpet, darkened by `shadow` (h, w) 0..1."""
    h, w = round(l_m * FLOOR_PX_PER_M), round(w_m * FLOOR_PX_PER_M)
    rows, columns = np.arange(h)[:, None] / FLOOR_PX_PER_M, np.arange(w)[None] / FLOOR_PX_PER_M
    if tiled:
        side = s.pick([0.2, 0.3, 0.45])
        tone = _cells(s, rows / side, columns / side, 0.05)
        if s.chance(0.3):
            tone *= 1 - 0.25 * ((np.floor(rows / side) + np.floor(columns / side)) % 2)
        joint = (np.mod(rows, side) < 0.016) | (np.mod(columns, side) < 0.016)
        tone = np.where(joint, 0.78, tone)
    elif s.chance(0.75):
        if s.chance(0.5):
            rows, columns = columns, rows
        width, long = s.u(0.1, 0.2), s.u(0.9, 1.6)
        row = np.floor(rows / width).astype(int)
        start = s.rng.uniform(0, long, 200)[row]
        tone = _cells(s, rows / width, (columns + start) / long, 0.11)
        grain = np.sin(rows * 190 + 3 * np.sin((columns + start) * 3.1)) * 0.03
        gap = (np.mod(rows, width) < 0.016) | (np.mod(columns + start, long) < 0.016)
        tone = np.where(gap, 0.68, tone + grain)
    else:
        tone = 1 + s.rng.uniform(-0.07, 0.07, (h, w))
    tone = np.broadcast_to(tone, (h, w)) * cv2.resize(shadow, (w, h), interpolation=cv2.INTER_LINEAR)
    return np.clip(np.array(s.floor) * tone[..., None], 0, 255).astype(np.uint8)


def _cells(
    s: Style, i: npt.NDArray[np.floating], j: npt.NDArray[np.floating], spread: float
) -> npt.NDArray[np.floating]:
    tones = s.rng.uniform(1 - spread, 1 + spread, (97, 89))
    return tones[np.floor(i).astype(int) % 97, np.floor(j).astype(int) % 89]


class WallFinish:
    """One way all four walls of a room are finished: paint, stripes or a dado; tiles up to a height if tiled."""

    def __init__(self, s: Style, tiled: bool) -> None:
        self.kind = "tiles" if tiled else s.pick(["paint", "paint", "stripes", "dado"])
        self.side_m = s.pick([0.15, 0.2, 0.3])
        self.height_m = s.pick([1.3, 2.0, 3.0]) if tiled else s.u(0.8, 1.1)
        self.colour: RGB = s.wall
        self.other: RGB = s.shade(((240, 238, 232), (214, 212, 204), (176, 196, 200), (206, 190, 168)))
        self.skirting: RGB = s.shade(FURNITURE[:4])

    def texture(self, w_m: float, h_m: float, shadow: npt.NDArray[np.float32]) -> Pixels:
        """One wall seen from inside, (h, w, 3) uint8 at 40 px/m, v down, darkened by `shadow` (h, w) 0..1."""
        h, w = shadow.shape
        up, along = (h - 0.5 - np.arange(h)[:, None]) * h_m / h, (np.arange(w)[None] + 0.5) * w_m / w
        pixels = np.empty((h, w, 3), np.float32)
        pixels[:] = self.colour
        below = np.broadcast_to(up < self.height_m, (h, w))
        if self.kind == "tiles":
            joint = (np.mod(up, self.side_m) < 0.024) | (np.mod(along, self.side_m) < 0.024)
            pixels[below] = self.other
            pixels[below & joint] = darker(self.other, 0.32)
        elif self.kind == "stripes":
            pixels[:, (np.mod(along[0], 2 * self.side_m) < self.side_m)] *= 0.93
        elif self.kind == "dado":
            pixels[below] = self.other
            pixels[np.broadcast_to(np.abs(up - self.height_m) < 0.025, (h, w))] = self.skirting
        if self.kind != "tiles":
            pixels[np.broadcast_to(up < 0.08, (h, w))] = self.skirting
        return np.clip(pixels * shadow[..., None], 0, 255).astype(np.uint8)


def contact_shadow(
    h: int, w: int, px_per_m: float, polygons: list[npt.NDArray[np.float32]], edge: float
) -> npt.NDArray[np.float32]:
    """How much light reaches a surface, (h, w) float32 0..1: soft shadows of what touches it, dim rims.

    polygons: outlines of what stands on or leans at it, metres from the texture's origin. edge: how dim the rim is.
    """
    solid = np.zeros((h, w), np.float32)
    for polygon in polygons:
        cv2.fillConvexPoly(solid, np.round(polygon * px_per_m).astype(np.int32), 1.0)
    near = cv2.blur(cv2.blur(solid, (11, 11)), (11, 11))
    rim = np.minimum.outer(_rim(h, px_per_m), _rim(w, px_per_m))
    return ((1 - 0.62 * near) * (1 - edge * (1 - rim))).astype(np.float32)


def _rim(n: int, px_per_m: float) -> npt.NDArray[np.float32]:
    distance = np.minimum(np.arange(n), np.arange(n)[::-1]) / px_per_m
    return (1 - np.exp(-distance / 0.22)).astype(np.float32)


def _inert(parts: Parts) -> Parts:
    return [p._replace(furniture=False, solid=False) for p in shift(parts)]
