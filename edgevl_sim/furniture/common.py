"""What may stand in any room, and so names none."""

from __future__ import annotations

import math

from edgevl_sim.palette import Style
from edgevl_sim.parts import Material, Parts, bar, box, legs, prism, shift, turn


def plant(s: Style) -> Parts:
    """A pot with leaves: a bush, a fan of blades, or a slim tree."""
    pot = s.paint()
    green = s.pick([(70, 120, 60), (54, 98, 62), (110, 138, 70), (86, 112, 92)])
    leaf = Material("leaves", green, variant=s.variant() % 8)
    r, h = s.u(0.12, 0.2), s.u(0.2, 0.38)
    parts = [prism(0, 0, 0, r * 0.75, h, pot, n=8, r_top=r)]
    kind = s.n(0, 2)
    if kind == 0:
        parts.append(prism(0, 0, h, r * 0.9, 0.25, leaf, n=8, r_top=r * 1.9))
        parts.append(prism(0, 0, h + 0.25, r * 1.9, s.u(0.25, 0.5), leaf, n=8, r_top=r * 0.5))
    elif kind == 1:
        for i in range(7):
            a, out, up = i * 0.9, s.u(0.15, 0.35), s.u(0.35, 0.7)
            parts.append(bar((0, 0, h - 0.02), (out * math.cos(a), out * math.sin(a), h + up), 0.05, leaf))
    else:
        parts.append(prism(0, 0, h, 0.025, s.u(0.5, 0.8), Material(colour=(104, 78, 56)), n=6))
        parts.append(prism(0, 0, h + 0.5, 0.12, 0.3, leaf, n=8, r_top=0.34))
        parts.append(prism(0, 0, h + 0.8, 0.34, 0.4, leaf, n=8, r_top=0.1))
    return parts


def chair(s: Style, seat: Material | None = None, frame: Material | None = None) -> Parts:
    """A four-legged chair about its middle, its back at -y: slatted, solid or ladder."""
    frame, seat = frame or s.body(), seat or s.pick([s.body(), s.linen()])
    w, d, h, t = s.u(0.4, 0.48), s.u(0.4, 0.47), s.u(0.43, 0.48), s.u(0.03, 0.045)
    top = s.u(0.82, 1.0)
    parts = legs(w, d, h, t, frame, y=-d / 2)
    parts.append(box(0, -d / 2, h, w, d, 0.05, seat))
    parts += [box(sx * (w - t) / 2, -d / 2, h, t, t, top - h, frame) for sx in (-1, 1)]
    kind = s.n(0, 2)
    if kind == 0:
        parts.append(box(0, -d / 2, top - 0.28, w, 0.03, 0.28, seat))
    elif kind == 1:
        parts += [box(0, -d / 2, z, w, 0.025, 0.06, frame) for z in (h + 0.16, (h + top) / 2 + 0.04, top - 0.06)]
    else:
        parts.append(box(0, -d / 2, top - 0.07, w, 0.03, 0.07, frame))
        parts += [box(x * w / 4, -d / 2, h, 0.03, 0.025, top - h - 0.05, frame) for x in (-1, 0, 1)]
    return parts


def cartons(s: Style) -> Parts:
    """One to three cardboard boxes."""
    colour = s.shade(((186, 148, 106), (206, 176, 136), (222, 216, 206)))
    face = Material("carton", colour, variant=s.variant() % 4)
    w, h = s.u(0.35, 0.5), s.u(0.25, 0.4)
    parts = [box(0, 0, 0, w, 0.35, h, Material(colour=colour), front=face)]
    if s.chance(0.5):
        parts.append(box(s.u(-0.05, 0.05), 0.03, h, w * 0.8, 0.28, s.u(0.18, 0.3), Material(colour=colour), front=face))
    if s.chance(0.4):
        parts.append(box(w * 0.95, 0.02, 0, 0.3, 0.3, s.u(0.2, 0.3), Material(colour=colour), front=face, yaw=0.2))
    return parts


def cupboard(s: Style) -> Parts:
    """A low cupboard with two doors, on a plinth or on feet."""
    m, w, d, h = s.body(), s.u(0.6, 0.95), s.u(0.36, 0.44), s.u(0.7, 1.0)
    foot = s.u(0.05, 0.12)
    parts = legs(w, d, foot, 0.05, m)
    parts += [box(sx * w / 4, 0, foot, w / 2, d, h, m, front=s.front("cupboard", m)) for sx in (-1, 1)]
    return parts


def open_shelf(s: Style) -> Parts:
    """A small open shelf with a few things on it."""
    m, w, d, h = s.second(), s.u(0.6, 0.9), s.u(0.26, 0.34), s.u(0.8, 1.4)
    parts = [box(sx * w / 2, 0, 0, 0.03, d, h, m) for sx in (-1, 1)]
    levels = s.n(3, 4)
    for i in range(levels):
        z = 0.05 + i * (h - 0.08) / (levels - 1)
        parts.append(box(0, 0, z, w, d, 0.03, m))
        if s.chance(0.6) and i < levels - 1:
            parts.append(box(s.u(-0.15, 0.15), 0.04, z + 0.03, s.u(0.15, 0.35), d * 0.7, s.u(0.1, 0.2), s.cloth()))
    return parts


def stool(s: Style) -> Parts:
    """A round stool on three or four legs."""
    m, h, r = s.second(), s.u(0.4, 0.5), s.u(0.15, 0.2)
    feet = [i * 2 * math.pi / 3 for i in range(3)]
    ends = [(1.1 * r * math.cos(a), 1.1 * r * math.sin(a)) for a in feet]
    parts = [bar((x, y, 0), (x * 0.6, y * 0.6, h), 0.03, m) for x, y in ends]
    return [*parts, prism(0, 0, h, r, 0.05, s.linen(), n=10)]


def bin_(s: Style) -> Parts:
    """A waste bin."""
    r = s.u(0.11, 0.16)
    return [prism(0, 0, 0, r * 0.85, s.u(0.28, 0.45), s.paint(), n=10, r_top=r)]


def painting(s: Style) -> Parts:
    """A framed picture on the wall."""
    w, h = s.u(0.4, 0.9), s.u(0.35, 0.65)
    return [box(0, 0, s.u(1.2, 1.5), w, 0.03, h, s.second(), front=s.front("picture"), solid=False)]


def floor_rug(s: Style) -> Parts:
    """A rug in the middle of the floor."""
    face = s.front("rug", Material(colour=s.linens[0]), accent=s.linens[1])
    w, d = s.u(1.2, 2.0), s.u(0.8, 1.5)
    return [box(0, -d / 2, 0, w, d, 0.012, Material(colour=s.linens[1]), top=face, furniture=False, solid=False)]


def standing_lamp(s: Style) -> Parts:
    """A floor lamp."""
    h, r = s.u(1.3, 1.6), s.u(0.14, 0.2)
    shade = s.cloth()._replace(glow=0.6)
    return [
        prism(0, 0, 0, 0.14, 0.03, s.metal(), n=10),
        prism(0, 0, 0, 0.014, h, s.metal(), n=6),
        prism(0, 0, h, r, 0.25, shade, n=10, r_top=r * 0.7),
    ]


def around(parts: Parts, x: float, y: float, yaw: float) -> Parts:
    """Parts built about the origin, turned by yaw and set down at (x, y)."""
    return shift(turn(parts, yaw), x, y)
