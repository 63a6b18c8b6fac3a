"""The last values of a measurement, for diagnostics."""

from collections import deque

import numpy as np


class Recent:
    """The last ``size`` values of a measurement, and their quantiles."""

    def __init__(self, size: int = 1000) -> None:
        self._values: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> None:
        self._values.append(value)

    @property
    def newest(self) -> float:
        """The last value. Raises IndexError while there is none."""
        return self._values[-1]

    def clear(self) -> None:
        self._values.clear()

    def quantile(self, q: float) -> float:
        """The ``q`` quantile, 0 <= q <= 1; NaN while there is no value."""
        # One list() call is atomic under the GIL; a worker thread may be adding.
        values = list(self._values)
        return float(np.quantile(values, q)) if values else float("nan")
