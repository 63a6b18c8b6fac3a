"""Colours, shared by ALL kinds of room, so that no room is told by its colour; and a room's own draw of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from edgevl_sim.parts import RGB, Material

T = TypeVar("T")

WALLS: tuple[RGB, ...] = (
    (236, 233, 226),
    (226, 216, 196),
    (208, 212, 214),
    (198, 210, 196),
    (190, 206, 220),
    (228, 204, 198),
    (222, 206, 160),
    (176, 190, 186),
    (204, 178, 160),
    (150, 166, 184),
    (186, 176, 190),
    (214, 222, 206),
)
FLOORS: tuple[RGB, ...] = (
    (196, 160, 116),
    (160, 116, 76),
    (112, 78, 54),
    (206, 198, 186),
    (170, 172, 172),
    (120, 124, 128),
    (188, 128, 96),
    (218, 204, 176),
    (140, 132, 120),
    (150, 162, 170),
    (98, 88, 82),
    (182, 172, 150),
)
FURNITURE: tuple[RGB, ...] = (
    (240, 238, 232),
    (226, 220, 206),
    (206, 170, 124),
    (168, 120, 78),
    (116, 78, 50),
    (78, 56, 44),
    (46, 48, 52),
    (96, 100, 104),
    (160, 164, 166),
    (142, 164, 142),
    (52, 74, 110),
    (46, 116, 122),
    (204, 156, 62),
    (190, 98, 68),
    (212, 150, 150),
    (160, 50, 48),
    (146, 182, 206),
    (104, 126, 78),
)
WOODS = tuple(range(2, 6))
METALS: tuple[RGB, ...] = ((176, 178, 180), (120, 122, 126), (60, 62, 64), (206, 186, 132))
LINENS: tuple[RGB, ...] = (
    (244, 242, 236),
    (212, 204, 188),
    (150, 170, 196),
    (190, 120, 104),
    (120, 140, 112),
    (224, 190, 120),
    (110, 112, 124),
    (200, 160, 176),
    (70, 92, 120),
    (168, 158, 146),
)


class Style:
    """One room's draw of colours and its source of chance; furniture asks it for materials.

    A room has two body colours, a linen colour and a metal of its own, so that its furniture belongs
    together, each drawn from the same palettes whatever the room.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.wall = self.shade(WALLS)
        self.floor = self.shade(FLOORS)
        self.bodies = [self._body() for _ in range(2)]
        self.linens = [self.shade(LINENS), self.shade(LINENS)]
        self.metal_colour = self.shade(METALS)

    def u(self, low: float, high: float) -> float:
        """A uniform draw."""
        return float(self.rng.uniform(low, high))

    def n(self, low: int, high: int) -> int:
        """A uniform integer draw, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, p: float) -> bool:
        """True with probability p."""
        return bool(self.rng.random() < p)

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each as likely."""
        return options[int(self.rng.integers(len(options)))]

    def shade(self, colours: tuple[RGB, ...], spread: int = 14) -> RGB:
        """One colour of a palette, varied a little."""
        base = np.asarray(self.pick(colours)) + self.rng.integers(-spread, spread + 1) + self.rng.integers(-6, 7, 3)
        r, g, b = np.clip(base, 18, 250).tolist()
        return r, g, b

    def variant(self) -> int:
        """A number that makes a texture's details its own."""
        return self.n(0, 9999)

    def _body(self) -> Material:
        index = self.n(0, len(FURNITURE) - 1)
        colour = self.shade((FURNITURE[index],))
        pattern = "wood" if index in WOODS else "plain"
        return Material(pattern, colour, span_m=1.0 if pattern == "wood" else 0.0, variant=self.variant())

    def body(self) -> Material:
        """The material most of the room's furniture is made of."""
        return self.bodies[0]

    def second(self) -> Material:
        """Its companion."""
        return self.bodies[1]

    def paint(self) -> Material:
        """Anything painted or enamelled, a colour of its own."""
        return Material("plain", self.shade(FURNITURE))

    def front(self, pattern: str, base: Material | None = None, accent: RGB | None = None) -> Material:
        """A patterned face (door, drawers, oven, books ...) in the colour of `base`, stretched once over it."""
        base = base or self.body()
        return Material(pattern, base.colour, accent or self.metal_colour, variant=self.variant())

    def metal(self) -> Material:
        """The room's metal."""
        return Material("plain", self.metal_colour, shine=0.5)

    def linen(self, index: int = 0) -> Material:
        """Cloth: bedding, towels, cushions, clothes."""
        return Material("fabric", self.linens[index], span_m=0.5, variant=self.variant() % 4)

    def cloth(self) -> Material:
        """Cloth in a colour of its own."""
        return Material("fabric", self.shade(LINENS + FURNITURE), span_m=0.5, variant=self.variant() % 4)
