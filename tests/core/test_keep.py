"""The keep-decision: each rule on its own, counted by reason."""

import cv2
import numpy as np
import pytest

from edgevl_core.pairlog.keep import BLURRED, DARK, DEPTH_INVALID, NOT_NOVEL, TOO_SOON, KeepRule

pytestmark = pytest.mark.unit

S = 1_000_000_000
TEXTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
FLAT = np.full((48, 64, 3), 128, np.uint8)
DEPTH = np.full((24, 32), 2.0, np.float32)


def test_everything_is_kept_by_default() -> None:
    rule = KeepRule()
    for number in range(3):
        assert rule.decide(number, np.zeros_like(FLAT), DEPTH * np.nan) is None
    assert rule.counts == {"kept": 3}


def test_interval_counts_from_the_last_kept_pair() -> None:
    rule = KeepRule(min_interval_s=1.0)
    verdicts = [rule.decide(at * S // 2, FLAT, DEPTH) for at in range(5)]
    assert verdicts == [None, TOO_SOON, None, TOO_SOON, None]
    assert rule.counts == {"kept": 3, TOO_SOON: 2}


def test_interval_alone_needs_no_image() -> None:
    rule = KeepRule(min_interval_s=1.0)
    assert rule.too_soon(0) is None
    rule.decide(0, FLAT, DEPTH)
    assert rule.too_soon(S // 2) == TOO_SOON
    assert rule.too_soon(S) is None
    assert rule.counts == {"kept": 1, TOO_SOON: 1}


def test_a_clock_set_back_does_not_silence_the_log() -> None:
    rule = KeepRule(min_interval_s=1.0)
    rule.decide(100 * S, FLAT, DEPTH)
    assert rule.decide(10 * S, FLAT, DEPTH) is None


def test_dark_images_teach_nothing_even_with_good_depth() -> None:
    rule = KeepRule(min_brightness=20.0)
    assert rule.decide(0, FLAT // 16, DEPTH) == DARK
    assert rule.decide(0, FLAT, DEPTH) is None


def test_depth_needs_measurements() -> None:
    rule = KeepRule(min_depth_valid=0.5)
    half = DEPTH.copy()
    half[:12] = np.nan
    assert rule.decide(0, FLAT, half) is None
    half[12] = np.nan
    assert rule.decide(0, FLAT, half) == DEPTH_INVALID
    assert rule.decide(0, FLAT, np.zeros((0, 0), np.float32)) == DEPTH_INVALID


def test_blur_is_seen_at_any_resolution() -> None:
    rule = KeepRule(min_sharpness=30.0)
    large = cv2.resize(TEXTURE, (640, 480), interpolation=cv2.INTER_NEAREST)
    for sharp in (TEXTURE, large):
        assert rule.decide(0, sharp, DEPTH) is None
    for blurred in (FLAT, cv2.GaussianBlur(large, (0, 0), 30)):
        assert rule.decide(0, blurred, DEPTH) == BLURRED


def test_novelty_in_rgb_or_in_depth() -> None:
    rule = KeepRule(min_novelty=0.02)
    assert rule.decide(0, FLAT, DEPTH) is None
    assert rule.decide(1, FLAT, DEPTH) == NOT_NOVEL
    assert rule.decide(2, FLAT + 4, DEPTH) == NOT_NOVEL
    assert rule.decide(3, FLAT + 8, DEPTH) is None
    assert rule.decide(4, FLAT + 8, DEPTH + 0.5) is None
    assert rule.counts == {"kept": 3, NOT_NOVEL: 2}


def test_flickering_holes_are_no_novelty() -> None:
    rule = KeepRule(min_novelty=0.01)
    holes = np.random.default_rng(0).random(DEPTH.shape) < 0.3
    assert rule.decide(0, FLAT, DEPTH) is None
    assert rule.decide(1, FLAT, np.where(holes, np.nan, DEPTH).astype(np.float32)) == NOT_NOVEL


def test_a_refused_pair_is_not_compared_with() -> None:
    """Slow drift: each step is below the threshold, the sum is not."""
    rule = KeepRule(min_novelty=0.02)
    verdicts = [rule.decide(number, FLAT + 3 * number, DEPTH) for number in range(4)]
    assert verdicts == [None, NOT_NOVEL, None, NOT_NOVEL]
