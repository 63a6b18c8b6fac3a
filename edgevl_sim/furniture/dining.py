"""Dining room: a table with four to six chairs, a sideboard or glass cabinet, a lamp over the table."""

from __future__ import annotations

import math

from edgevl_sim.furniture.common import around, chair
from edgevl_sim.palette import Style
from edgevl_sim.parts import Material, Parts, box, legs, prism


def dining_set(s: Style) -> Parts:
    """A table about its middle, alike chairs around it, places laid."""
    wood, h = s.body(), s.u(0.72, 0.77)
    state = s.rng.bit_generator.state
    seat, frame = s.pick([wood, s.linen()]), s.pick([wood, s.second()])

    def one_chair() -> Parts:
        # The same draw for each, so that the chairs of a table are alike.
        after = s.rng.bit_generator.state
        s.rng.bit_generator.state = state
        parts = chair(s, seat, frame)
        s.rng.bit_generator.state = after
        return parts

    parts: Parts = []
    if s.chance(0.3):
        r = s.u(0.5, 0.65)
        parts += [prism(0, 0, h - 0.04, r, 0.04, wood, n=16), prism(0, 0, 0.05, 0.09, h - 0.09, wood, n=10)]
        parts.append(prism(0, 0, 0, r * 0.55, 0.06, wood, n=10, r_top=0.12))
        count = s.n(4, 5)
        for i in range(count):
            a = i * 2 * math.pi / count + 0.3
            reach = r + s.u(0.0, 0.16)
            parts += around(one_chair(), reach * math.cos(a), reach * math.sin(a), a + math.pi / 2)
        parts += _laid(s, [(0.0, 0.0)], h)
        return parts
    w, d, t = s.u(1.3, 1.75), s.u(0.78, 0.92), s.u(0.06, 0.1)
    parts += [*legs(w - 0.06, d - 0.06, h - 0.04, t, wood, y=-d / 2 + 0.03), box(0, -d / 2, h - 0.04, w, d, 0.04, wood)]
    parts += [box(0, sy * (d / 2 - 0.08), h - 0.13, w - 0.2, 0.025, 0.09, wood) for sy in (-1, 1)]
    per_side = 2 if w < 1.6 or s.chance(0.4) else 3
    for i in range(per_side):
        x = (i - (per_side - 1) / 2) * w / (per_side + 0.1)
        for side in (-1, 1):
            out = d / 2 + s.u(0.02, 0.2)
            parts += around(one_chair(), x, side * out, (math.pi if side > 0 else 0.0) + s.u(-0.12, 0.12))
    if s.chance(0.4):
        parts += around(one_chair(), w / 2 + 0.1, 0, math.pi / 2)
    return parts + _laid(s, [(x * w / 4, 0.0) for x in (-1, 0, 1)], h)


def _laid(s: Style, places: list[tuple[float, float]], h: float) -> Parts:
    r = s.u(0.07, 0.12)
    bowl = [prism(x, y, h, r * 0.6, r, s.paint(), n=10, r_top=r) for x, y in places]
    return [*bowl, prism(places[0][0] + 0.2, 0.1, h, 0.04, 0.25, s.paint(), n=8, r_top=0.03)]


def table_lamp(s: Style) -> Parts:
    """The lamp over the table: a wide shade or a bar, its lower edge about 1.5 m up."""
    z, shade = s.u(1.4, 1.6), s.paint()._replace(glow=0.6)
    cord = Material(colour=(50, 50, 50))
    if s.chance(0.6):
        r = s.u(0.22, 0.34)
        return [prism(0, 0, z, r, 0.24, shade, n=12, r_top=r * 0.3), prism(0, 0, z + 0.24, 0.012, 0.8, cord, n=4)]
    return [prism(x, 0, z, 0.1, 0.16, shade, n=10, r_top=0.05) for x in (-0.4, 0, 0.4)] + [
        prism(x, 0, z + 0.16, 0.01, 0.85, cord, n=4) for x in (-0.4, 0, 0.4)
    ]


def sideboard(s: Style) -> Parts:
    """A long sideboard with dishes."""
    m, w, d, h = s.body(), s.u(1.2, 1.7), s.u(0.4, 0.48), s.u(0.75, 0.95)
    foot, doors = s.u(0.1, 0.22), s.n(3, 4)
    parts = legs(w, d, foot, 0.05, m)
    for i in range(doors):
        x = (i - (doors - 1) / 2) * w / doors
        parts.append(
            box(x, 0, foot, w / doors - 0.01, d, h - foot, m, front=s.front(s.pick(["cupboard", "drawers"]), m))
        )
    parts += [prism(x * w, d / 2, h, 0.06, s.u(0.12, 0.3), s.paint(), n=8, r_top=0.09) for x in (-0.3, 0.25)]
    return parts


def glass_cabinet(s: Style) -> Parts:
    """A tall cabinet: doors below, shelves of crockery behind an open front above."""
    m, w, d, h = s.body(), s.u(0.8, 1.1), s.u(0.36, 0.44), s.u(1.7, 2.0)
    parts = [box(sx * w / 4, 0, 0.06, w / 2 - 0.01, d, 0.74, m, front=s.front("cupboard", m)) for sx in (-1, 1)]
    parts += [box(sx * (w / 2 - 0.02), 0, 0.8, 0.04, d - 0.06, h - 0.8, m) for sx in (-1, 1)]
    parts += [box(0, 0, 0.8, w, 0.02, h - 0.8, m), box(0, 0, h - 0.04, w, d, 0.05, m)]
    for z in (0.8, 1.15, 1.5):
        parts.append(box(0, 0, z, w, d - 0.08, 0.025, m))
        parts += [prism(x * w, 0.16, z + 0.025, 0.05, s.u(0.1, 0.2), s.paint(), n=8) for x in (-0.3, 0.0, 0.28)]
    return parts
