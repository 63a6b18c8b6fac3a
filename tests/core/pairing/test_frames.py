"""Depth that always comes too late: RGB alone is answered, every image is counted, and pairs resume."""

import pytest

from edgevl_core.pairing.frames import DEPTH, MAX_WAITING, RGB, FrameSource, Received
from edgevl_core.pairlog.offset import unpaired_problem

pytestmark = pytest.mark.unit
BEGIN_NS = 1_700_000_000_000_000_000
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
