"""A bag without pairs: how far its streams are apart is said, with the tolerance that would do."""

from pathlib import Path

import numpy as np
import pytest

from edgevl_core.pairlog.info import log_info
from edgevl_core.pairlog.offset import offset_advice
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
