"""Office: a desk with monitors, a swivel chair on a five-star base, book shelves, a filing cabinet, a whiteboard."""

from __future__ import annotations

import math

from edgevl_sim.furniture.common import around
from edgevl_sim.palette import Style
from edgevl_sim.parts import Material, Parts, bar, box, legs, prism

BLACK = Material(colour=(38, 39, 43))


def swivel_chair(s: Style) -> Parts:
    """An office chair about its middle, its back at -y: castors, five arms, a gas column, armrests."""
    steel, cover = s.pick([BLACK, s.metal()]), s.pick([s.cloth(), BLACK])
    parts: Parts = []
    for i in range(5):
        a = i * 2 * math.pi / 5 + 0.3
        x, y = 0.31 * math.cos(a), 0.31 * math.sin(a)
        parts += [bar((0, 0, 0.12), (x, y, 0.08), 0.05, steel), prism(x, y, 0, 0.035, 0.07, BLACK, n=6)]
    seat_h = s.u(0.42, 0.5)
    parts += [
        prism(0, 0, 0.1, 0.035, seat_h - 0.1, steel, n=8),
        box(0, -0.24, seat_h, 0.5, 0.48, 0.09, cover),
        box(0, -0.29, seat_h + 0.02, 0.07, 0.04, 0.25, BLACK),
        box(0, -0.28, seat_h + 0.16, s.u(0.4, 0.48), 0.08, s.u(0.42, 0.62), cover, tilt=0.12),
    ]
    if s.chance(0.7):
        for sx in (-1, 1):
            parts += [
                box(sx * 0.28, -0.04, seat_h, 0.04, 0.05, 0.2, BLACK),
                box(sx * 0.28, -0.16, seat_h + 0.2, 0.07, 0.28, 0.03, BLACK),
            ]
    return parts


def desk_set(s: Style) -> Parts:
    """A desk at the wall with drawers, one or two monitors, a computer below, and the swivel chair before it."""
    m, w, d, h = s.body(), s.u(1.2, 1.65), s.u(0.62, 0.75), s.u(0.71, 0.76)
    side = s.pick([-1, 1])
    parts = [box(0, 0, h - 0.035, w, d, 0.035, m)]
    if s.chance(0.5):
        parts += legs(w, d, h - 0.035, 0.05, s.metal())
        parts.append(box(0, 0.04, h - 0.35, w - 0.1, 0.02, 0.3, m))
    else:
        parts += [box(sx * (w - 0.04) / 2, 0, 0, 0.04, d, h - 0.035, m) for sx in (-1, 1)]
        parts.append(box(0, 0.05, 0.25, w - 0.06, 0.02, h - 0.3, m))
    cabinet = s.second()
    x = side * (w / 2 - 0.27)
    parts.append(box(x, 0.06, 0.06, 0.4, d - 0.1, h - 0.16, cabinet, front=s.front("drawers", cabinet)))
    parts.append(box(-side * (w / 2 - 0.2), 0.15, 0.02, 0.18, 0.42, 0.42, BLACK))
    screens = s.n(1, 2)
    for i in range(screens):
        sx = (i - (screens - 1) / 2) * 0.6 + s.u(-0.05, 0.05)
        face = Material("monitor", accent=s.linens[0], variant=s.variant(), glow=0.35, shine=0.3)
        size = s.u(0.5, 0.58)
        parts += [
            box(sx, 0.12, h, 0.22, 0.18, 0.015, BLACK),
            box(sx, 0.16, h, 0.05, 0.03, 0.2, BLACK),
            box(sx, 0.19, h + 0.12, size, 0.04, size * 0.6, BLACK, front=face, yaw=(0.5 - i) * 0.3 * (screens - 1)),
        ]
    if s.chance(0.6):
        lamp = s.paint()
        lx = -side * (w / 2 - 0.12)
        parts += [
            prism(lx, 0.2, h, 0.07, 0.02, lamp, n=8),
            bar((lx, 0.2, h), (lx + side * 0.1, 0.25, h + 0.4), 0.025, lamp),
        ]
        parts.append(prism(lx + side * 0.14, 0.28, h + 0.32, 0.08, 0.12, lamp._replace(glow=0.3), n=8, r_top=0.04))
    return parts + around(swivel_chair(s), s.u(-0.2, 0.1) * side, d + s.u(0.12, 0.3), math.pi + s.u(-0.7, 0.7))


def book_shelf(s: Style) -> Parts:
    """A tall book shelf: boards, sides, rows of books or binders standing a little apart."""
    m, w, d, h = s.body(), s.u(0.75, 1.1), s.u(0.28, 0.36), s.u(1.7, 2.15)
    levels = s.n(5, 6)
    parts = [box(sx * (w / 2 - 0.012), 0, 0, 0.025, d, h, m) for sx in (-1, 1)]
    parts.append(box(0, 0, 0, w, 0.015, h, m))
    gap = (h - 0.06) / (levels - 1)
    for i in range(levels):
        z = 0.04 + i * gap
        parts.append(box(0, 0, z, w, d, 0.025, m))
        if i == levels - 1:
            break
        x = -w / 2 + 0.04
        while x < w / 2 - 0.2:
            run = min(s.u(0.25, 0.6), w / 2 - 0.03 - x)
            face = s.front(s.pick(["books", "books", "binders"]), m)
            if s.chance(0.8):
                parts.append(
                    box(x + run / 2, 0.02, z + 0.025, run, d * s.u(0.45, 0.8), gap * s.u(0.55, 0.85), m, front=face)
                )
            x += run + s.u(0.01, 0.06)
    return parts


def filing_cabinet(s: Style) -> Parts:
    """Two to four deep file drawers, one of them often open a hand's width."""
    m, w, d = s.pick([s.paint(), Material(colour=s.metal_colour)]), s.u(0.42, 0.5), s.u(0.5, 0.6)
    count = s.n(2, 4)
    ajar = s.n(0, 2 * count)
    face = s.front("file_drawer", m)
    parts = [box(0, 0, 0, w, d - 0.02, count * 0.33 + 0.02, m)]
    for i in range(count):
        out = s.u(0.08, 0.2) if i == ajar else 0.0
        parts.append(box(0, d - 0.02, 0.02 + i * 0.33, w - 0.02, 0.02 + out, 0.31, m, front=face))
        parts.append(box(0, d + out, 0.2 + i * 0.33, 0.16, 0.025, 0.025, s.metal()))
    return parts


def whiteboard(s: Style) -> Parts:
    """A whiteboard with notes on it."""
    return [
        box(0, 0, s.u(0.85, 1.1), s.u(0.9, 1.5), 0.03, s.u(0.7, 0.9), s.metal(), front=s.front("notes"), solid=False)
    ]
