"""Faces with something on them: doors, drawers, appliances, screens, books, pictures, windows."""

from __future__ import annotations

import cv2
import numpy as np

from edgevl_sim.palette import FURNITURE, LINENS
from edgevl_sim.parts import RGB
from edgevl_sim.textures import Pixels, darker, flat, grain, lighter, mix, pattern, toned

GLASS: RGB = (34, 36, 42)


def _panel(pixels: Pixels, x0: int, y0: int, x1: int, y1: int, colour: RGB) -> None:
    """A framed panel with a light upper-left edge and a dark lower-right one."""
    cv2.rectangle(pixels, (x0, y0), (x1, y1), darker(colour, 0.4), 1)
    cv2.line(pixels, (x0 + 1, y0 + 1), (x1 - 1, y0 + 1), lighter(colour, 0.35), 1)
    cv2.line(pixels, (x0 + 1, y0 + 1), (x0 + 1, y1 - 1), lighter(colour, 0.35), 1)


def _dark_edge(pixels: Pixels, colour: RGB) -> None:
    """The gap around a door, so that neighbours stay apart."""
    h, w = pixels.shape[:2]
    cv2.rectangle(pixels, (0, 0), (w - 1, h - 1), darker(colour, 0.6), 1)


@pattern
def cupboard(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """One cupboard door with a handle."""
    pixels = flat(colour)
    _dark_edge(pixels, colour)
    if rng.random() < 0.6:
        _panel(pixels, 9, 9, 54, 54, colour)
    x = 56 if rng.random() < 0.5 else 5
    cv2.rectangle(pixels, (x, 6), (x + 2, 24), accent, -1)
    return pixels


@pattern
def drawers(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """Three or four drawers with bar handles."""
    count = int(rng.integers(3, 5))
    pixels = flat(colour)
    for i in range(count):
        y0, y1 = i * 64 // count, (i + 1) * 64 // count - 1
        cv2.rectangle(pixels, (0, y0), (63, y1), darker(colour, 0.6), 1)
        cv2.rectangle(pixels, (22, y0 + 5), (42, y0 + 7), accent, -1)
    return pixels


@pattern
def oven(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """An oven: knobs, a bar handle, a dark window."""
    pixels = flat(mix(colour, accent, 0.5))
    _dark_edge(pixels, colour)
    cv2.rectangle(pixels, (0, 0), (63, 12), darker(accent, 0.35), -1)
    for x in (8, 18, 46, 56):
        cv2.circle(pixels, (x, 6), 3, lighter(accent, 0.6), -1)
    cv2.rectangle(pixels, (26, 3), (38, 9), (30, 70, 60), -1)
    cv2.rectangle(pixels, (7, 24), (56, 54), GLASS, -1)
    cv2.line(pixels, (12, 50), (30, 27), (78, 82, 90), 2)
    cv2.rectangle(pixels, (8, 16), (55, 19), lighter(accent, 0.5), -1)
    return pixels


@pattern
def dishwasher(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A dishwasher: a control strip over a plain door."""
    pixels = flat(colour)
    _dark_edge(pixels, colour)
    cv2.rectangle(pixels, (1, 1), (62, 10), darker(accent, 0.2), -1)
    cv2.rectangle(pixels, (14, 12), (50, 15), lighter(accent, 0.4), -1)
    return pixels


@pattern
def fridge(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A fridge over a freezer, each with a long handle."""
    pixels = toned(flat(colour, 96, 48), np.broadcast_to(np.linspace(1.05, 0.95, 48), (96, 48)))
    _dark_edge(pixels, colour)
    split = int(rng.integers(28, 64))
    cv2.line(pixels, (0, split), (47, split), darker(colour, 0.7), 2)
    cv2.rectangle(pixels, (5, max(split - 22, 4)), (7, split - 4), accent, -1)
    cv2.rectangle(pixels, (5, split + 5), (7, min(split + 26, 90)), accent, -1)
    return pixels


def _machine(colour: RGB, accent: RGB, rng: np.random.Generator, glass: RGB) -> Pixels:
    pixels = flat(colour, 96, 96)
    _dark_edge(pixels, colour)
    cv2.line(pixels, (0, 18), (95, 18), darker(colour, 0.3), 1)
    cv2.rectangle(pixels, (4, 4), (32, 14), darker(colour, 0.14), -1)
    cv2.circle(pixels, (48, 9), 6, darker(accent, 0.1), -1)
    cv2.rectangle(pixels, (62, 5), (90, 13), GLASS, -1)
    cv2.circle(pixels, (48, 56), 33, darker(accent, 0.15), -1)
    cv2.circle(pixels, (48, 56), 29, lighter(accent, 0.45), 3)
    cv2.circle(pixels, (48, 56), 23, glass, -1)
    cv2.ellipse(pixels, (42, 50), (12, 8), 130, 0, 180, lighter(glass, 0.4), 2)
    cv2.rectangle(pixels, (4, 86), (16, 93), darker(colour, 0.2), -1)
    return pixels


@pattern
def washer(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A washing machine: a round door of dark glass, drawer, dial, display."""
    return _machine(colour, accent, rng, (44, 52, 66))


@pattern
def dryer(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A tumble dryer: a round door in the machine's own colour."""
    return _machine(colour, accent, rng, darker(colour, 0.55))


@pattern
def porthole(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """The round door itself, seen from in front."""
    pixels = flat(darker(accent, 0.1))
    cv2.circle(pixels, (32, 32), 26, lighter(accent, 0.45), 4)
    cv2.circle(pixels, (32, 32), 21, mix(GLASS, colour, 0.2), -1)
    cv2.ellipse(pixels, (26, 26), (13, 8), 135, 0, 180, (120, 130, 146), 3)
    return pixels


@pattern
def books(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A row of book spines."""
    pixels, x = flat(darker(colour, 0.75), 48, 128), 0
    while x < 126:
        w, top = int(rng.integers(4, 11)), int(rng.integers(0, 16))
        if rng.random() < 0.92:
            palette = FURNITURE if rng.random() < 0.7 else LINENS
            spine = palette[int(rng.integers(len(palette)))]
            cv2.rectangle(pixels, (x, top), (x + w - 2, 47), spine, -1)
            cv2.line(pixels, (x, top + 8), (x + w - 2, top + 8), lighter(spine, 0.6), 2)
            cv2.line(pixels, (x, 42), (x + w - 2, 42), darker(spine, 0.4), 1)
        x += w
    return pixels


@pattern
def binders(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """Ring binders in a row: broad spines, white labels, finger holes."""
    pixels = flat(darker(colour, 0.75), 48, 96)
    spines = [FURNITURE[int(i)] for i in rng.integers(0, len(FURNITURE), 2)]
    for i, x in enumerate(range(0, 96, 12)):
        if rng.random() < 0.85:
            cv2.rectangle(pixels, (x, 4), (x + 10, 47), spines[i % 2], -1)
            cv2.rectangle(pixels, (x + 2, 10), (x + 8, 24), (240, 238, 230), -1)
            cv2.circle(pixels, (x + 5, 38), 3, darker(spines[i % 2], 0.6), -1)
    return pixels


@pattern
def television(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A TV: a black frame around a dark or a lit picture."""
    pixels = flat((20, 20, 23), 64, 96)
    screen = pixels[4:58, 4:92]
    if rng.random() < 0.5:
        sky = mix(accent, (120, 170, 220), 0.5)
        screen[:] = sky
        screen[30:] = darker(mix(colour, (70, 110, 60), 0.6), 0.2)
        cv2.circle(screen, (int(rng.integers(15, 72)), 16), 8, (250, 230, 170), -1)
    else:
        screen[:] = (34, 37, 44)
        cv2.line(screen, (10, 50), (50, 4), (62, 66, 76), 6)
    return pixels


@pattern
def monitor(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A computer screen with windows and lines of text."""
    pixels = flat((24, 25, 28), 64, 96)
    cv2.rectangle(pixels, (3, 3), (92, 58), mix((60, 90, 140), accent, 0.5), -1)
    cv2.rectangle(pixels, (10, 8), (60, 50), (236, 238, 240), -1)
    cv2.rectangle(pixels, (10, 8), (60, 13), (90, 110, 140), -1)
    for y in range(18, 48, 5):
        cv2.line(pixels, (14, y), (14 + int(rng.integers(18, 42)), y), (110, 116, 126), 2)
    cv2.rectangle(pixels, (64, 14), (88, 34), (40, 44, 54), -1)
    return pixels


@pattern
def mirror(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A framed mirror with slanting gleams."""
    pixels = flat((176, 192, 202))
    for x in (10, 34):
        cv2.line(pixels, (x, 63), (x + 28, 0), (214, 224, 230), 7)
    cv2.rectangle(pixels, (0, 0), (63, 63), accent, 5)
    return pixels


@pattern
def window(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """Sky and trees behind glazing bars."""
    ramp = np.linspace(0, 1, 64)[:, None]
    sky = np.array([196, 216, 238]) + ramp * (np.array([236, 240, 240]) - np.array([196, 216, 238]))
    pixels = np.repeat(sky[:, None], 64, axis=1).astype(np.uint8)
    hills = (46 + 8 * grain(rng, 1, 64, 1, 6)[0]).astype(int)
    for x in range(64):
        pixels[hills[x] :, x] = (120, 148, 108)
    for x in (0, 31, 63):
        cv2.line(pixels, (x, 0), (x, 63), accent, 4)
    cv2.rectangle(pixels, (0, 0), (63, 63), accent, 5)
    return pixels


@pattern
def picture(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A framed abstract."""
    pixels = flat((232, 228, 218))
    for _ in range(5):
        tone = FURNITURE[int(rng.integers(len(FURNITURE)))]
        x, y, w, h = (int(v) for v in rng.integers(8, 40, 4))
        if rng.random() < 0.5:
            cv2.circle(pixels, (x + 8, y + 8), w // 2, tone, -1)
        else:
            cv2.rectangle(pixels, (x, y), (x + w // 2, y + h // 2), tone, -1)
    cv2.rectangle(pixels, (0, 0), (63, 63), accent, 5)
    return pixels


@pattern
def door(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A room door with panels and a lever."""
    pixels = flat(colour, 96, 48)
    if rng.random() < 0.7:
        for y0, y1 in ((8, 38), (48, 86)):
            _panel(pixels, 8, y0, 39, y1, colour)
    cv2.rectangle(pixels, (38, 46), (45, 48), accent, -1)
    return pixels


@pattern
def radiator(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """Upright fins."""
    pixels = flat(colour)
    pixels[:, ::8] = darker(colour, 0.45)
    pixels[:, 1::8] = darker(colour, 0.2)
    return pixels


@pattern
def wardrobe(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A tall wardrobe door with a long handle, panelled or louvred."""
    pixels = flat(colour, 96, 48)
    _dark_edge(pixels, colour)
    if rng.random() < 0.4:
        pixels[12:84:5, 8:40] = darker(colour, 0.35)
    else:
        _panel(pixels, 7, 7, 40, 88, colour)
    cv2.rectangle(pixels, (42, 40), (44, 60), accent, -1)
    return pixels


@pattern
def carton(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A cardboard box: tape and a label."""
    pixels = flat(colour)
    cv2.rectangle(pixels, (28, 0), (36, 63), lighter(colour, 0.3), -1)
    cv2.rectangle(pixels, (8, 38), (24, 52), (238, 236, 228), -1)
    return pixels


@pattern
def bottle(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A label around a bottle."""
    pixels = flat(colour, 32, 32)
    pixels[10:24] = lighter(accent, 0.5)
    pixels[14:18] = darker(colour, 0.3)
    return pixels


@pattern
def file_drawer(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """One deep file drawer with a label holder."""
    pixels = flat(colour, 48, 64)
    _dark_edge(pixels, colour)
    cv2.rectangle(pixels, (24, 8), (40, 16), (236, 234, 226), -1)
    return pixels


@pattern
def notes(colour: RGB, accent: RGB, rng: np.random.Generator) -> Pixels:
    """A whiteboard: lines of writing, a diagram, sticky notes."""
    pixels = flat((238, 240, 240), 64, 96)
    inks = [(40, 70, 150), (170, 50, 50), (40, 110, 70)]
    for y in range(10, 56, 7):
        x = int(rng.integers(6, 14))
        cv2.line(pixels, (x, y), (x + int(rng.integers(12, 34)), y), inks[int(rng.integers(3))], 1)
    for _ in range(4):
        x, y = int(rng.integers(50, 84)), int(rng.integers(8, 46))
        cv2.rectangle(
            pixels, (x, y), (x + 8, y + 8), ((240, 220, 90), (240, 160, 170), (150, 210, 230))[int(rng.integers(3))], -1
        )
    cv2.rectangle(pixels, (0, 0), (95, 63), accent, 3)
    return pixels
