import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgevl_core.bundle.fusion import probabilities
from edgevl_train.evaluation.confidence import (
    COLDEST,
    HOTTEST,
    at_a_bound,
    calibrate_confidence,
    expected_calibration_error,
    fit_temperature,
    mean_cosine,
    unknown_threshold,
)
from edgevl_train.evaluation.predictions import Embedded

pytestmark = pytest.mark.unit
BANK = np.eye(8, 16, dtype=np.float32)
few = settings(max_examples=40)
confidences = arrays(np.float32, st.integers(1, 80), elements=st.floats(0, 1, width=32))


def noisy(count: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 8, count)
    x = BANK[kind] + rng.normal(0, noise, (count, 16)).astype(np.float32)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), kind


def hard(answer: np.ndarray) -> np.ndarray:
    """(N, 8): all on one answer."""
    return np.eye(8, dtype=np.float32)[answer]


def lit(rgb: np.ndarray, depth: np.ndarray, trust: float = 1.0) -> Embedded:
    quality = np.ones((2, len(rgb)), np.float32)
    quality[0] = trust
    return Embedded(rgb.astype(np.float32), depth.astype(np.float32), quality)


def test_fitted_temperature_calibrates_unseen_pairs() -> None:
    fit, answer = noisy(4000, 0.6)
    temperature = fit_temperature(fit, BANK, 50.0, hard(answer))
    test, true = noisy(4000, 0.6, seed=1)
    p, raw = probabilities(test, BANK, 50.0, temperature), probabilities(test, BANK, 50.0, 1.0)
    assert temperature > 2  # the untouched scale is far too sure
    assert expected_calibration_error(p.max(1), p.argmax(1) == true) < 0.05
    assert expected_calibration_error(raw.max(1), raw.argmax(1) == true) > 0.1


def test_temperature_is_where_the_likelihood_peaks() -> None:
    x, answer = noisy(500, 0.5)
    best = fit_temperature(x, BANK, 20.0, hard(answer))

    def cost(temperature: float) -> float:
        return -np.log(probabilities(x, BANK, 20.0, temperature)[np.arange(500), answer]).mean()

    assert cost(best) <= min(cost(best * 0.98), cost(best * 1.02))


def test_calibration_error_against_its_definition() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5])
    right = np.array([True, True, True, False, True, False])
    assert expected_calibration_error(confidence, right) == pytest.approx(4 / 6 * 0.15)
    assert expected_calibration_error(np.array([1.0]), np.array([True])) == 0


def test_each_modality_has_its_own_temperature_and_threshold() -> None:
    rgb, kind = noisy(600, 0.2)
    depth, _ = noisy(600, 0.2)
    depth = np.roll(depth, 1, axis=0) * 0.3 + depth * 0.7  # less sure
    depth /= np.linalg.norm(depth, axis=1, keepdims=True)
    result = calibrate_confidence(lit(rgb, depth), BANK, 20.0, BANK[kind], 0.1)
    assert result.temperature.depth != result.temperature.rgb
    p = probabilities(rgb, BANK, 20.0, result.temperature.rgb)
    right = p.argmax(1) == kind
    assert (p.max(1)[right] < result.unknown_threshold.rgb).mean() == pytest.approx(0.1, abs=0.01)
    assert result.agreement.rgb == pytest.approx(right.mean())
    assert 0 < result.cosine.rgbd <= 1


@settings(max_examples=12)
@given(st.floats(0.3, 6), st.integers(0, 1000))
def test_a_known_temperature_is_recovered(temperature: float, seed: int) -> None:
    """Answers drawn from the probabilities of a temperature are most likely under it."""
    x, _ = noisy(4000, 0.4, seed)
    p = probabilities(x, BANK, 10.0, temperature).astype(np.float64)
    drawn = (p.cumsum(1) < np.random.default_rng(seed).random((4000, 1))).sum(1).clip(max=7)
    assert fit_temperature(x, BANK, 10.0, hard(drawn)) == pytest.approx(temperature, rel=0.15)
    assert fit_temperature(x, BANK, 10.0, p) == pytest.approx(temperature, rel=0.01)  # soft answers say it outright


@few
@given(confidences, st.integers(0, 1000))
def test_calibration_error_is_bounded_and_blind_to_order(confidence: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.random(len(confidence)) < confidence
    error = expected_calibration_error(confidence, right)
    overall = abs(float(confidence.mean(dtype=np.float64)) - right.mean())
    assert overall - 1e-6 <= error <= 1  # bins can only hide less than the whole does
    order = rng.permutation(len(confidence))
    assert expected_calibration_error(confidence[order], right[order]) == pytest.approx(error, abs=1e-6)


@few
@given(confidences, st.floats(0, 0.99), st.integers(0, 1000))
def test_threshold_gives_the_share_of_false_unknowns(confidence: np.ndarray, share: float, seed: int) -> None:
    right = np.random.default_rng(seed).random(len(confidence)) < 0.7
    threshold = unknown_threshold(confidence, right, share)
    mine = confidence[right]
    if not len(mine):
        assert threshold == 0
        return
    assert threshold in mine
    assert (mine < threshold).mean() <= share + 1e-9
    above = mine[mine > threshold]
    if len(above):  # the next confidence would already be too high
        assert (mine < above.min()).mean() >= share - 1 / len(mine)


def test_mean_cosine_asks_for_direction_only() -> None:
    target = np.eye(3, dtype=np.float32)
    assert mean_cosine(target * 0.3, target) == pytest.approx(1)
    assert mean_cosine(np.roll(target, 1, axis=0), target) == 0
    assert mean_cosine(np.zeros((3, 3), np.float32), target) == 0


def test_both_cameras_are_calibrated_where_both_see() -> None:
    """In the dark the robot answers from depth with depth's temperature: those pairs must not shape the one of both."""
    rgb, kind = noisy(400, 0.1)
    depth, _ = noisy(400, 0.1)
    rgb[200:] = noisy(200, 0.1, seed=9)[0]

    def fit(dark: slice, rows: slice) -> float:
        seen = lit(rgb, depth)
        seen.quality[0, dark] = 0
        part = Embedded(seen.rgb[rows], seen.depth[rows], seen.quality[:, rows])
        return calibrate_confidence(part, BANK, 20.0, BANK[kind[rows]], 0.1).temperature.rgbd

    nowhere, everywhere = slice(0, 0), slice(None)
    assert fit(slice(200, None), everywhere) == fit(nowhere, slice(0, 200))
    assert fit(slice(200, None), everywhere) != fit(nowhere, everywhere)


@few
@given(st.integers(1, 60), st.floats(0.01, 0.3), st.integers(0, 1000))
def test_confidence_is_never_above_what_so_few_pairs_can_vouch_for(pairs: int, noise: float, seed: int) -> None:
    """All answers right: the likelihood of hard answers would ask for no doubt at all, and every scene be known."""
    x, kind = noisy(pairs, noise, seed)
    found = calibrate_confidence(lit(x, x), BANK, 100.0, BANK[kind], 0.05)
    p = probabilities(x, BANK, 100.0, found.temperature.rgb).max(1)
    right = int(((x @ BANK.T).argmax(1) == kind).sum())
    assert p.mean() <= (right + 1) / (pairs + 2) + 1e-3 or found.temperature.rgb == pytest.approx(HOTTEST)
    assert COLDEST <= found.temperature.rgb <= HOTTEST * 1.001


def test_a_bound_that_is_hit_is_named() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 16)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    good, kind = noisy(300, 0.3)
    teacher = BANK[kind] + 0.5 * BANK[(kind + 1) % 8]  # not sure itself
    found = calibrate_confidence(lit(good, noise), BANK, 30.0, teacher / np.sqrt(1.25).astype(np.float32), 0.05)
    assert at_a_bound(found.temperature) == ["depth"]
