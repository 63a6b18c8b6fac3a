"""The cameras: depth with a real one's faults, RGB that needs light."""

import numpy as np
import pytest

from edgevl_sim import Frame, drive, home_seed
from edgevl_sim.mesh import Mesh
from edgevl_sim.render import View
from edgevl_sim.sensor import exposure_of, sense_depth, sense_rgb

pytestmark = pytest.mark.unit

H, W = 240, 320
FOCAL = 200.0


def mesh_of(luma: float = 0.6, shine: float = 0.0) -> Mesh:
    """One face of this brightness and shine; its shape does not matter to a sensor."""
    none = np.zeros((1, 4), np.float32)
    one = np.ones(1, np.float32)
    return Mesh(none, none, none, none, one, one, one * shine, one * luma, np.ones(1, bool))


def view_of(depth_m: np.ndarray, incidence: float = 1.0) -> View:
    """These depths on that face, in grey."""
    depth = np.asarray(depth_m, np.float32)
    face = np.zeros(depth.shape, np.intp)
    return View(np.full((*depth.shape, 3), 120, np.float32), depth, face, np.full_like(depth, incidence))


def sensed(depth_m: np.ndarray, incidence: float = 1.0, **mesh: float) -> np.ndarray:
    """What the depth sensor says, metres, 0 where nothing."""
    rng = np.random.default_rng(1)
    return sense_depth(view_of(depth_m, incidence), mesh_of(**mesh), FOCAL, rng) / 1000


def test_range_limits() -> None:
    assert not sensed(np.full((H, W), 0.15)).any()
    assert not sensed(np.full((H, W), 8.5)).any()
    assert (sensed(np.full((H, W), 1.0)) > 0).mean() > 0.99


def test_error_and_steps_grow_with_the_square_of_the_distance() -> None:
    spread, levels = [], []
    for z in (1.0, 2.0, 4.0):
        d = sensed(np.full((H, W), z))
        valid = d[d > 0]
        assert valid.mean() == pytest.approx(z, rel=0.005)
        spread.append(valid.std())
        levels.append(np.diff(np.unique(valid)).min())
    assert spread[0] < 0.006
    assert 2 < spread[1] / spread[0] < 5
    assert 3 < spread[2] / spread[1] < 5
    assert levels[2] > 3 * levels[1] > 6 * levels[0]


def test_a_near_object_throws_a_shadow_to_one_side() -> None:
    depth = np.full((H, W), 3.0)
    depth[:, 140:180] = 1.0
    missing = (sensed(depth)[20:-20] == 0).mean(axis=0)
    left, right = missing[127:140].mean(), missing[180:193].mean()
    assert min(left, right) < 0.1
    # focal * baseline * (1/1 - 1/3) = 6.7 pixels of 13
    assert max(left, right) > 0.35


def test_dark_shiny_and_grazing_surfaces_fail_in_patches() -> None:
    plane = np.full((H, W), 2.0)
    assert 0.1 < (sensed(plane, luma=0.05) == 0).mean() < 0.6
    assert 0.4 < (sensed(plane, shine=0.9) == 0).mean() < 0.9
    grazing = sensed(plane, incidence=0.08) == 0
    assert 0.3 < grazing.mean() < 0.95
    # Patches: a missing pixel's neighbour is missing more often than chance has it.
    dark = sensed(plane, luma=0.05) == 0
    assert (dark[:, 1:] & dark[:, :-1]).mean() > 1.8 * dark.mean() ** 2


def test_typical_share_of_holes() -> None:
    holes = [float((f.depth_mm == 0).mean()) for f in drive(home_seed(0, "test", 2), frames_per_room=1)]
    assert 0.02 < np.mean(holes) < 0.2


def test_in_the_dark_rgb_is_noise_and_depth_goes_on() -> None:
    lit, dark = (list(drive(home_seed(0, "test", 3), frames_per_room=1, lights=on)) for on in ("on", "off"))
    for a, b in zip(lit, dark):
        luma = b.rgb.mean(axis=2)
        assert 1 <= luma.mean() <= 4
        assert abs(np.corrcoef(luma.ravel(), a.rgb.mean(axis=2).ravel())[0, 1]) < 0.02
        np.testing.assert_array_equal(a.depth_true_m, b.depth_true_m)
        assert (a.depth_mm == 0).mean() == pytest.approx((b.depth_mm == 0).mean(), abs=0.02)
        both = (a.depth_mm > 0) & (b.depth_mm > 0)
        assert np.abs(a.depth_mm[both].astype(int) - b.depth_mm[both]).mean() < 60


def test_dimmer_rooms_are_darker_and_noisier() -> None:
    view = view_of(np.full((H, W), 2.0))
    frames = [
        sense_rgb(view, exposure_of(np.random.default_rng(5), level), np.random.default_rng(6))
        for level in (0.05, 0.3, 1.0)
    ]
    brightness = [float(f.mean()) for f in frames]
    noise = [float(f[..., 1].std() / f[..., 1].mean()) for f in frames]
    assert 15 < brightness[0] < brightness[1] < brightness[2]
    assert noise[0] > noise[1] > noise[2]


def test_mixed_light_dims_some_rooms_and_darkens_none() -> None:
    levels: list[float] = []
    for i in range(3):
        frames: list[Frame] = list(drive(home_seed(0, "val", i), frames_per_room=1, lights="mixed", size=(30, 40)))
        levels += [f.light for f in frames]
    dimmed = [v for v in levels if v < 1]
    assert 2 <= len(dimmed) <= 16
    assert all(0.05 <= v <= 0.5 for v in dimmed)
