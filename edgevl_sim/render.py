"""Rasterise a room: a z-buffer over quads, then texture and light for the whole frame at once.

On a plane, inverse depth is affine in pixel coordinates, so that a quad's depth test is a few array operations on
its bounding box. Only depth and the quad's number are written there; textures and light follow in one pass over
the frame, so that their cost does not grow with the furniture.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edgevl_sim.apartment import Camera, Room
from edgevl_sim.mesh import Mesh
from edgevl_sim.parts import Floats

NEAR_M = 0.05
SHIFT = 4  # fractional bits of a polygon's corners


class Pose(NamedTuple):
    """Where the camera is, metres, and where it looks, radians anticlockwise from x."""

    x: float
    y: float
    yaw: float


class View(NamedTuple):
    """A frame before any sensor. depth_m (H, W) float32 along the optical axis; face (H, W) intp: the quad seen.

    rgb (H, W, 3) float32: linear-in-display light, about 0 to 255, for a fully lit room; incidence (H, W) float32:
    cosine between the ray and the surface's normal, 0 (grazing) to 1.
    """

    rgb: Floats
    depth_m: Floats
    face: npt.NDArray[np.intp]
    incidence: Floats


def focal_px(camera: Camera, width: int) -> float:
    """Focal length in pixels of a frame this wide."""
    return float(width / 2 / np.tan(camera.fov_rad / 2))


def render(room: Room, camera: Camera, pose: Pose, height: int, width: int) -> View:
    """The room as this camera sees it, height x width pixels, optical axis at the middle of the frame."""
    focal = focal_px(camera, width)
    mesh = room.mesh
    eye = np.array([pose.x, pose.y, camera.height_m], np.float32)
    turn = _world_to_camera(pose.yaw, camera.pitch_rad)
    inverse_depth, face = _rasterise(mesh, eye, turn, focal, height, width)
    ray_x = ((np.arange(width, dtype=np.float32) - (width - 1) / 2) / np.float32(focal))[None]
    ray_y = ((np.arange(height, dtype=np.float32) - (height - 1) / 2) / np.float32(focal))[:, None]
    depth = np.float32(1) / inverse_depth
    albedo = _texture(room, eye, turn, face, depth, ray_x, ray_y, focal)
    light, incidence = _light(room, eye, turn, face, depth, ray_x, ray_y)
    # Display values are square roots of light (a gamma of 2), so a texture is multiplied by the root of the light.
    return View(albedo * cv2.sqrt(light)[..., None], depth, face, incidence)


def _world_to_camera(yaw: float, pitch: float) -> Floats:
    """(3, 3): rows are the camera's right, down and forward in world coordinates."""
    c, s, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    forward = [c * cp, s * cp, sp]
    right = [s, -c, 0.0]
    down = [c * sp, s * sp, -cp]
    return np.array([right, down, forward], np.float32)


def _rasterise(
    mesh: Mesh, eye: Floats, turn: Floats, focal: float, height: int, width: int
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """1 / depth (H, W), and the face that each pixel shows."""
    points = (mesh.corners - eye) @ turn.T
    normals = mesh.normals @ turn.T
    distance = np.einsum("ij,ij->i", normals, points[:, 0])  # negative: the face looks at the camera
    z = points[..., 2]
    numbers = _in_view(points, distance, width / 2 / focal, height / 2 / focal)
    inverse = np.full((height, width), 1e-3, np.float32)
    face = np.zeros((height, width), np.intp)
    # 1 / z = (n . ray) / distance, with ray = ((x - cx) / f, (y - cy) / f, 1)
    plane = normals[numbers] / distance[numbers, None]
    a, b = plane[:, 0] / focal, plane[:, 1] / focal
    cx, cy = (width - 1) / 2, (height - 1) / 2
    c = plane[:, 2] - a * cx - b * cy
    whole = z[numbers].min(axis=1) > NEAR_M
    safe = np.maximum(z[numbers], NEAR_M)
    pixels = points[numbers, :, :2] * (focal / safe[..., None]) + np.array([cx, cy], np.float32)
    low = np.clip(np.floor(pixels.min(axis=1)).astype(int), 0, [width, height])
    high = np.clip(np.ceil(pixels.max(axis=1)).astype(int) + 1, 0, [width, height])
    fixed = np.round((pixels - low[:, None]) * (1 << SHIFT)).astype(np.int32)
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    slope_x, slope_y, constant = a.astype(np.float32), b.astype(np.float32), c.astype(np.float32)
    boxes = np.concatenate([low, high], axis=1).tolist()
    nearest, farthest = (1 / safe.min(axis=1)).tolist(), (1 / np.maximum(z[numbers].max(axis=1), NEAR_M)).tolist()
    for i, number in enumerate(numbers.tolist()):
        x0, y0, x1, y1 = boxes[i]
        polygon = fixed[i]
        if not whole[i]:
            clipped = _clip_near(points[number])
            flat = clipped[:, :2] * (focal / clipped[:, 2:]) + (cx, cy)
            x0, y0 = np.clip(np.floor(flat.min(axis=0)).astype(int), 0, (width, height)).tolist()
            x1, y1 = np.clip(np.ceil(flat.max(axis=0)).astype(int) + 1, 0, (width, height)).tolist()
            polygon = np.round((flat - (x0, y0)) * (1 << SHIFT)).astype(np.int32)
        if x1 <= x0 or y1 <= y0:
            continue
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillConvexPoly(mask, polygon, 1, cv2.LINE_8, SHIFT)
        value = slope_x[i] * columns[x0:x1] + (slope_y[i] * rows[y0:y1] + constant[i])
        # A polygon's rim covers pixels whose middle lies beside it; on a steep face the plane runs far off there.
        np.minimum(value, nearest[i], out=value)
        np.maximum(value, farthest[i], out=value)
        under = inverse[y0:y1, x0:x1]
        nearer = value > under
        nearer &= mask.view(np.bool_)
        np.copyto(under, value, where=nearer)
        np.copyto(face[y0:y1, x0:x1], number, where=nearer)
    return inverse, face


def _in_view(
    points: npt.NDArray[np.floating], distance: npt.NDArray[np.floating], tan_x: float, tan_y: float
) -> npt.NDArray[np.intp]:
    """Numbers of the faces that look at the camera and lie in its view, the nearest first."""
    z = points[..., 2]
    seen = distance < -1e-5
    seen &= z.max(axis=1) > NEAR_M
    seen &= (points[..., 0] < tan_x * z).any(axis=1) & (points[..., 0] > -tan_x * z).any(axis=1)
    seen &= (points[..., 1] < tan_y * z).any(axis=1) & (points[..., 1] > -tan_y * z).any(axis=1)
    numbers = np.flatnonzero(seen)
    return numbers[np.argsort(z[numbers].min(axis=1), kind="stable")]


def _clip_near(polygon: Floats) -> Floats:
    """The part of a polygon (N, 3) in camera coordinates that lies beyond the near plane."""
    out = []
    for p, q in zip(polygon, np.roll(polygon, -1, axis=0)):
        if p[2] > NEAR_M:
            out.append(p)
        if (p[2] > NEAR_M) != (q[2] > NEAR_M):
            out.append(p + (q - p) * ((NEAR_M - p[2]) / (q[2] - p[2])))
    return np.array(out, np.float32)


def _texture(
    room: Room,
    eye: Floats,
    turn: Floats,
    face: npt.NDArray[np.intp],
    depth: Floats,
    ray_x: Floats,
    ray_y: Floats,
    focal: float,
) -> Floats:
    mesh, atlas = room.mesh, room.atlas
    # Halve the texture until a pixel of it is about a pixel of the frame.
    pixels_per_pixel = np.take(mesh.density, face) * depth * np.float32(1.2 / focal)
    level = np.clip((pixels_per_pixel.view(np.int32) >> 23) - 126, 0, len(atlas.offsets) - 1)
    scale = np.ldexp(np.float32(1), -np.arange(len(atlas.offsets))).astype(np.float32)[level]
    maps = []
    for axis, plane in enumerate((mesh.u, mesh.v)):
        gradient = plane[:, :3] @ turn.T
        start = plane[:, :3] @ eye + plane[:, 3]
        at = np.take(gradient[:, 0], face) * ray_x
        at += np.take(gradient[:, 1], face) * ray_y
        at += np.take(gradient[:, 2], face)
        at *= depth
        at += np.take(start, face)
        # The rim of a face may lie a little beside it: it keeps to its own texture there.
        np.maximum(at, np.take(plane[:, 4], face), out=at)
        np.minimum(at, np.take(plane[:, 5], face), out=at)
        at *= scale
        at += atlas.offsets[:, axis][level] - np.float32(0.5)
        maps.append(at)
    return cv2.remap(atlas.pixels, maps[0], maps[1], cv2.INTER_LINEAR).astype(np.float32)


def _light(
    room: Room, eye: Floats, turn: Floats, face: npt.NDArray[np.intp], depth: Floats, ray_x: Floats, ray_y: Floats
) -> tuple[Floats, Floats]:
    """Light (H, W) on what each pixel shows: ambient, a lamp and a window, dim near the floor; and the incidence."""
    mesh = room.mesh
    first = mesh.corners[:, 0]
    ambient = 0.30 + 0.06 * mesh.normals[:, 2] + 0.04 * mesh.normals[:, 0]
    light = np.take(ambient.astype(np.float32), face)
    ray_squared = ray_x * ray_x + ray_y * ray_y + np.float32(1)
    for lamp in room.lamps:
        if lamp[3] == 0:
            continue
        # A plane's distance to the lamp is the same all over it: cos(angle) = height / r.
        height = np.maximum(np.einsum("ij,ij->i", mesh.normals, lamp[:3] - first), 0).astype(np.float32)
        to_eye = (eye - lamp[:3]).astype(np.float32)
        along = turn @ to_eye
        squared = (along[0] * ray_x + along[1] * ray_y + along[2]) * (2 * depth)
        squared += depth * depth * ray_squared
        squared += np.float32(to_eye @ to_eye) + np.float32(0.02)
        fall = np.take(height, face) / (cv2.sqrt(squared) * (1 + squared * np.float32(0.10)))
        light += fall * np.float32(1.3 * lamp[3])
    up = (turn[0, 2] * ray_x + turn[1, 2] * ray_y + turn[2, 2]) * depth + eye[2]
    light *= np.minimum(np.float32(0.62) + up, np.float32(1))
    np.maximum(light, np.take(mesh.glow, face), out=light)
    facing = np.abs(np.einsum("ij,ij->i", mesh.normals, eye - first)).astype(np.float32)
    incidence = np.take(facing, face) / (depth * cv2.sqrt(ray_squared))
    return light, np.minimum(incidence, np.float32(1))
