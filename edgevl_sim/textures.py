"""Small procedural textures: what a material's pattern looks like.

Every pattern is a function (colour, accent, rng) -> (h, w, 3) uint8 RGB, h and w multiples of 16 so that the
atlas can halve them. u runs to the right, v down, as on the face seen from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from edgevl_sim.parts import RGB, Material

Pixels = npt.NDArray[np.uint8]
Pattern = Callable[[RGB, RGB, np.random.Generator], Pixels]
PATTERNS: dict[str, Pattern] = {}


def pattern(function: Pattern) -> Pattern:
    """Register a pattern under its function's name."""
    PATTERNS[function.__name__] = function
    return function


@lru_cache(maxsize=4096)
def texture(material: Material) -> Pixels:
    """The material's texture, (h, w, 3) uint8 RGB; the same material always gives the same one."""
    rng = np.random.default_rng((material.variant, *material.colour, len(material.pattern)))
    pixels = PATTERNS[material.pattern](material.colour, material.accent, rng)
    pixels.setflags(write=False)
    return pixels


def flat(colour: RGB, h: int = 64, w: int = 64) -> Pixels:
    """An even (h, w, 3) field of one colour."""
    return np.full((h, w, 3), colour, np.uint8)


def mix(colour: RGB, other: RGB, share: float) -> RGB:
    """The colour with `share` (0 to 1) of the other one in it."""
    r, g, b = (round(c + (o - c) * share) for c, o in zip(colour, other))
    return r, g, b


def darker(colour: RGB, share: float = 0.3) -> RGB:
    """The colour moved towards black."""
    return mix(colour, (12, 12, 14), share)


def lighter(colour: RGB, share: float = 0.3) -> RGB:
    """The colour moved towards white."""
    return mix(colour, (255, 255, 255), share)


def toned(pixels: Pixels, tone: npt.NDArray[np.floating]) -> Pixels:
    """Each pixel multiplied by a (h, w) tone around 1."""
    return np.clip(pixels * tone[..., None], 0, 255).astype(np.uint8)


def grain(rng: np.random.Generator, h: int, w: int, coarse_h: int, coarse_w: int) -> npt.NDArray[np.float32]:
    """Smooth noise (h, w) float32 in [-1, 1], stretched from a coarse grid."""
    coarse = rng.uniform(-1, 1, (coarse_h, coarse_w)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC), np.float32)


@pattern
def plain(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """One colour."""
    return flat(colour, 16, 16)


@pattern
def wood(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """Grain along u, a metre of it."""
    tone = 1 + 0.10 * grain(rng, 64, 64, 32, 3) + 0.06 * grain(rng, 64, 64, 64, 6) + 0.05 * grain(rng, 64, 64, 5, 2)
    return toned(flat(colour), tone)


@pattern
def fabric(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A weave with soft folds."""
    tone = 1 + 0.05 * rng.uniform(-1, 1, (32, 32)) + 0.09 * grain(rng, 32, 32, 4, 4)
    return toned(flat(colour, 32, 32), tone)


@pattern
def folds(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A curtain or a hanging coat: upright folds."""
    wave = np.sin(np.arange(64) * rng.uniform(0.5, 0.9) + 2 * grain(rng, 1, 64, 1, 6)[0])
    return toned(flat(colour), np.broadcast_to(1 + 0.16 * wave, (64, 64)))


@pattern
def wicker(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """Basketwork."""
    rows, columns = np.mgrid[0:32, 0:32]
    woven = ((rows // 4 + columns // 4) % 2) * 0.32 + (rows % 4 == 0) * -0.2
    return toned(flat(colour, 32, 32), 0.82 + woven)


@pattern
def tiles(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """Four by four tiles with joints of the accent colour."""
    tone = cv2.resize(1 + rng.uniform(-0.05, 0.05, (4, 4)), (64, 64), interpolation=cv2.INTER_NEAREST)
    pixels = toned(flat(colour), np.asarray(tone, np.float64))
    pixels[::16] = accent
    pixels[:, ::16] = accent
    return pixels


@pattern
def leaves(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """Foliage."""
    pixels = flat(darker(colour, 0.5))
    for _ in range(46):
        centre = tuple(int(v) for v in rng.integers(0, 64, 2))
        axes = (int(rng.integers(4, 10)), int(rng.integers(2, 4)))
        tone = mix(colour, (200, 220, 120), float(rng.uniform(0, 0.35)))
        cv2.ellipse(pixels, centre, axes, float(rng.uniform(0, 180)), 0, 360, tone, -1)
    return pixels


@pattern
def bricks(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """Running-bond tiles, as behind a kitchen counter."""
    pixels = flat(colour)
    for row in range(8):
        pixels[row * 8] = accent
        pixels[row * 8 : row * 8 + 8, (row % 2) * 8 :: 16] = accent
    return pixels


@pattern
def rug(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A bordered rug with lozenges or stripes."""
    pixels = flat(colour)
    inner = mix(colour, accent, 0.65)
    if rng.random() < 0.5:
        for x in range(8, 64, 12):
            diamond = np.array([[x, 20], [x + 6, 32], [x, 44], [x - 6, 32]])
            cv2.fillConvexPoly(pixels, diamond, inner)
    else:
        for x in range(6, 64, 10):
            pixels[:, x : x + 4] = inner
    cv2.rectangle(pixels, (2, 2), (61, 61), accent, 3)
    return toned(pixels, 1 + 0.08 * rng.uniform(-1, 1, (64, 64)))


@pattern
def slats(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """Horizontal slats with dark gaps."""
    pixels = flat(colour)
    for y in range(0, 64, 8):
        pixels[y : y + 2] = darker(colour, 0.55)
    return pixels


@pattern
def bedding(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A printed duvet cover: checks, stripes or dots on soft cloth."""
    pixels = fabric(colour, accent, rng)
    pixels = np.asarray(cv2.resize(pixels, (64, 64)), np.uint8)
    print_colour = darker(accent, 0.4) if sum(colour) > 420 else lighter(accent, 0.6)
    kind = int(rng.integers(3))
    if kind == 0:
        pixels[::16] = pixels[1::16] = pixels[2::16] = print_colour
        pixels[:, ::16] = pixels[:, 1::16] = pixels[:, 2::16] = print_colour
    elif kind == 1:
        for x in range(0, 64, 10):
            pixels[:, x : x + 4] = print_colour
    else:
        for i, y in enumerate(range(4, 64, 10)):
            for x in range(4 + 5 * (i % 2), 64, 10):
                cv2.circle(pixels, (x, y), 2, print_colour, -1)
    return pixels
