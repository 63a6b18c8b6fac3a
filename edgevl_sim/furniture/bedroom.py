"""Bedroom: a bed with headboard, mattress, duvet and pillows; bedside tables; a wardrobe; a chest of drawers."""

from __future__ import annotations

from edgevl_sim.palette import Style
from edgevl_sim.parts import Material, Parts, box, legs, prism, shift


def bed(s: Style) -> Parts:
    """A single or double bed, its head at the wall, with one or two bedside tables."""
    frame, sheet = s.body(), Material("fabric", (238, 236, 230), span_m=0.5)
    duvet = Material("bedding", s.linens[0], s.linens[1], span_m=0.9, variant=s.variant() % 6)
    double = s.chance(0.75)
    w, length = (s.u(1.35, 1.7) if double else s.u(0.9, 1.05)), s.u(1.9, 2.05)
    foot, base, thick = s.u(0.08, 0.22), s.u(0.14, 0.2), s.u(0.18, 0.26)
    top = foot + base + thick
    parts = [
        *legs(w, length, foot, 0.07, frame),
        box(0, 0.03, foot, w, length, base, frame),
        box(0, 0.06, foot + base, w - 0.06, length - 0.08, thick, sheet),
        box(0, 0.62, foot + base + s.u(0.05, 0.1), w + 0.06, length - 0.58, thick - 0.02, duvet),
        box(0, 0.55, top - 0.01, w + 0.04, 0.28, 0.07, s.linen(1)),
    ]
    head = s.u(0.95, 1.35)
    if s.chance(0.3):
        parts += [box(x * w / 8, 0, foot, 0.05, 0.05, head - foot, frame) for x in range(-4, 5, 2)]
        parts += [box(0, 0, z, w, 0.05, 0.07, frame) for z in (head - 0.05, top)]
    else:
        parts.append(box(0, 0, 0, w + s.u(0.0, 0.16), 0.07, head, s.pick([frame, s.linen(1)])))
    if s.chance(0.35):
        parts.append(box(0, length, foot, w, 0.05, top - foot - s.u(0.0, 0.1), frame))
        parts += [box(sx * w / 2, length, 0, 0.07, 0.07, top + s.u(0.0, 0.15), frame) for sx in (-1, 1)]
    for x in (-w / 4, w / 4) if double else (0.0,):
        parts.append(
            box(x, 0.09, top, min(w * 0.44, 0.66), 0.44, 0.17, sheet if s.chance(0.5) else s.linen(1), tilt=-0.6)
        )
    sides = [-1, 1] if double or s.chance(0.3) else [s.pick([-1, 1])]
    for side in sides:
        if s.chance(0.9):
            parts += shift(bedside(s), side * (w / 2 + 0.34))
    return parts


def bedside(s: Style) -> Parts:
    """A bedside table with a lamp."""
    m, w, h = s.second(), s.u(0.38, 0.48), s.u(0.42, 0.55)
    if s.chance(0.5):
        parts = [*legs(w, 0.36, 0.16, 0.04, m), box(0, 0, 0.16, w, 0.36, h - 0.16, m, front=s.front("drawers", m))]
    else:
        parts = [*legs(w, 0.36, h, 0.03, m), box(0, 0, h - 0.15, w, 0.36, 0.15, m), box(0, 0, 0.12, w, 0.34, 0.02, m)]
    shade = s.cloth()._replace(glow=0.6)
    parts += [
        prism(0, 0.18, h, 0.05, 0.16, s.metal(), n=8),
        prism(0, 0.18, h + 0.15, 0.13, 0.18, shade, n=10, r_top=0.08),
    ]
    return parts


def wardrobe(s: Style) -> Parts:
    """A tall wardrobe, two to four doors wide."""
    m, doors, h, d = s.body(), s.n(2, 4), s.u(1.85, 2.2), s.u(0.5, 0.6)
    w = s.u(0.44, 0.52)
    face = s.front("wardrobe", m)
    parts = [box(0, 0, 0, doors * w, d - 0.03, 0.08, m), box(0, 0, 0.08, doors * w, d - 0.02, h - 0.08, m)]
    for i in range(doors):
        x = (i - (doors - 1) / 2) * w
        mirrored = doors > 2 and i == 1 and s.chance(0.4)
        panel = Material("mirror", accent=m.colour, shine=0.9) if mirrored else face
        parts.append(box(x, d - 0.02, 0.1, w - 0.015, 0.025, h - 0.14, m, front=panel))
        parts.append(box(x + w * 0.36 * (-1) ** i, d, 0.85, 0.02, 0.03, 0.25, s.metal()))
    return parts


def dresser(s: Style) -> Parts:
    """A chest of drawers with a mirror on it."""
    m, w, d, h = s.second(), s.u(0.8, 1.1), s.u(0.4, 0.48), s.u(0.7, 0.85)
    parts = [*legs(w, d, 0.12, 0.05, m), box(0, 0, 0.12, w, d, h - 0.12, m, front=s.front("drawers", m))]
    parts += [box(sx * 0.12, d, h - k * 0.2, 0.05, 0.025, 0.03, s.metal()) for sx in (-1, 1) for k in (1, 2, 3)]
    if s.chance(0.6):
        glass = Material("mirror", accent=m.colour, shine=0.9)
        parts.append(box(0, 0.03, h, w * 0.55, 0.04, 0.55, m, front=glass))
    return parts


def bed_bench(s: Style) -> Parts:
    """An upholstered stool or blanket chest."""
    w, d, h = s.u(0.6, 1.0), s.u(0.36, 0.42), s.u(0.38, 0.46)
    return [*legs(w, d, h - 0.14, 0.05, s.second()), box(0, 0, h - 0.14, w, d, 0.14, s.linen(0))]
