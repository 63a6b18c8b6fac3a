"""What the cameras make of a view: an RGB sensor with exposure and noise, a depth sensor with all its gaps.

The depth model follows what is known of structured light and stereo: an error that grows with the square of the
distance (Khoshelham and Elberink 2012, Sensors 12(2)), shadows beside near objects, nothing from dark, shiny or
grazing surfaces.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edgevl_sim.mesh import Mesh
from edgevl_sim.parts import Floats
from edgevl_sim.render import View

DEPTH_MIN_M, DEPTH_MAX_M = 0.2, 8.0
STEP_PER_M2 = 0.0022  # depth step at distance z: this times z squared
NOISE_PER_M2 = 0.0011
BASELINE_M = 0.05
_TILE = 512


class Exposure(NamedTuple):
    """A room's light as the RGB camera has it: level 0 (no light) to 1 (lit); tint (3,) the light's colour."""

    level: float
    tint: tuple[float, float, float]
    target: float


def exposure_of(rng: np.random.Generator, level: float) -> Exposure:
    """A draw of light colour (warm to cool) and of the brightness the camera aims at."""
    warm = float(rng.uniform(-1, 1))
    tint = (1 + 0.10 * warm, 1 + float(rng.uniform(-0.015, 0.015)), 1 - 0.12 * warm)
    return Exposure(level, tint, float(rng.uniform(105, 140)))


def sense_rgb(view: View, exposure: Exposure, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB. At level 0 only the sensor's own noise is left: mean luma of 1 to 4."""
    h, w = view.depth_m.shape
    grey = _crop(_noise_tiles()[0], rng, h, w)
    if exposure.level <= 0:
        coloured = _crop(_noise_tiles()[1], rng, h, w)
        return np.clip(1.6 + 1.9 * coloured + grey[..., None], 0, 255).astype(np.uint8)
    # Automatic exposure evens out most of a dim room, at the price of noise; what it cannot reach stays dark.
    gain = np.clip(exposure.target / max(float(view.rgb[::4, ::4].mean()), 1.0), 0.75, 1.6) * exposure.level**0.45
    image = view.rgb * (np.array(exposure.tint, np.float32) * np.float32(gain))
    sigma = np.float32(1.6 + 3.0 * (1 - exposure.level))
    image += _crop(_noise_tiles()[1], rng, h, w) * sigma
    image = np.clip(image, 0, 255).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(image, (3, 3), 0.55), np.uint8)


def sense_depth(view: View, mesh: Mesh, focal_px: float, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """(H, W) uint16 millimetres, 0 where the sensor has no answer. Needs no light."""
    h, w = view.depth_m.shape
    z = view.depth_m
    normal = _crop(_noise_tiles()[0], rng, h, w)
    step = np.float32(STEP_PER_M2) * z * z + np.float32(0.0005)
    measured = z + normal * (np.float32(NOISE_PER_M2) * z * z + np.float32(0.001))
    measured = np.round(measured / step) * step
    valid = (z >= DEPTH_MIN_M) & (z <= DEPTH_MAX_M)
    # The projector stands to the camera's left: what it lights must not lie behind something to the left.
    disparity = np.float32(focal_px * BASELINE_M) / z
    lit_from = np.arange(w, dtype=np.float32) + disparity
    reach = np.maximum.accumulate(lit_from, axis=1)
    valid &= lit_from > reach - np.float32(0.75)
    # Weak echoes: dark, shiny, far or grazing surfaces fail in patches.
    face = view.face
    weak = np.take((0.75 * mesh.shine + 0.42 * np.clip(0.24 - mesh.luma, 0, 1) / 0.24).astype(np.float32), face)
    weak += np.float32(0.9) * np.maximum(np.float32(0.22) - view.incidence, 0) / np.float32(0.22)
    weak += np.float32(0.05) * np.maximum(z - 4, 0)
    valid &= _crop(_noise_tiles()[2], rng, h, w) >= weak
    # Edges: a pixel that sees two depths answers for neither, most of the time.
    jump = np.abs(np.diff(z, axis=1, prepend=z[:, :1])) + np.abs(np.diff(z, axis=0, prepend=z[:1]))
    valid &= ~((jump > 0.06 * z) & (normal > -0.7))
    return np.where(valid, np.clip(measured * 1000, 1, 65535), 0).astype(np.uint16)


_cache: dict[str, tuple[Floats, Floats, Floats]] = {}


def _noise_tiles() -> tuple[Floats, Floats, Floats]:
    """Fixed noise to take random crops of: normal (T, T), normal (T, T, 3), patchy uniform 0..1 (T, T); T = 1024.

    Drawing fresh noise would cost more than rendering; a crop at a random place looks the same.
    """
    if "tiles" not in _cache:
        rng = np.random.default_rng(7)
        n = 2 * _TILE
        grey = rng.standard_normal((n, n), dtype=np.float32)
        colour = rng.standard_normal((n, n, 3), dtype=np.float32)
        coarse = cv2.GaussianBlur(rng.standard_normal((n, n), dtype=np.float32), (0, 0), 3.0)
        rough = coarse / coarse.std() + 0.25 * grey[::-1]
        ranks = np.empty(n * n, np.float32)
        ranks[np.argsort(rough, axis=None, kind="stable")] = np.linspace(0, 1, n * n, dtype=np.float32)
        _cache["tiles"] = grey, colour, ranks.reshape(n, n)
    return _cache["tiles"]


def _crop(tile: Floats, rng: np.random.Generator, h: int, w: int) -> Floats:
    y, x = int(rng.integers(0, tile.shape[0] - h + 1)), int(rng.integers(0, tile.shape[1] - w + 1))
    return tile[y : y + h, x : x + w]
