"""The picture and the depth show the same scene, and that scene is where it was put."""

import dataclasses
import math

import numpy as np
import pytest

from edgevl_sim import home_seed
from edgevl_sim.apartment import Camera, Room, build_room
from edgevl_sim.mesh import build_mesh
from edgevl_sim.parts import Material, Part, box, prism
from edgevl_sim.render import Pose, View, focal_px, render

pytestmark = pytest.mark.unit

H, W = 120, 160
LEVEL = Camera(height_m=0.3, pitch_rad=0.0, fov_rad=math.radians(80))
RED, GREEN = Material(colour=(200, 20, 20)), Material(colour=(20, 200, 20))


def room_of(parts: list[Part]) -> Room:
    """The parts alone, in a big inward box for walls, in a room made for something else."""
    shell = box(0, -8, -8, 16, 16, 16, Material(colour=(128, 128, 128)), furniture=False)
    inward = shell._replace(corners=np.ascontiguousarray(shell.corners[:, ::-1]))
    starts = np.zeros((2, sum(len(part.corners) for part in [inward, *parts])), np.float32)
    mesh, atlas = build_mesh(parts, [inward], [None] * 6, starts)
    return dataclasses.replace(build_room(home_seed(0, "test", 0), "office"), mesh=mesh, atlas=atlas)


def look(parts: list[Part], camera: Camera = LEVEL) -> View:
    """From (0, 0) along y."""
    return render(room_of(parts), camera, Pose(0, 0, math.pi / 2), H, W)


def test_a_box_is_where_it_was_put() -> None:
    view = look([box(0, 2.0, 0, 1.0, 0.5, 0.6, RED)])
    red = view.rgb[..., 0] > 2 * view.rgb[..., 1] + 5
    assert view.depth_m[H // 2, W // 2] == pytest.approx(2.0, abs=1e-4)
    np.testing.assert_allclose(view.depth_m[red], 2.0, atol=1e-3)
    assert (view.depth_m[~red] > 3).mean() > 0.98
    # 1 m wide and 0.6 m high at 2 m
    focal = focal_px(LEVEL, W)
    assert red.any(axis=0).sum() == pytest.approx(focal / 2, abs=2)
    assert red.any(axis=1).sum() == pytest.approx(0.6 * focal / 2, abs=2)


def test_the_nearer_thing_hides_the_farther_one_whatever_their_order() -> None:
    near, far = box(0.1, 1.5, 0, 0.3, 0.2, 0.6, RED), box(0, 2.5, 0, 2.0, 0.2, 0.9, GREEN)
    first, second = look([near, far]), look([far, near])
    np.testing.assert_array_equal(first.depth_m, second.depth_m)
    np.testing.assert_allclose(first.rgb, second.rgb, atol=1e-3)
    assert first.depth_m.min() == pytest.approx(1.5, abs=1e-3)


def test_depth_is_along_the_optical_axis() -> None:
    view = look([box(0, 3.0, -4, 12.0, 0.1, 9, RED)])
    np.testing.assert_allclose(view.depth_m, 3.0, rtol=1e-4)


def test_a_floor_runs_through_the_near_plane() -> None:
    """Depth of the plane below the camera, row by row; the plane passes under and behind the camera."""
    view = look([box(0, -5, -0.1, 12, 12, 0.1, RED)])
    rows = np.arange(H)[:, None]
    slope = (rows - (H - 1) / 2) / focal_px(LEVEL, W)
    below = (slope > 0.1).repeat(W, axis=1)
    np.testing.assert_allclose(view.depth_m[below], (0.3 / slope).repeat(W, axis=1)[below], rtol=1e-3)


def test_a_pitched_camera_sees_higher() -> None:
    high = box(0, 2.0, 1.8, 1.0, 0.2, 0.5, RED)
    level = look([high]).depth_m.min()
    pitched = look([high], LEVEL._replace(pitch_rad=math.radians(15))).depth_m.min()
    assert level > 2.5
    assert pitched < 2.5


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_prisms_are_closed(axis: str) -> None:
    """Every edge of a closed surface is shared by two faces, run through in opposite directions."""
    part = prism(0, 0, 0, 0.5, 1.0, RED, n=8, r_top=0.3, axis=axis)
    edges: dict[tuple[tuple[float, ...], tuple[float, ...]], int] = {}
    outward = 0
    for quad in part.corners:
        points = [tuple(np.round(p, 4).tolist()) for p in quad]
        for a, b in zip(points, points[1:] + points[:1]):
            edges[a, b] = edges.get((a, b), 0) + 1
        normal = np.cross(quad[3] - quad[0], quad[1] - quad[0])
        outward += (quad.mean(axis=0) - part.corners.reshape(-1, 3).mean(axis=0)) @ normal > 0
    assert all(edges.get((b, a)) == n == 1 for (a, b), n in edges.items())
    assert outward == len(part.corners)


def test_nothing_is_left_open_in_a_real_room() -> None:
    room = build_room(home_seed(0, "test", 1), "bathroom")
    w, length, _ = room.size_m
    for yaw in np.linspace(0, 2 * math.pi, 8, endpoint=False):
        view = render(room, LEVEL, Pose(w / 2, length / 2, float(yaw)), 60, 80)
        assert view.depth_m.max() < math.hypot(w, length)
        assert np.isfinite(view.rgb).all()
