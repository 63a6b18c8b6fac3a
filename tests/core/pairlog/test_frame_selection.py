"""The keep-decision: each rule on its own, counted by reason."""

import math
import tracemalloc

import cv2
import numpy as np
import pytest

from edgevl_core.pairlog.frame_selection import (
    BLURRED,
    DARK,
    DEPTH_INVALID,
    NO_POSE,
    NOT_MOVED,
    NOT_NOVEL,
    TOO_SOON,
    FrameSelector,
)
from edgevl_core.pairlog.motion import Pose, Track, turn_rad

pytestmark = pytest.mark.unit

S = 1_000_000_000
TEXTURE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
FLAT = np.full((48, 64, 3), 128, np.uint8)
DEPTH = np.full((24, 32), 2.0, np.float32)


def test_everything_is_kept_by_default() -> None:
    rule = FrameSelector()
    for number in range(3):
        assert rule.decide(number, np.zeros_like(FLAT), DEPTH * np.nan) is None
    assert rule.counts == {"kept": 3}


def test_interval_counts_from_the_last_kept_pair() -> None:
    rule = FrameSelector(min_interval_s=1.0)
    verdicts = [rule.decide(at * S // 2, FLAT, DEPTH) for at in range(5)]
    assert verdicts == [None, TOO_SOON, None, TOO_SOON, None]
    assert rule.counts == {"kept": 3, TOO_SOON: 2}


def test_interval_alone_needs_no_image() -> None:
    rule = FrameSelector(min_interval_s=1.0)
    assert rule.without_images(0) is None
    rule.decide(0, FLAT, DEPTH)
    assert rule.without_images(S // 2) == TOO_SOON
    assert rule.without_images(S) is None
    assert rule.counts == {"kept": 1, TOO_SOON: 1}


def test_a_clock_set_back_does_not_silence_the_log() -> None:
    rule = FrameSelector(min_interval_s=1.0)
    rule.decide(100 * S, FLAT, DEPTH)
    assert rule.decide(10 * S, FLAT, DEPTH) is None


def test_dark_images_teach_nothing_even_with_good_depth() -> None:
    rule = FrameSelector(min_brightness=20.0)
    assert rule.decide(0, FLAT // 16, DEPTH) == DARK
    assert rule.decide(0, FLAT, DEPTH) is None


def test_depth_needs_measurements() -> None:
    rule = FrameSelector(min_depth_valid=0.5)
    half = DEPTH.copy()
    half[:12] = np.nan
    assert rule.decide(0, FLAT, half) is None
    half[12] = np.nan
    assert rule.decide(0, FLAT, half) == DEPTH_INVALID
    assert rule.decide(0, FLAT, np.zeros((0, 0), np.float32)) == DEPTH_INVALID


def test_blur_is_seen_at_any_resolution() -> None:
    rule = FrameSelector(min_sharpness=30.0)
    large = cv2.resize(TEXTURE, (640, 480), interpolation=cv2.INTER_NEAREST)
    for sharp in (TEXTURE, large):
        assert rule.decide(0, sharp, DEPTH) is None
    for blurred in (FLAT, cv2.GaussianBlur(large, (0, 0), 30)):
        assert rule.decide(0, blurred, DEPTH) == BLURRED


def test_novelty_in_rgb_or_in_depth() -> None:
    rule = FrameSelector(min_novelty=0.02)
    assert rule.decide(0, FLAT, DEPTH) is None
    assert rule.decide(1, FLAT, DEPTH) == NOT_NOVEL
    assert rule.decide(2, FLAT + 4, DEPTH) == NOT_NOVEL
    assert rule.decide(3, FLAT + 8, DEPTH) is None
    assert rule.decide(4, FLAT + 8, DEPTH + 0.5) is None
    assert rule.counts == {"kept": 3, NOT_NOVEL: 2}


def test_flickering_holes_are_no_novelty() -> None:
    rule = FrameSelector(min_novelty=0.01)
    holes = np.random.default_rng(0).random(DEPTH.shape) < 0.3
    assert rule.decide(0, FLAT, DEPTH) is None
    assert rule.decide(1, FLAT, np.where(holes, np.nan, DEPTH).astype(np.float32)) == NOT_NOVEL


def test_a_refused_pair_is_not_compared_with() -> None:
    """Slow drift: each step is below the threshold, the sum is not."""
    rule = FrameSelector(min_novelty=0.02)
    verdicts = [rule.decide(number, FLAT + 3 * number, DEPTH) for number in range(4)]
    assert verdicts == [None, NOT_NOVEL, None, NOT_NOVEL]


def at(x_m: float, heading_rad: float = 0.0) -> Pose:
    return Pose((x_m, 0.0, 0.0), (0.0, 0.0, math.sin(heading_rad / 2), math.cos(heading_rad / 2)))


def test_distance_counts_from_the_last_kept_pair() -> None:
    rule = FrameSelector(min_distance_m=0.5)
    places = (0.0, 0.2, 0.4, 0.5, 0.9, 0.1)
    verdicts = [rule.decide(k, FLAT, DEPTH, at(x_m)) for k, x_m in enumerate(places)]
    assert verdicts == [None, NOT_MOVED, NOT_MOVED, None, NOT_MOVED, NOT_MOVED]
    assert rule.counts == {"kept": 2, NOT_MOVED: 4}


def test_either_motion_is_enough() -> None:
    rule = FrameSelector(min_distance_m=0.5, min_turn_rad=0.3)
    assert rule.decide(0, FLAT, DEPTH, at(0.0)) is None
    assert rule.decide(1, FLAT, DEPTH, at(0.3, 0.2)) == NOT_MOVED
    assert rule.decide(2, FLAT, DEPTH, at(0.0, 0.31)) is None
    assert rule.decide(3, FLAT, DEPTH, at(0.6, 0.31)) is None


def test_without_a_pose_motion_is_not_assumed() -> None:
    rule = FrameSelector(min_turn_rad=0.3)
    assert rule.decide(0, FLAT, DEPTH) == NO_POSE
    assert FrameSelector().decide(0, FLAT, DEPTH) is None


def test_turns_have_one_size_whatever_the_quaternions_sign() -> None:
    assert turn_rad(at(0, 3.0), at(0, -3.0)) == pytest.approx(2 * math.pi - 6.0)
    turned = at(0, 0.4)
    minus = Pose(turned.position_m, tuple(-q for q in turned.orientation))
    assert turn_rad(at(0), minus) == pytest.approx(0.4)


def test_the_track_gives_the_nearest_pose_and_no_old_one() -> None:
    track = Track(max_age_s=0.5, memory_s=5.0)
    assert track.at(0) is None
    for k in range(1000):
        track.add(k * S // 10, at(k))
    assert track.at(99 * S + S // 100) == at(990)
    assert track.at(101 * S) is None
    assert track.at(0) is None  # forgotten
    track.add(3 * S, at(-1.0))  # the clock was set back
    assert track.at(3 * S) == at(-1.0)
    assert track.at(99 * S) is None


def test_depth_alone_is_judged_by_depth() -> None:
    rule = FrameSelector(min_novelty=0.02, min_depth_valid=0.5)
    assert rule.decide(0, None, DEPTH) is None
    assert rule.decide(1, None, DEPTH) == NOT_NOVEL
    assert rule.decide(2, None, DEPTH * np.nan) == DEPTH_INVALID
    assert rule.decide(3, None, DEPTH + 0.5) is None


def test_novelty_of_a_large_image_costs_no_more_than_of_a_small_one() -> None:
    rgb, depth = np.zeros((2160, 3840, 3), np.uint8), np.full((2160, 3840), 2000, np.uint16)
    rule = FrameSelector(min_novelty=0.02)
    rule.decide(0, rgb, depth)
    tracemalloc.start()
    try:
        verdict = rule.decide(1, rgb, depth)
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert verdict == NOT_NOVEL
    assert most_bytes < 5_000_000  # 33 MB was one float copy of the depth image
    moved = np.roll(np.where(np.arange(3840) < 1920, 1000, 3000).astype(np.uint16)[None].repeat(2160, 0), 700, 1)
    assert rule.decide(2, rgb, moved) is None


def test_a_clock_that_stands_still_fills_no_memory():
    track = Track()
    for number in range(1000):
        track.add(5 * S, Pose((float(number), 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
    assert track.at(5 * S).position_m[0] == 999.0
    assert len(track._poses) == 1


def test_a_pose_that_is_no_number_is_no_pose():
    """A filter that has not begun gives such; a pair kept there would never have been left."""
    track = Track()
    track.add(5 * S, Pose((math.nan, 0.0, 0.0)))
    track.add(5 * S, Pose((0.0, 0.0, 0.0), (math.nan, 0.0, 0.0, 1.0)))
    assert track.at(5 * S) is None
    track.add(5 * S + 1, Pose((1.0, 0.0, 0.0)))
    assert track.at(5 * S).position_m[0] == 1.0
