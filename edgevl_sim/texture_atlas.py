"""All textures of a room in one image with its halvings beside it, so that one cv2.remap textures a whole frame."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edgevl_sim.textures import Pixels

LEVELS = 4
PAD = 1 << (LEVELS - 1)  # one pixel of border is left at the smallest level
WIDTH = 1024


class Atlas(NamedTuple):
    """pixels (H, W, 3) uint8: level 0 at the left, levels 1 to 3 stacked to its right.

    places (N, 4) float32: x, y, width, height of each texture at level 0. offsets (LEVELS, 2) float32: where a
    level starts. luma (N,) float32: each texture's mean brightness, 0 to 1.
    """

    pixels: Pixels
    places: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.float32]
    luma: npt.NDArray[np.float32]


def build_atlas(textures: list[Pixels]) -> Atlas:
    """Pack textures (their sides multiples of 16 px, at most 1008) into shelves, highest first."""
    order = sorted(range(len(textures)), key=lambda i: (-textures[i].shape[0], i))
    places = np.zeros((len(textures), 4), np.float32)
    corners: list[tuple[int, int]] = [(0, 0)] * len(textures)
    x = y = shelf = 0
    for i in order:
        h, w = (n + 2 * PAD for n in textures[i].shape[:2])
        if x + w > WIDTH:
            x, y, shelf = 0, y + shelf, 0
        shelf = max(shelf, h)
        corners[i] = (x, y)
        places[i] = (x + PAD, y + PAD, w - 2 * PAD, h - 2 * PAD)
        x += w
    height = y + shelf
    pixels = np.zeros((height, WIDTH + WIDTH // 2, 3), np.uint8)
    for texture, (x, y) in zip(textures, corners):
        h, w = (n + 2 * PAD for n in texture.shape[:2])
        pixels[y : y + h, x : x + w] = cv2.copyMakeBorder(texture, PAD, PAD, PAD, PAD, cv2.BORDER_REPLICATE)
    offsets = np.zeros((LEVELS, 2), np.float32)
    level, top = pixels[:, :WIDTH], 0
    for k in range(1, LEVELS):
        h, w = level.shape[0] // 2, level.shape[1] // 2
        level = np.asarray(cv2.resize(level, (w, h), interpolation=cv2.INTER_AREA), np.uint8)
        pixels[top : top + h, WIDTH : WIDTH + w] = level
        offsets[k] = (WIDTH, top)
        top += h
    luma = np.array([float(t.mean()) / 255 for t in textures], np.float32)
    return Atlas(pixels, places, offsets, luma)
