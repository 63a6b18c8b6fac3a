"""All faces of a room as arrays, with what is needed to texture and light them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgevl_sim import furniture_textures  # noqa: F401  (registers its patterns)
from edgevl_sim.parts import Floats, Material, Part
from edgevl_sim.texture_atlas import Atlas, build_atlas
from edgevl_sim.textures import Pixels, texture


class Mesh(NamedTuple):
    """F textured quads. Everything a frame does not change.

    corners (F, 4, 3), normals (F, 3) unit, outwards; u and v (F, 6): texture coordinates as plane equations,
    u = p . u[:3] + u[3] in pixels of the atlas's level 0, and the range u[4] to u[5] that is the face's own;
    density (F,) texture pixels a metre; glow, shine, luma (F,) 0 to 1; furniture (F,) bool.
    """

    corners: Floats
    normals: Floats
    u: Floats
    v: Floats
    density: Floats
    glow: Floats
    shine: Floats
    luma: Floats
    furniture: npt.NDArray[np.bool_]


def build_mesh(parts: list[Part], shell: list[Part], baked: list[Pixels | None], starts: Floats) -> tuple[Mesh, Atlas]:
    """One mesh of everything: the shell's faces first, textured as baked says, then the parts.

    starts (2, F) float32, 0 to 1: where along u and v a face begins in a texture that is larger than it.
    """
    everything = shell + parts
    corners = np.concatenate([p.corners for p in everything]).astype(np.float32)
    frames = np.concatenate([p.frames for p in everything]).astype(np.float32)
    materials = [m for p in everything for m in p.materials]
    textures = [t for t in baked if t is not None]
    index: dict[Material, int] = {}
    which = np.empty(len(materials), np.intp)
    taken = 0
    for i, m in enumerate(materials):
        if i < len(baked) and baked[i] is not None:
            which[i] = taken
            taken += 1
            continue
        key = m._replace(glow=0.0, shine=0.0, span_m=0.0)
        if key not in index:
            index[key] = len(textures)
            textures.append(texture(key))
        which[i] = index[key]
    atlas = build_atlas(textures)
    span = np.array([m.span_m for m in materials], np.float32)
    u, v, density = _texture_planes(frames, span, atlas.places[which], starts)
    edges = corners[:, 3] - corners[:, 0], corners[:, 1] - corners[:, 0]
    normals = np.cross(*edges)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    mesh = Mesh(
        corners,
        normals,
        u,
        v,
        density,
        np.array([m.glow for m in materials], np.float32),
        np.array([m.shine for m in materials], np.float32),
        atlas.luma[which],
        np.concatenate([np.full(len(p.corners), p.furniture) for p in everything]),
    )
    return mesh, atlas


def _texture_planes(frames: Floats, span: Floats, places: Floats, starts: Floats) -> tuple[Floats, Floats, Floats]:
    """Mesh.u and Mesh.v (F, 6), and texture pixels a metre (F,)."""
    planes, densities = [], []
    for axis in (0, 1):
        direction = frames[:, 1 + axis]
        length = np.maximum(np.linalg.norm(direction, axis=1), 1e-4)
        share = np.where(span > 0, np.minimum(1.0, length / np.maximum(span, 1e-3)), 1.0)
        start = starts[axis] * (1 - share)
        pixels = places[:, 2 + axis] * share
        gradient = direction * (pixels / length**2)[:, None]
        low = places[:, axis] + start * places[:, 2 + axis]
        offset = low - np.einsum("ij,ij->i", gradient, frames[:, 0])
        planes.append(np.column_stack([gradient, offset, low + 0.5, low + pixels - 0.5]).astype(np.float32))
        densities.append(pixels / length)
    return planes[0], planes[1], np.sqrt(densities[0] * densities[1]).astype(np.float32)
