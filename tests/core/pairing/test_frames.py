"""Frames of two streams: pairs, one camera alone, stamps that never fit, depth that is late; none goes uncounted."""

import pytest

from edgevl_core.pairing.frames import DEPTH, MAX_WAITING, RGB, FrameSource, Received
from edgevl_core.pairlog.offset import unpaired_problem

pytestmark = pytest.mark.unit
BEGIN_NS = 1_700_000_000_000_000_000
MS = 1_000_000
VGA, FULL_HD = 640 * 480 * 3, 1920 * 1080 * 4


def push_all(source: FrameSource, images: list[tuple[float, int, int]], rgb_bytes: int = 1) -> list[tuple[float, bool]]:
    """Push (received_s, stream, stamp_ns) as they come; when each frame was complete, and if it is a pair."""
    rgb = bytes(rgb_bytes)
    frames = []
    for now_s, stream, stamp_ns in sorted(images):
        made = source.push(stream, Received(stamp_ns, rgb if stream == RGB else b"", now_s))
        frames += [(now_s, frame.rgb is not None and frame.depth is not None) for frame in made]
    return frames


def streams(
    rate_hz: float, delay_s: float, begin_s: float, end_s: float, offset_s: float = 0.0
) -> list[tuple[float, int, int]]:
    """RGB, and depth that comes ``delay_s`` later with stamps ``offset_s`` later; what has come by ``end_s``."""
    images = []
    for k in range(round(begin_s * rate_hz), round(end_s * rate_hz)):
        time_s = k / rate_hz
        stamp_ns = BEGIN_NS + round(time_s * 1e9)
        images += [(time_s, RGB, stamp_ns), (time_s + delay_s, DEPTH, stamp_ns + round(offset_s * 1e9))]
    return [image for image in images if image[0] < end_s]


def accounted(source: FrameSource) -> int:
    """Images that are counted, or wait."""
    return sum(source.counts.values()) + source.counts["pairs"] + source.waiting


@pytest.mark.parametrize(
    ("rate_hz", "delay_s", "rgb_bytes"),
    [
        (60, 0.18, VGA),  # just beyond the MAX_WAITING images that wait
        (30, 0.28, FULL_HD),  # beyond the megabytes that wait
        (15, 0.9, FULL_HD),
        (30, 0.5, VGA),
        (30, 1.5, VGA),
    ],
)
def test_rgb_is_answered_while_depth_comes_too_late_and_pairs_resume_when_it_does_not(
    rate_hz: float, delay_s: float, rgb_bytes: int
) -> None:
    source = FrameSource(True, True, 0.02, 0.5)
    late = streams(rate_hz, delay_s, 0.0, 10.0)
    frames = push_all(source, late, rgb_bytes)
    assert len([True for now_s, is_pair in frames if now_s >= 3.0 and not is_pair]) == 7 * rate_hz
    assert f"depth comes {delay_s:.1f} s after RGB" in unpaired_problem(source.unpaired)
    assert accounted(source) == len(late)
    assert source.waiting <= 2 * MAX_WAITING

    prompt = streams(rate_hz, 0.005, 10.0, 15.0)
    frames = push_all(source, prompt, rgb_bytes)
    assert all(is_pair for now_s, is_pair in frames if now_s >= 10.5)
    assert len([True for now_s, _ in frames if now_s >= 11.0]) == 4 * rate_hz
    assert unpaired_problem(source.unpaired) == ""
    assert accounted(source) == len(late) + len(prompt)


def test_depth_that_comes_first_and_fits_again_is_paired_with_the_rgb_that_it_waits_for() -> None:
    source = FrameSource(True, True, 0.02, 0.5)
    push_all(source, streams(10, 0.01, 0.0, 3.0, offset_s=0.03))
    before = source.counts["rgb_alone"]
    first, second = BEGIN_NS + 3_100_000_000, BEGIN_NS + 3_110_000_000
    assert push_all(source, [(3.1, DEPTH, first), (3.11, RGB, second)]) == [(3.11, True)]
    assert (source.counts["pairs"], source.counts["rgb_alone"]) == (1, before)


def push(source, stream, stamp_ms, now_s):
    frames = source.push(stream, Received(stamp_ms * MS, b"", now_s))
    assert len(frames) <= 1
    return frames[0] if frames else None


def test_a_pair_is_a_frame_as_soon_as_its_second_image_comes():
    source = FrameSource(True, True, 0.02, 0.5)
    for k in range(5):
        assert push(source, DEPTH, 100 * k + 12, 0.1 * k) is None
        frame = push(source, RGB, 100 * k, 0.1 * k + 0.03)
        assert frame.rgb.stamp_ns == 100 * k * MS
        assert frame.depth.stamp_ns == (100 * k + 12) * MS
        assert frame.lead is frame.rgb
        assert frame.complete_s == pytest.approx(0.1 * k + 0.03)
    assert source.counts == {"pairs": 5}


def test_images_too_far_apart_are_not_paired():
    source = FrameSource(True, True, 0.02, 0.5)
    assert push(source, RGB, 0, 0.0) is None
    assert push(source, DEPTH, 21, 0.0) is None
    assert push(source, RGB, 41, 0.0) is not None  # 20 ms: the limit is inclusive
    assert source.counts == {"pairs": 1, "rgb_unmatched": 1}


def test_a_stream_left_alone_is_used_alone_and_pairs_resume():
    source = FrameSource(True, True, 0.02, 0.5)
    frames = [push(source, RGB, 100 * k, 0.1 * k) for k in range(10)]
    assert [frame is not None for frame in frames] == [False] * 6 + [True] * 4
    assert all(frame.depth is None for frame in frames if frame)
    assert push(source, DEPTH, 1000, 1.0) is None
    assert push(source, RGB, 1000, 1.01).depth is not None
    assert source.counts == {"rgb_alone": 4, "rgb_unmatched": 6, "pairs": 1}


def test_slow_streams_are_not_taken_for_silent_ones():
    source = FrameSource(True, True, 0.02, 0.5)
    for k in range(5):
        assert push(source, RGB, 2000 * k, 2.0 * k) is None
        assert push(source, DEPTH, 2000 * k, 2.0 * k + 0.4) is not None
    assert source.counts == {"pairs": 5}


@pytest.mark.parametrize("offset_ms", [30, -30, 5_000, -5_000, 1_000_000_000, -1_000_000_000])
def test_streams_whose_stamps_never_fit_are_answered_from_rgb_and_pair_as_soon_as_they_fit(offset_ms):
    source, sent = FrameSource(True, True, 0.02, 0.5), 0
    for k in range(100):
        frame = push(source, RGB, 100 * k, 0.1 * k)
        assert frame is None or frame.depth is None
        assert (frame is not None) == (k > 5)
        assert push(source, DEPTH, 100 * k + offset_ms, 0.1 * k + 0.01) is None
        sent += 2
    problem = unpaired_problem(source.unpaired)
    way = "later" if offset_ms > 0 else "earlier"
    apart = "no RGB and depth images within max_skew_s = 0.02 s of each other: depth is"
    said = {
        30: f"{apart} always 30.0 ms {way}: set max_skew_s to 0.04",
        5_000: "RGB comes 5.0 s after depth" if offset_ms > 0 else "depth comes 5.0 s after RGB",
        1_000_000_000: f"{apart} 1000000.0 s {way} by its stamps: the two streams use different clocks",
    }
    assert said[abs(offset_ms)] in problem
    frames = []
    for k in range(100, 110):  # the driver is set right
        frames += source.push(RGB, Received(100 * k * MS, b"", 0.1 * k))
        frames += source.push(DEPTH, Received((100 * k + 10) * MS, b"", 0.1 * k + 0.01))
        sent += 2
    assert all(frame.rgb and frame.depth for frame in frames[2:])
    assert len(frames[2:]) >= 7
    assert unpaired_problem(source.unpaired) == ""
    total = sum(count for name, count in source.counts.items() if name != "pairs")
    assert 2 * source.counts["pairs"] + total + source.waiting == sent


def test_depth_that_comes_too_late_to_be_waited_for_is_told_from_depth_of_another_time():
    source = FrameSource(True, True, 0.02, 0.5)
    for k in range(100):
        push(source, RGB, 33 * k, 0.033 * k)
        if k >= 20:
            push(source, DEPTH, 33 * (k - 20), 0.033 * k)
    assert unpaired_problem(source.unpaired) == (
        "no pairs: the stamps of RGB and depth fit, but depth comes 0.7 s after RGB: let its driver send it sooner"
    )


def test_time_that_jumps_back_does_not_stop_the_frames():
    source = FrameSource(True, True, 0.02, 0.5)
    for k, stamp_ms in enumerate([10_000, 10_100, 0, 100]):
        push(source, RGB, stamp_ms, 0.1 * k)
        assert push(source, DEPTH, stamp_ms, 0.1 * k + 0.01) is not None


def test_waiting_images_are_bounded_and_every_image_is_accounted_for():
    source = FrameSource(True, True, 0.02, 1e9)
    for k in range(1000):
        push(source, RGB, 100 * k, 0.001 * k)
    assert source.waiting <= MAX_WAITING
    assert source.counts["rgb_unmatched"] == 1000 - source.waiting


def test_one_stream_alone_makes_every_image_a_frame():
    source = FrameSource(False, True, 0.02, 0.5)
    assert all(push(source, DEPTH, 100 * k, 0.1 * k).rgb is None for k in range(5))
    assert source.counts == {"depth_alone": 5}
