"""Kitchen: a run of units with oven, sink and drawers under upper cabinets and a hood; a fridge; a breakfast table."""

from __future__ import annotations

from edgevl_sim.furniture.common import around, stool
from edgevl_sim.palette import METALS, Style
from edgevl_sim.parts import Material, Part, Parts, box, legs, prism

DARK = Material(colour=(40, 40, 42))


def unit_run(s: Style, width: float, modules: list[str]) -> Parts:
    """Kitchen units side by side over `width` metres: "oven", "sink", "drawers", "cupboard", "dishwasher"."""
    m, top = s.body(), s.second()
    count = len(modules)
    w, depth, h = width / count, s.u(0.56, 0.64), s.u(0.84, 0.92)
    kick = s.u(0.09, 0.14)
    splash = s.front(s.pick(["bricks", "tiles", "plain"]), Material(colour=s.shade(METALS)), accent=(232, 230, 224))
    low = s.u(1.36, 1.48)
    parts = [
        box(0, 0, 0, width, depth - 0.07, kick, DARK),
        box(0, 0, h - 0.04, width + 0.02, depth + 0.03, 0.04, top),
        box(0, 0, h, width, 0.015, low - h, splash._replace(span_m=0.6)),
    ]
    for i, module in enumerate(modules):
        x = (i + 0.5) * w - width / 2
        body = Material(colour=s.metal_colour) if module == "oven" else m
        face = s.front("cupboard" if module == "sink" else module, body)
        parts.append(box(x, 0, kick, w - 0.012, depth, h - 0.045 - kick, m, front=face))
        bar_z = h - 0.16 if module in ("oven", "dishwasher") else h - 0.12
        parts.append(box(x, depth, bar_z, w * 0.6, 0.035, 0.02, s.metal()))
        if module == "oven":
            parts += _hob_and_hood(s, x, w, depth, h, low)
        else:
            parts.append(_upper(s, m, x, w, low))
        if module == "sink":
            parts += _tap(s, x, h)
    return parts


def _upper(s: Style, m: Material, x: float, w: float, low: float) -> Part:
    return box(x, 0, low, w - 0.012, 0.34, s.u(0.6, 0.72), m, front=s.front("cupboard", m))


def _hob_and_hood(s: Style, x: float, w: float, depth: float, h: float, low: float) -> Parts:
    steel = s.metal()
    parts = [box(x, 0.06, h, w * 0.9, depth - 0.1, 0.012, DARK)]
    for sx in (-1, 1):
        if s.chance(0.75):
            r, tall = s.u(0.08, 0.12), s.u(0.08, 0.2)
            parts.append(prism(x + sx * w * 0.22, depth * 0.62, h + 0.012, r, tall, s.paint(), n=10))
    z = low + 0.08
    if s.chance(0.6):
        parts.append(prism(x, 0.25, z, w * 0.62, 0.24, steel, n=4, r_top=w * 0.2, squash=0.8))
        parts.append(box(x, 0.12, z + 0.2, 0.24, 0.24, 0.75, steel))
    else:
        parts.append(box(x, 0, z, w * 0.95, 0.48, 0.09, steel))
        parts.append(box(x, 0, z + 0.09, 0.3, 0.28, 0.7, steel))
    return parts


def _tap(s: Style, x: float, h: float) -> Parts:
    steel = s.metal()
    return [
        prism(x, 0.1, h, 0.016, 0.3, steel, n=6),
        box(x, 0.1, h + 0.29, 0.025, 0.2, 0.025, steel),
        box(x, 0.12, h - 0.002, 0.42, 0.36, 0.01, steel),
    ]


def main_run(s: Style) -> Parts:
    """The counter: oven and sink always, two or three further units, in any order."""
    modules = ["oven", "sink", s.pick(["drawers", "dishwasher"]), s.pick(["drawers", "cupboard"])]
    if s.chance(0.4):
        modules.append("cupboard")
    order = s.rng.permutation(len(modules))
    return unit_run(s, len(modules) * s.u(0.54, 0.62), [modules[i] for i in order])


def short_run(s: Style) -> Parts:
    """A second, short counter."""
    return unit_run(s, s.u(1.0, 1.3), [s.pick(["drawers", "dishwasher"]), s.pick(["cupboard", "drawers"])])


def fridge(s: Style) -> Parts:
    """A fridge-freezer with handles."""
    m = s.pick([s.paint(), Material(colour=s.metal_colour, shine=0.3)])
    w, d, h = s.u(0.56, 0.7), s.u(0.58, 0.68), s.u(1.5, 1.95)
    split = s.u(0.5, 0.8)
    parts = [box(0, 0, 0.04, w, d - 0.05, h, m)]
    parts.append(box(0, d - 0.05, 0.06, w, 0.05, split - 0.07, m, front=s.front("plain", m)))
    parts.append(box(0, d - 0.05, split, w, 0.05, h + 0.04 - split, m, front=s.front("plain", m)))
    x = w * 0.4 * s.pick([-1, 1])
    return [*parts, *(box(x, d, z, 0.03, 0.04, 0.35, s.metal()) for z in (split - 0.4, split + 0.05))]


def breakfast_table(s: Style) -> Parts:
    """A small high table with stools, or an island of units."""
    w, d, h = s.u(0.7, 1.0), s.u(0.5, 0.65), s.u(0.85, 0.95)
    if s.chance(0.5):
        m = s.body()
        island = [
            box(0, -d / 2, 0.1, w, d, h - 0.14, m, front=s.front("drawers", m)),
            box(0, -d / 2, 0, w, d - 0.06, 0.1, DARK),
        ]
        return [*island, box(0, -d / 2 - 0.04, h - 0.04, w + 0.1, d + 0.1, 0.04, s.second())]
    parts = [*legs(w, d, h, 0.05, s.second(), y=-d / 2), box(0, -d / 2, h, w, d, 0.04, s.second())]
    return parts + around(stool(s), w * 0.2, d * 0.5 + 0.15, 0)
