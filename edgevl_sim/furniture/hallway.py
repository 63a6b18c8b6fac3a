"""Hallway: hooks with coats, a shoe rack, a bench, a long mirror, a console, an umbrella stand, a runner."""

from __future__ import annotations

from edgevl_sim.palette import Style
from edgevl_sim.parts import Material, Parts, bar, box, legs, prism


def coat_rack(s: Style) -> Parts:
    """A board with hooks and coats of several lengths hanging from it, often shoes beneath."""
    w = s.u(1.0, 1.5)
    z = s.u(1.5, 1.7)
    parts = [box(0, 0, z, w, 0.03, 0.12, s.body()), box(0, 0, z + 0.14, w, 0.24, 0.025, s.body())]
    count = s.n(3, 5)
    for i in range(count):
        x = (i - (count - 1) / 2) * w / count + s.u(-0.03, 0.03)
        parts.append(bar((x, 0.03, z + 0.05), (x, 0.1, z + 0.07), 0.02, s.metal()))
        if s.chance(0.85):
            coat = s.cloth()._replace(pattern="folds", span_m=0.0)
            drop, half = s.u(0.6, 1.15), s.u(0.13, 0.2)
            parts.append(prism(x, 0.14, z - drop, half * 1.25, drop, coat, n=8, r_top=half * 0.55, squash=0.55))
            if s.chance(0.6):
                arms = [
                    bar((x + sx * half * 0.7, 0.16, z - 0.08), (x + sx * half * 1.3, 0.17, z - 0.55), 0.09, coat)
                    for sx in (-1, 1)
                ]
                parts += arms
    if s.chance(0.6):
        parts += _shoes(s, 0.0, 0.0, w * 0.8)
    return parts


def _shoes(s: Style, z: float, y: float, width: float) -> Parts:
    """Pairs of shoes or boots in a row."""
    parts: Parts = []
    x = -width / 2 + 0.1
    while x < width / 2 - 0.08:
        leather = s.paint()
        if s.chance(0.85):
            boot = s.chance(0.25)
            for sx in (-0.055, 0.055):
                parts.append(box(x + sx, y + 0.05, z, 0.085, 0.26, 0.06, leather))
                parts.append(box(x + sx, y + 0.05, z + 0.06, 0.08, 0.12, 0.2 if boot else 0.05, leather))
        x += s.u(0.24, 0.32)
    return parts


def shoe_rack(s: Style) -> Parts:
    """Two or three slatted shelves full of shoes."""
    m, w, d, levels = s.body(), s.u(0.75, 1.05), s.u(0.3, 0.36), s.n(2, 3)
    h = levels * 0.24 + 0.04
    parts = [box(sx * w / 2, 0, 0, 0.03, d, h, m) for sx in (-1, 1)]
    for i in range(levels):
        z = 0.08 + i * 0.24
        parts += [box(0, y, z, w, 0.06, 0.018, m) for y in (0.02, d / 2 - 0.03, d - 0.08)]
        parts += _shoes(s, z + 0.018, 0.0, w)
    if s.chance(0.5):
        parts.append(box(0, 0, h, w + 0.04, d, 0.03, m))
    return parts


def bench(s: Style) -> Parts:
    """A bench to put shoes on, cushioned, a shelf beneath."""
    m, w, d, h = s.second(), s.u(0.8, 1.2), s.u(0.32, 0.38), s.u(0.42, 0.48)
    parts = [
        *legs(w, d, h - 0.05, 0.05, m),
        box(0, 0, h - 0.05, w, d, 0.03, m),
        box(0, 0.02, 0.12, w - 0.05, d - 0.04, 0.02, m),
    ]
    parts.append(box(0, 0.01, h - 0.02, w - 0.02, d - 0.02, 0.06, s.linen()))
    return parts + (_shoes(s, 0.0, 0.0, w * 0.9) if s.chance(0.6) else [])


def long_mirror(s: Style) -> Parts:
    """A mirror that stands on the floor and leans on the wall."""
    w, h = s.u(0.42, 0.6), s.u(1.4, 1.8)
    glass = Material("mirror", accent=s.second().colour, shine=0.9)
    return [box(0, 0.06, 0.02, w, 0.03, h, s.second(), front=glass, tilt=0.06)]


def console(s: Style) -> Parts:
    """A slim console table with a bowl, a drawer and thin legs."""
    m, w, d, h = s.body(), s.u(0.7, 1.0), s.u(0.26, 0.32), s.u(0.78, 0.88)
    parts = [*legs(w, d, h, 0.035, m), box(0, 0, h - 0.14, w, d, 0.14, m, front=s.front("cupboard", m))]
    return [*parts, prism(w * 0.2, d / 2, h, 0.06, 0.07, s.paint(), n=8, r_top=0.11)]


def umbrella_stand(s: Style) -> Parts:
    """Umbrellas leaning in a tall pot."""
    parts = [prism(0, 0.14, 0, 0.1, 0.48, s.paint(), n=10, r_top=0.12)]
    for x in (-0.06, 0.05):
        m = s.cloth()
        parts += [bar((x * 0.3, 0.14, 0.1), (x * 2, 0.12 + x, 0.85), 0.05, m)]
    return parts


def runner(s: Style) -> Parts:
    """A long narrow rug, along x."""
    face = s.front("rug", Material(colour=s.linens[0]), accent=s.linens[1])
    w, d = s.u(2.2, 3.4), s.u(0.55, 0.8)
    return [box(0, -d / 2, 0, w, d, 0.012, Material(colour=s.linens[1]), top=face, furniture=False, solid=False)]
