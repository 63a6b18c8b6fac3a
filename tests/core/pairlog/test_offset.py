"""A bag without pairs: how far its streams are apart is said, with the tolerance that would do."""

from pathlib import Path

import numpy as np
import pytest

from edgevl_core.pairing.unpaired import Unpaired
from edgevl_core.pairlog.info import log_info
from edgevl_core.pairlog.offset import offset_advice, unpaired_problem
from edgevl_core.pairlog.pairs import read_pairs
from tests.core.bags import write_bag

pytestmark = pytest.mark.unit
MS = 1_000_000
RGB = [1_700_000_000_000 * MS + n * 100 * MS for n in range(50)]


@pytest.mark.parametrize(
    ("offset_ms", "sentence", "tolerance"),
    [
        (40.0, "depth is always 40.0 ms later", 0.05),
        (-33.4, "depth is always 33.4 ms earlier", 0.05),
        (25.0, "depth is always 25.0 ms later", 0.03),
        (70.0, "depth is always 30.0 ms earlier", 0.04),  # the image before is nearer
    ],
)
def test_a_constant_delay(offset_ms: float, sentence: str, tolerance: float) -> None:
    depth = [stamp + round(offset_ms * MS) for stamp in RGB]
    assert offset_advice(RGB, depth) == f"{sentence}: --max-skew-s {tolerance:g}"


def test_two_clocks_are_no_delay() -> None:
    advice = offset_advice(RGB, [n * 100 * MS for n in range(50)])
    assert "earlier by its stamps" in advice
    assert "clock" in advice
    assert "--max-skew-s" not in advice


def test_a_changing_delay_and_no_images() -> None:
    rng = np.random.default_rng(0)
    depth = [stamp + int(rng.integers(25, 48)) * MS for stamp in RGB]
    assert offset_advice(RGB, depth).startswith("the nearest depth image is 2")
    assert offset_advice(RGB, []) == offset_advice([], RGB) == ""
    assert offset_advice(RGB[:1], [RGB[0] + 30 * MS]) == "depth is always 30.0 ms later: --max-skew-s 0.04"


@pytest.mark.parametrize(
    ("rate_hz", "late_s", "offset_s", "said"),
    [
        (
            30,
            0.9,
            0.0,
            "the stamps of RGB and depth fit, but depth comes 0.9 s after RGB: let its driver send it sooner",
        ),
        (
            60,
            0.5,
            0.0,
            "the stamps of RGB and depth fit, but depth comes 0.5 s after RGB: let its driver send it sooner",
        ),
        (
            60,
            -0.9,
            0.0,
            "the stamps of RGB and depth fit, but RGB comes 0.9 s after depth: let its driver send it sooner",
        ),
        (10, 0.5, 0.03, "depth is always 30.0 ms later: set max_skew_s to 0.04"),
        (10, 1.5, 0.0, "depth comes 1.5 s after RGB by its stamps: let its driver send it sooner, or"),
        (30, -4.5, 0.0, "RGB comes 4.5 s after depth by its stamps: let its driver send it sooner, or"),
        (10, 60.0, 0.0, "depth is 60.0 s earlier by its stamps: the two streams use different clocks"),
    ],
)
def test_live_images_that_come_late_are_no_reason_for_a_tolerance(
    rate_hz: float, late_s: float, offset_s: float, said: str
) -> None:
    unpaired = Unpaired(0.02)
    for k in range(10 * int(rate_hz)):
        stamp_ns = RGB[0] + round(k / rate_hz * 1e9)
        unpaired.add(0, stamp_ns + round(offset_s * -1e9))
        unpaired.add(1, stamp_ns - round(late_s * rate_hz) * round(1e9 / rate_hz))
    problem = unpaired_problem(unpaired)
    assert said in problem
    assert ("max_skew_s to" in problem) == (offset_s > 0)


def test_the_tolerance_that_is_named_pairs_the_bag(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 20, depth_offset_ns=40 * MS)
    info = log_info(bag)
    assert (info.pairing.pairs, info.pairing.advice) == (0, "depth is always 40.0 ms later: --max-skew-s 0.05")
    pairs = read_pairs(bag)
    assert list(pairs) == []
    assert "depth is always 40.0 ms later: --max-skew-s 0.05" in str(pairs.no_pairs())
    assert log_info(bag, 0.05).pairing.pairs == 20
    assert log_info(bag, 0.05).pairing.advice == ""
    assert len(list(read_pairs(bag, max_skew_s=0.05))) == 20
