"""Laundry room: washing machine and dryer, a drying rack with clothes, an ironing board, baskets, a detergent shelf."""

from __future__ import annotations

from edgevl_sim.palette import FURNITURE, Style
from edgevl_sim.parts import Material, Parts, bar, box, prism, shift


def machine(s: Style, kind: str, w: float, h: float, m: Material) -> Parts:
    """A washing machine or dryer: body, control panel, a round door that stands out of the front."""
    d, r = s.u(0.55, 0.62), s.u(0.17, 0.21)
    middle = h * 0.47
    ring = Material(colour=s.metal_colour)
    door = s.front("porthole", m)
    return [
        box(0, 0, 0.03, w, d, h - 0.03, m, front=s.front(kind, m)),
        box(0, 0.03, 0, w - 0.06, d - 0.08, 0.04, Material(colour=(40, 40, 42))),
        prism(0, d, middle, r, 0.06, ring, n=14, r_top=r * 0.9, axis="y", cap=door),
        box(r + 0.02, d, middle - 0.06, 0.04, 0.05, 0.12, ring),
        prism(0, d, h * 0.91, 0.035, 0.04, ring, n=8, axis="y"),
    ]


def machines(s: Style) -> Parts:
    """Washer and dryer side by side under a worktop, apart, or one upon the other."""
    w, h = s.u(0.58, 0.66), s.u(0.83, 0.9)
    m = s.paint() if s.chance(0.5) else Material(colour=s.shade((FURNITURE[0], FURNITURE[8])))
    other = m if s.chance(0.75) else s.paint()
    first, second = machine(s, "washer", w, h, m), machine(s, "dryer", w, h, other)
    if s.chance(0.3):
        return first + shift(second, z=h + 0.02)
    gap = s.pick([0.02, 0.02, 0.12])
    parts = shift(first, -(w + gap) / 2) + shift(second, (w + gap) / 2)
    if s.chance(0.5):
        parts.append(box(0, 0, h + 0.01, 2 * w + gap + 0.04, 0.66, 0.035, s.body()))
    return parts + shift(detergents(s), 0, 0, s.u(1.3, 1.5)) if s.chance(0.7) else parts


def detergents(s: Style) -> Parts:
    """A wall board with bottles and packets."""
    w = s.u(0.7, 1.1)
    parts = [box(0, 0, 0, w, 0.26, 0.03, s.body())]
    x = -w / 2 + 0.08
    while x < w / 2 - 0.06:
        label = s.front("bottle", s.paint(), accent=s.linens[0])
        if s.chance(0.5):
            parts.append(prism(x, 0.13, 0.03, 0.05, s.u(0.16, 0.26), label, n=8, r_top=0.035))
        else:
            parts.append(box(x, 0.05, 0.03, 0.13, 0.14, s.u(0.18, 0.3), label))
        x += s.u(0.15, 0.2)
    return parts


def drying_rack(s: Style) -> Parts:
    """A folding rack about its middle: crossed legs, rails, clothes hanging down."""
    w, d, h, m = s.u(1.0, 1.4), s.u(0.5, 0.62), s.u(0.85, 1.0), s.metal()
    parts: Parts = []
    for sx in (-1, 1):
        x = sx * w / 2
        parts += [bar((x, -d / 2, 0), (x, d / 2, h), 0.03, m), bar((x, d / 2, 0), (x, -d / 2, h), 0.03, m)]
    count = 5
    for i in range(count):
        y = -d / 2 + i * d / (count - 1)
        parts.append(box(0, y, h, w, 0.015, 0.015, m))
        x = -w / 2 + 0.05
        while x < w / 2 - 0.2:
            span, drop = s.u(0.18, 0.4), s.u(0.25, 0.6)
            if s.chance(0.55):
                parts.append(box(x + span / 2, y - 0.008, h - drop, span, 0.03, drop + 0.02, s.cloth()))
            x += span + s.u(0.03, 0.15)
    return parts


def ironing_board(s: Style) -> Parts:
    """An ironing board about its middle: a long narrow top, pointed at one end, on crossed legs; an iron on it."""
    length, w, h, cover = s.u(1.15, 1.35), s.u(0.32, 0.4), s.u(0.8, 0.92), s.cloth()
    steel = s.metal()
    a, b = -length * 0.32, length * 0.3
    return [
        box(-0.1, -w / 2, h, length - 0.2, w, 0.035, cover),
        box(length / 2 - 0.14, -w / 4, h, 0.28, w / 2, 0.035, cover),
        *(bar((a, y, 0), (b, y * 0.4, h), 0.03, steel) for y in (-0.16, 0.16)),
        *(bar((b, y, 0), (a, y * 0.4, h), 0.03, steel) for y in (-0.16, 0.16)),
        box(a, -0.2, 0, 0.035, 0.4, 0.03, steel),
        box(b, -0.2, 0, 0.035, 0.4, 0.03, steel),
        box(-0.25, -0.06, h + 0.035, 0.24, 0.11, 0.05, s.paint()),
        box(-0.25, -0.02, h + 0.1, 0.16, 0.03, 0.04, s.paint()),
    ]


def basket(s: Style) -> Parts:
    """A laundry basket, wicker or plastic, heaped with clothes."""
    colour = s.shade(FURNITURE)
    weave = Material(s.pick(["wicker", "slats"]), colour, span_m=0.0)
    r, h = s.u(0.19, 0.26), s.u(0.3, 0.6)
    parts = [
        prism(0, r, 0, r * 0.78, h, weave, n=12, r_top=r, cap=Material(colour=colour)),
        prism(0, r, h - 0.04, r * 1.06, 0.05, weave, n=12),
    ]
    parts += [prism(s.u(-0.05, 0.05), r, h + 0.01, r * 0.85, s.u(0.06, 0.14), s.cloth(), n=8, r_top=r * 0.4)]
    return parts


def boiler(s: Style) -> Parts:
    """A hot-water boiler on the wall, its pipes going down."""
    m, r, z = s.paint(), s.u(0.2, 0.26), s.u(1.0, 1.2)
    parts = [prism(0, r + 0.03, z, r, s.u(0.7, 0.9), m, n=14)]
    return parts + [prism(x, r, 0.2, 0.018, z - 0.2, s.metal(), n=6) for x in (-0.08, 0.08)]


def deep_sink(s: Style) -> Parts:
    """A utility sink on legs with a tap."""
    m, w, d, h = s.paint(), s.u(0.5, 0.65), s.u(0.42, 0.5), s.u(0.8, 0.88)
    parts = [
        box(sx * (w / 2 - 0.04), y, 0, 0.04, 0.04, h - 0.28, s.metal()) for sx in (-1, 1) for y in (0.02, d - 0.06)
    ]
    parts += [box(0, 0, h - 0.3, w, d, 0.3, m), prism(0, 0.05, h, 0.016, 0.28, s.metal(), n=6)]
    return [*parts, prism(0, d / 2, 0.1, 0.03, h - 0.4, Material(colour=(150, 150, 150)), n=6)]
