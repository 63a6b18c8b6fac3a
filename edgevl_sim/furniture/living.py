"""Living room: a sofa facing a TV on a low board, a coffee table, armchairs, a rug, a floor lamp."""

from __future__ import annotations

from edgevl_sim.palette import Style
from edgevl_sim.parts import Material, Parts, box, legs, prism, shift


def seating(s: Style, seats: int, m: Material, scatter: Material) -> Parts:
    """A sofa or armchair: base on feet, back, arms, seat and back cushions, scatter cushions."""
    seat_w, arm = s.u(0.58, 0.7), s.u(0.12, 0.24)
    w, d = seats * seat_w + 2 * arm, s.u(0.82, 0.98)
    foot, seat_h, back_h, arm_h = s.u(0.04, 0.15), s.u(0.38, 0.46), s.u(0.74, 0.95), s.u(0.52, 0.66)
    back = s.u(0.18, 0.26)
    parts = [
        *legs(w - 0.06, d - 0.06, foot, 0.05, s.second(), y=0.03),
        box(0, 0, foot, w, d, seat_h - 0.14 - foot, m),
        box(0, 0, foot, w, back, back_h - foot, m),
        *(box(sx * (w - arm) / 2, 0, foot, arm, d, arm_h - foot, m) for sx in (-1, 1)),
    ]
    for i in range(seats):
        x = (i - (seats - 1) / 2) * seat_w
        parts.append(box(x, back, seat_h - 0.14, seat_w - 0.025, d - back + 0.02, 0.14, m))
        parts.append(box(x, back - 0.02, seat_h, seat_w - 0.04, 0.16, back_h - seat_h - 0.02, m, tilt=0.15))
    for sx in (-1, 1):
        if s.chance(0.6):
            side = sx * (w / 2 - arm - 0.2)
            parts.append(
                box(side, back + 0.12, seat_h + 0.03, 0.38, 0.12, 0.36, scatter, tilt=0.3, roll=s.u(-0.2, 0.2))
            )
    return parts


def sofa(s: Style) -> Parts:
    """A two- or three-seat sofa, sometimes with a chaise."""
    m = s.linen(0)
    seats = s.n(2, 3)
    parts = seating(s, seats, m, s.cloth())
    if s.chance(0.25):
        side = s.pick([-1, 1]) * (seats * 0.32 - 0.1)
        parts.append(box(side, 0.8, 0.08, 0.68, 0.6, 0.36, m))
    return parts


def armchair(s: Style) -> Parts:
    """An armchair, about its middle."""
    m = s.pick([s.linen(0), s.linen(1), s.cloth()])
    return shift(seating(s, 1, m, s.cloth()), 0, -0.45)


def coffee_table(s: Style) -> Parts:
    """A low table, square or round, about its middle, with something on it."""
    m, h = s.second(), s.u(0.34, 0.46)
    if s.chance(0.35):
        r = s.u(0.34, 0.46)
        parts = [prism(0, 0, h - 0.04, r, 0.04, m, n=14), prism(0, 0, 0, r * 0.45, h - 0.04, m, n=10, r_top=r * 0.3)]
    else:
        w, d = s.u(0.8, 1.15), s.u(0.5, 0.65)
        parts = [*legs(w, d, h - 0.04, 0.055, m, y=-d / 2), box(0, -d / 2, h - 0.05, w, d, 0.05, m)]
        if s.chance(0.5):
            parts.append(box(0, -d / 2 + 0.03, 0.1, w - 0.06, d - 0.06, 0.025, m))
    parts.append(prism(s.u(-0.15, 0.15), 0, h, 0.06, s.u(0.1, 0.25), s.paint(), n=8, r_top=0.04))
    parts.append(box(s.u(-0.2, 0.2), 0.05, h, 0.24, 0.17, 0.04, s.paint(), yaw=0.3))
    return parts


def television(s: Style) -> Parts:
    """A TV on a long low board, on a stand or on the wall."""
    m, w, h, d = s.body(), s.u(1.3, 1.9), s.u(0.32, 0.5), s.u(0.36, 0.44)
    foot = s.u(0.05, 0.15)
    doors = s.n(2, 3)
    parts = legs(w, d, foot, 0.05, m)
    for i in range(doors):
        x = (i - (doors - 1) / 2) * w / doors
        face = s.front(s.pick(["cupboard", "drawers", "slats"]), m)
        parts.append(box(x, 0, foot, w / doors - 0.01, d, h - foot, m, front=face))
    screen_w = s.u(0.9, 1.3)
    lift = s.u(0.06, 0.3)
    black = Material(colour=(26, 26, 28))
    face = Material("television", s.linens[0], s.linens[1], variant=s.variant(), shine=0.45, glow=0.15)
    parts += [
        box(0, 0.12, h + lift, screen_w, 0.05, screen_w * 0.57, black, front=face),
        box(0, 0.1, h, 0.3, 0.16, 0.02, black),
        box(0, 0.12, h, 0.08, 0.04, lift + 0.1, black),
    ]
    if s.chance(0.5):
        parts += [box(sx * (w / 2 - 0.12), 0.05, h, 0.16, 0.2, s.u(0.25, 0.4), black) for sx in (-1, 1)]
    return parts
