"""How far the stamps of two streams lie apart: what to tell people whose bag, or robot, gives no pairs."""

from collections.abc import Sequence
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray

from edgevl_core.pairing.unpaired import Unpaired

ONE_CLOCK_S = 1.0
"""Stamps further apart than this are no delay within a camera."""
_STEADY_S = 0.005  # a delay that varies by no more is called constant
_MARGIN = 1.2
_LATE_S = 5.0
"""Live images may be sent so late. By their stamps they are not told from those of another clock."""
_LIVE_S = 2.0
"""Live streams without a pair for so long are a problem."""


def unpaired_problem(unpaired: Unpaired) -> str:
    """Why two live streams that both come give no pair, and what would help; "" while they give pairs."""
    if not unpaired.is_long(_LIVE_S):
        return ""
    rgb, depth = unpaired.latest()
    if not rgb or not depth:  # a pair was made just now
        return ""
    behind_s = (rgb[-1] - depth[-1]) / 1e9
    late, other = ("depth", "RGB") if behind_s > 0 else ("RGB", "depth")
    comes = f"{late} comes {abs(behind_s):.1f} s after {other}"
    # Only where depth's stamps reach: the newest RGB has no partner yet when depth comes late.
    begin, end = min(depth), max(depth)
    within = [stamp for stamp in rgb if begin <= stamp <= end]
    if abs(behind_s) > _LATE_S:  # among the stamps of some seconds the nearest would tell nothing
        rgb, depth = rgb[-1:], depth[-1:]
    elif abs(behind_s) > ONE_CLOCK_S or not within:
        return (
            f"no pairs: {comes} by its stamps: let its driver send it sooner, or, where the two streams use different "
            "clocks, stamp both by one clock"
        )
    elif np.percentile(np.abs(_nearest_s(within, depth)), 50) <= unpaired.max_skew_s:
        return f"no pairs: the stamps of RGB and depth fit, but {comes}: let its driver send it sooner"
    else:
        rgb = within
    advice = offset_advice(rgb, depth, option="set max_skew_s to ")
    return f"no pairs: no RGB and depth images within max_skew_s = {unpaired.max_skew_s:g} s of each other: {advice}"


def offset_advice(rgb_ns: Sequence[int], depth_ns: Sequence[int], *, option: str = "--max-skew-s ") -> str:
    """Where the nearest depth image of an RGB image is, and the tolerance that would pair them; "" without images.

    Args:
        rgb_ns, depth_ns: header stamps, in any order.
        option: what the tolerance is given to, up to its value.
    """
    if not rgb_ns or not depth_ns:
        return ""
    offset_s = _nearest_s(rgb_ns, depth_ns)
    low, middle, high = np.percentile(offset_s, (5, 50, 95))
    if abs(middle) > ONE_CLOCK_S:
        return (
            f"depth is {abs(middle):.1f} s {_way(middle)} by its stamps: the two streams use different clocks, or were "
            "not recorded together: let the driver stamp both by one clock"
        )
    tolerance = f"{option}{_rounded_up(_MARGIN * max(abs(low), abs(high))):g}"
    if high - low <= _STEADY_S:
        return f"depth is always {abs(middle) * 1e3:.1f} ms {_way(middle)}: {tolerance}"
    nearest, farthest = np.percentile(np.abs(offset_s), (5, 95)) * 1e3
    return f"the nearest depth image is {nearest:.1f} to {farthest:.1f} ms away: {tolerance}"


def _nearest_s(rgb_ns: Sequence[int], depth_ns: Sequence[int]) -> NDArray[np.float64]:
    """(N,) from each of N different RGB stamps to the nearest of depth, seconds."""
    rgb, depth = np.unique(np.array(rgb_ns, np.int64)), np.unique(np.array(depth_ns, np.int64))
    after = np.clip(np.searchsorted(depth, rgb), 1, len(depth)) - 1
    near = np.stack([depth[after] - rgb, depth[np.minimum(after + 1, len(depth) - 1)] - rgb])
    return np.asarray(np.take_along_axis(near, np.abs(near).argmin(0)[None], 0)[0] / 1e9)


def _way(offset_s: float) -> str:
    return "later" if offset_s > 0 else "earlier"


def _rounded_up(value: float) -> float:
    """To one digit."""
    if value <= 0:
        return 0.001
    unit = 10.0 ** floor(log10(value))
    return round(ceil(value / unit - 1e-9) * unit, 9)
