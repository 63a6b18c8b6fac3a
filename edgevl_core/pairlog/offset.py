"""How far the stamps of two streams lie apart: what to tell people whose bag gives no pairs."""

from collections.abc import Sequence
from math import ceil, floor, log10

import numpy as np

ONE_CLOCK_S = 1.0
"""Stamps further apart than this are no delay within a camera."""
_STEADY_S = 0.005  # a delay that varies by no more is called constant
_MARGIN = 1.2


def offset_advice(rgb_ns: Sequence[int], depth_ns: Sequence[int]) -> str:
    """Where the nearest depth image of an RGB image is, and the tolerance that would pair them; "" without images.

    Args:
        rgb_ns, depth_ns: header stamps, in any order.
    """
    if not rgb_ns or not depth_ns:
        return ""
    rgb, depth = np.unique(np.array(rgb_ns, np.int64)), np.unique(np.array(depth_ns, np.int64))
    after = np.clip(np.searchsorted(depth, rgb), 1, len(depth)) - 1
    near = np.stack([depth[after] - rgb, depth[np.minimum(after + 1, len(depth) - 1)] - rgb])
    offset_s = np.take_along_axis(near, np.abs(near).argmin(0)[None], 0)[0] / 1e9
    low, middle, high = np.percentile(offset_s, (5, 50, 95))
    if abs(middle) > ONE_CLOCK_S:
        return (
            f"depth is {abs(middle):.1f} s {_way(middle)} by its stamps: the two streams use different clocks, or were "
            "not recorded together: let the driver stamp both by one clock"
        )
    tolerance = f"--max-skew-s {_rounded_up(_MARGIN * max(abs(low), abs(high))):g}"
    if high - low <= _STEADY_S:
        return f"depth is always {abs(middle) * 1e3:.1f} ms {_way(middle)}: {tolerance}"
    nearest, farthest = np.percentile(np.abs(offset_s), (5, 95)) * 1e3
    return f"the nearest depth image is {nearest:.1f} to {farthest:.1f} ms away: {tolerance}"


def _way(offset_s: float) -> str:
    return "later" if offset_s > 0 else "earlier"


def _rounded_up(value: float) -> float:
    """To one digit."""
    if value <= 0:
        return 0.001
    unit = 10.0 ** floor(log10(value))
    return round(ceil(value / unit - 1e-9) * unit, 9)
