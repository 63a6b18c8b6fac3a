"""How far each camera is believed: never further the darker it is, nor the more holes it has."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevl_core.bundle.fusion import Curve, Trust, depth_quality, mix, probabilities, rgb_quality
from edgevl_core.camera.depth import ENCODINGS
from edgevl_core.camera.preprocess import Preprocess, to_input

pytestmark = pytest.mark.unit
few = settings(max_examples=40)
SCENE = np.random.default_rng(0).integers(60, 256, (32, 32, 3), dtype=np.uint8)


@few
@given(st.floats(0, 1), st.floats(0, 1))
def test_darker_is_never_believed_more(one: float, other: float) -> None:
    dim, bright = ((SCENE * light).astype(np.uint8) for light in sorted((one, other)))
    assert 0 <= rgb_quality(dim) <= rgb_quality(bright) <= 1


def test_from_lights_out_to_full_light() -> None:
    assert rgb_quality(SCENE) == 1
    assert rgb_quality((SCENE * 0.02).astype(np.uint8)) == 0
    half = np.random.default_rng(0).choice(np.array([0, 40], np.uint8), (32, 32, 1)).repeat(3, 2)
    assert rgb_quality(half) == pytest.approx((half.mean() - 8) / 24, abs=1e-3)


def test_a_measured_curve_replaces_the_default() -> None:
    curve = Curve(at=(2.0, 4.0, 100.0), weight=(0.0, 0.5, 1.0))
    dusk = (SCENE * 0.06).astype(np.uint8)
    assert rgb_quality(dusk) < 0.1 < 0.5 < rgb_quality(dusk, curve) < 0.6
    covered = np.full((16, 16, 3), 200, np.uint8)
    assert rgb_quality(covered, curve) == 0  # no contrast, whatever the light
    half = np.zeros((8, 8, 3), np.uint8)
    half[:4] = 255
    assert depth_quality(half, Curve(at=(0.0, 1.0), weight=(0.0, 0.2))) == pytest.approx(0.1)


@few
@given(st.floats(0.06, 1), st.floats(5, 200), st.integers(0, 99))
def test_a_covered_lens_is_told_from_dusk(light: float, luma: float, seed: int) -> None:
    """Contrast counts as a share of brightness, and without the camera's own noise."""
    always = Curve(at=(0.0,), weight=(1.0,))
    assert rgb_quality((SCENE * light).astype(np.uint8), always) == 1
    noise = np.random.default_rng(seed).normal(luma, 1.8, (32, 32, 3))
    assert rgb_quality(noise.clip(0, 255).astype(np.uint8), always) < 0.5


@pytest.mark.parametrize(
    ("at", "weight"),
    [
        ((1, 1), (0, 1)),
        ((2, 1), (0, 1)),
        ((1, 2), (1, 0)),
        ((1, 2), (0, 2)),
        ((1,), (0, 1)),
        ((1,), (float("nan"),)),
        ((), ()),
    ],
)
def test_what_is_no_curve_is_refused(at: tuple[float, ...], weight: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"must|finite|at least 1"):
        Curve(at=at, weight=weight)


def test_trust_survives_json() -> None:
    trust = Trust(rgb=Curve(at=(1.5, 30.25), weight=(0.0, 0.75)))
    assert Trust.model_validate_json(trust.model_dump_json()) == trust


@few
@given(st.integers(0, 32), st.integers(0, 32), st.sampled_from(ENCODINGS))
def test_more_holes_are_never_believed_more(one: int, other: int, encoding: str) -> None:
    p = Preprocess(size_px=32, depth_encoding=encoding)

    def quality(seen_columns: int) -> float:
        depth_m = np.full((32, 32), np.nan, np.float32)
        depth_m[:, :seen_columns] = np.linspace(0.5, 4, 32)[:, None]
        return float(depth_quality(to_input(depth_m, p)))

    few_seen, many_seen = sorted((one, other))
    assert 0 <= quality(few_seen) <= quality(many_seen) <= 1
    valid = many_seen / 32
    assert quality(many_seen) == pytest.approx(np.clip((valid - 0.1) / 0.3, 0, 1), abs=1e-5)


@few
@given(st.integers(0, 10_000), st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_the_mixture_lies_between_both_cameras(seed: int, rgb: float, depth: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 6)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    mixture = mix(x, np.array([rgb, depth], np.float32))
    assert np.linalg.norm(mixture) <= 1 + 1e-6
    text = rng.normal(size=6).astype(np.float32)
    low, high = sorted(x @ text)
    assert low - 1e-4 <= mixture @ text <= high + 1e-4
    if rgb > depth:  # the one that is believed more decides more
        assert mixture @ x[0] >= mixture @ x[1] - 1e-5


def test_cameras_that_disagree_make_less_sure() -> None:
    bank = np.eye(3, dtype=np.float32)
    even = np.ones(2, np.float32)
    agree, disagree = (probabilities(mix(bank[rows], even), bank, 10.0, 1.0).max() for rows in ([0, 0], [0, 1]))
    assert disagree == pytest.approx(0.5, abs=0.01)
    assert agree > 0.99
