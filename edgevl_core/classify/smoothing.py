"""Probabilities smoothed over time, and a label that does not flip back and forth. Stamps are the only clock.

Smoothing is a first-order low-pass filter: dp = (x - p) dt / smoothing_s, solved exactly for an input x that holds
since the previous stamp, so the result depends on how long something was seen and not on how many frames there were.
"""

import math

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError

RESET_AFTER_S = 2.0


class Smoother:
    """Smooths one stream of probabilities; ``reset`` it when their meaning changes (other labels, another student)."""

    def __init__(self, smoothing_s: float = 0.0, hysteresis: float = 0.0, reset_after_s: float = RESET_AFTER_S) -> None:
        """Nothing is smoothed, and the most probable label is chosen, where both are 0.

        Args:
            smoothing_s: time constant; after it a new scene has 63 % of the weight. 0: off.
            hysteresis: 0..1, the lead in smoothed probability that another label needs to take over.
            reset_after_s: a longer gap between two stamps begins anew.

        Raises:
            UserError: a value outside its range.
        """
        if not (smoothing_s >= 0 and 0 <= hysteresis <= 1 and reset_after_s > 0):
            raise UserError(
                f"smoothing_s={smoothing_s}, hysteresis={hysteresis}, reset_after_s={reset_after_s}: accepted are "
                "smoothing_s >= 0, hysteresis 0..1 and reset_after_s > 0"
            )
        self._smoothing_s, self._hysteresis, self._reset_after_s = smoothing_s, hysteresis, reset_after_s
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._stamp_ns: int | None = None

    def update(self, stamp_ns: int, probabilities: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """Add one frame. A stamp that does not go forward, or only after a long gap, begins anew.

        Args:
            stamp_ns: when it was seen.
            probabilities: (N,) float32, sum 1; N stays the same until ``reset``.

        Returns:
            (N,) float32 smoothed probabilities, sum 1, and the index of the label in force.
        """
        elapsed_s = math.inf if self._stamp_ns is None else (stamp_ns - self._stamp_ns) * 1e-9
        self._stamp_ns = stamp_ns
        if not 0 < elapsed_s <= self._reset_after_s:
            self._smoothed, self._index = probabilities, int(probabilities.argmax())
            return self._smoothed, self._index
        weight = np.float32(-math.expm1(-elapsed_s / self._smoothing_s) if self._smoothing_s else 1.0)
        self._smoothed = self._smoothed + weight * (probabilities - self._smoothed)
        best = int(self._smoothed.argmax())
        if self._smoothed[best] - self._smoothed[self._index] > self._hysteresis:
            self._index = best
        return self._smoothed, self._index
