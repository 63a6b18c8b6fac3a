"""Bathroom: a tub or a shower, a toilet, a washbasin under a mirror, a towel radiator."""

from __future__ import annotations

from edgevl_sim.palette import FURNITURE, Style
from edgevl_sim.parts import Material, Parts, box, legs, prism


def ceramic(s: Style) -> Material:
    """Enamel: often pale, sometimes coloured."""
    colour = s.shade(((240, 238, 232), (226, 220, 206))) if s.chance(0.55) else s.shade(FURNITURE)
    return Material(colour=colour, shine=0.15)


def tub(s: Style) -> Parts:
    """A bath tub: tiled or smooth apron, a hollow inside, taps; or one standing on feet."""
    m = ceramic(s)
    w, d, h = s.u(1.45, 1.75), s.u(0.68, 0.8), s.u(0.5, 0.6)
    if s.chance(0.35):
        oval = prism(0, d / 2, 0.14, w * 0.36, h - 0.08, m, n=14, r_top=w * 0.5, squash=d / w)
        rim = prism(0, d / 2, h + 0.04, w * 0.52, 0.04, m, n=14, squash=d / w)
        feet = [
            prism(sx * w * 0.26, d / 2 + sy * 0.16, 0, 0.03, 0.16, s.metal(), n=6) for sx in (-1, 1) for sy in (-1, 1)
        ]
        parts = [oval, rim, *feet]
    else:
        apron = s.front(s.pick(["tiles", "plain", "bricks"]), accent=(226, 224, 218))._replace(span_m=0.6)
        t = 0.07
        parts = [
            box(0, d - t, 0, w, t, h, m, front=apron),
            box(0, 0, 0, w, t, h, m),
            *(box(sx * (w - t) / 2, 0, 0, t, d, h, m, front=apron) for sx in (-1, 1)),
            box(0, 0, 0, w, d, 0.12, m),
            box(0, d - 0.09, h, w + 0.02, 0.11, 0.03, m),
            *(box(sx * (w - 0.1) / 2, 0, h, 0.1, d, 0.03, m) for sx in (-1, 1)),
        ]
    steel, x = s.metal(), w * 0.36 * s.pick([-1, 1])
    parts += [box(x, 0, h + 0.12, 0.2, 0.06, 0.05, steel), box(x, 0, h + 0.12, 0.04, 0.2, 0.04, steel)]
    if s.chance(0.6):
        parts += [prism(x, 0.05, h + 0.15, 0.012, 0.9, steel, n=6), prism(x, 0.12, h + 1.0, 0.07, 0.03, steel, n=8)]
    return parts


def shower(s: Style) -> Parts:
    """A shower corner: tray, framed panes with a frosted band, riser and head."""
    m, steel = ceramic(s), s.metal()
    w, d, h = s.u(0.85, 1.05), s.u(0.8, 0.95), s.u(1.85, 2.05)
    frost = Material(colour=s.shade(((198, 212, 216), (214, 220, 214))), shine=0.7)
    parts = [box(0, 0, 0, w, d, 0.14, m)]
    for sx in (-1, 1):
        parts += [
            box(sx * w / 2, d - 0.03, 0.14, 0.04, 0.04, h, steel),
            box(sx * w / 2, 0, h + 0.1, 0.03, d, 0.04, steel),
        ]
        parts.append(box(sx * w / 2, 0.02, 0.14, 0.015, d - 0.05, s.u(0.75, 1.0), frost))
    parts += [
        box(0, d - 0.03, h + 0.1, w, 0.04, 0.04, steel),
        box(-w / 4, d - 0.025, 0.14, w / 2, 0.015, s.u(0.75, 1.0), frost),
        prism(0, 0.06, 0.9, 0.012, 1.1, steel, n=6),
        prism(0, 0.18, 1.98, 0.1, 0.03, steel, n=10),
        box(0, 0.02, 1.0, 0.16, 0.06, 0.06, steel),
    ]
    return parts


def bathing(s: Style) -> Parts:
    """What no bathroom is without: a tub, else a shower."""
    return tub(s) if s.chance(0.65) else shower(s)


def toilet(s: Style) -> Parts:
    """A toilet: a tapered oval bowl, a seat, a lid leaning back, a tank."""
    m = ceramic(s)
    seat = s.pick([m, s.second(), s.paint()])
    r, h, tank = s.u(0.18, 0.21), s.u(0.36, 0.42), s.u(0.16, 0.19)
    y = tank + r * 1.25
    return [
        prism(0, y, 0, r * 0.62, h * 0.5, m, n=12, r_top=r * 0.66, squash=1.2),
        prism(0, y, h * 0.5, r * 0.66, h * 0.5, m, n=12, r_top=r, squash=1.25),
        prism(0, y, h, r * 1.04, 0.035, seat, n=12, squash=1.25),
        box(0, tank + 0.01, h + 0.02, r * 1.9, 0.03, s.u(0.36, 0.44), seat, tilt=-0.18),
        box(0, 0, h - 0.02, s.u(0.36, 0.42), tank, s.u(0.36, 0.44), m),
        box(0, 0.0, 0.1, 0.2, tank + 0.1, h - 0.1, m),
        box(0, 0.05, h + 0.42, 0.06, 0.06, 0.03, s.metal()),
    ]


def washbasin(s: Style) -> Parts:
    """A washbasin on a pedestal or on a vanity unit, its tap, a mirror over it."""
    m, steel = ceramic(s), s.metal()
    h, w = s.u(0.78, 0.88), s.u(0.5, 0.7)
    if s.chance(0.55):
        parts = [
            prism(0, 0.22, 0, 0.1, h - 0.16, m, n=10, r_top=0.075),
            prism(0, 0.25, h - 0.18, 0.12, 0.18, m, n=12, r_top=w / 2, squash=0.8),
        ]
    else:
        parts = [
            box(0, 0, 0.22, w, 0.42, h - 0.34, s.body(), front=s.front("drawers")),
            box(0, 0, h - 0.12, w + 0.06, 0.46, 0.12, m),
        ]
    parts += [prism(0, 0.08, h, 0.016, 0.16, steel, n=6), box(0, 0.08, h + 0.15, 0.03, 0.14, 0.025, steel)]
    glass = Material("mirror", accent=s.second().colour, shine=0.9)
    mirror_w = s.u(0.45, 0.8)
    if s.chance(0.4):
        parts.append(prism(0, 0, 1.5, mirror_w / 2, 0.03, s.second(), n=14, axis="y", cap=glass))
    else:
        parts.append(box(0, 0, 1.15, mirror_w, 0.03, s.u(0.55, 0.8), s.second(), front=glass))
    return parts


def towel_radiator(s: Style) -> Parts:
    """A ladder of tubes with a towel or two."""
    m, w, low = s.metal(), s.u(0.42, 0.55), s.u(0.2, 0.45)
    rungs = s.n(8, 12)
    top = low + rungs * 0.1
    parts = [box(sx * w / 2, 0.05, low, 0.035, 0.035, top - low, m) for sx in (-1, 1)]
    parts += [box(0, 0.05, low + i * 0.1 + 0.03, w, 0.025, 0.035, m) for i in range(rungs)]
    for k in range(s.n(1, 2)):
        drop = s.u(0.35, 0.55)
        parts.append(box(s.u(-0.06, 0.06), 0.085, top - 0.1 - drop - 0.45 * k, w * 0.72, 0.03, drop, s.cloth()))
    return parts


def bath_mat(s: Style) -> Parts:
    """A mat on the floor."""
    return [box(0, -0.25, 0, s.u(0.6, 0.8), 0.5, 0.015, s.cloth(), furniture=False, solid=False)]


def scales_and_basket(s: Style) -> Parts:
    """A low stand with rolled towels."""
    m = s.second()
    parts = [*legs(0.4, 0.3, 0.3, 0.03, m), box(0, 0, 0.3, 0.4, 0.3, 0.03, m), box(0, 0, 0.08, 0.4, 0.3, 0.02, m)]
    rolls = [prism(x, 0.02, 0.4, 0.065, 0.26, s.cloth(), n=8, axis="y") for x in (-0.11, 0.04)]
    return parts + rolls
