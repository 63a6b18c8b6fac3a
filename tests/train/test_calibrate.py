import numpy as np
import pytest

from edgevl_core.fusion import probabilities
from edgevl_train.calibrate import calibrate_confidence, expected_calibration_error, fit_temperature

pytestmark = pytest.mark.unit
BANK = np.eye(8, 16, dtype=np.float32)


def noisy(count: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 8, count)
    x = BANK[kind] + rng.normal(0, noise, (count, 16)).astype(np.float32)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), kind


def test_fitted_temperature_calibrates_unseen_pairs() -> None:
    fit, answer = noisy(4000, 0.6)
    temperature = fit_temperature(fit, BANK, 50.0, answer)
    test, true = noisy(4000, 0.6, seed=1)
    p, raw = probabilities(test, BANK, 50.0, temperature), probabilities(test, BANK, 50.0, 1.0)
    assert temperature > 2  # the untouched scale is far too sure
    assert expected_calibration_error(p.max(1), p.argmax(1) == true) < 0.05
    assert expected_calibration_error(raw.max(1), raw.argmax(1) == true) > 0.1


def test_temperature_is_where_the_likelihood_peaks() -> None:
    x, answer = noisy(500, 0.5)
    best = fit_temperature(x, BANK, 20.0, answer)

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
    outputs = iter([*np.array_split(rgb, range(64, 600, 64)), *np.array_split(depth, range(64, 600, 64))])
    pixels = np.full((600, 4, 4, 3), 128, np.uint8)
    pixels[:, ::2] = 60
    target = BANK[kind]
    result = calibrate_confidence(pixels, pixels, lambda p: next(outputs), BANK, 20.0, target, 0.1)
    assert result.temperature.depth != result.temperature.rgb
    p = probabilities(rgb, BANK, 20.0, result.temperature.rgb)
    right = p.argmax(1) == kind
    assert (p.max(1)[right] < result.unknown_threshold.rgb).mean() == pytest.approx(0.1, abs=0.01)
    assert result.agreement.rgb == pytest.approx(right.mean())
    assert 0 < result.cosine.rgbd <= 1
