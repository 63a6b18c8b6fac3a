"""A cut student in the place of the whole: the classifier calls it as any other and gets the same embeddings."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.recent import Recent
from edgevl_core.classify.classifier import Classifier
from edgevl_core.classify.model import Model
from edgevl_core.engine import Engine
from edgevl_core.offload.halves import Halves, check_fits
from edgevl_core.offload.link import Link

FIRST_PERIOD_S, LONGEST_WAIT_S = 0.1, 1.0
LEAST_SHARE = 0.5  # of a frame period: a robot too slow for its camera may wait that long, and be late by that


class Offload:
    """Runs the front half, asks the base station, and runs the back half where no answer comes in time.

    While nobody is to be asked it runs the whole student at once, which a pair of images is faster with; with a
    bottleneck at the cut it always runs the halves, for they answer otherwise.

    Args:
        halves: of the student.
        link: to the base station.
        wait_s: how long an answer is waited for; 0: what a frame period leaves beside the robot's own two halves.
        clock: monotonic seconds.

    Attributes:
        back_s: seconds of the back half on the robot.
    """

    def __init__(self, halves: Halves, link: Link, wait_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.halves, self.link = halves, link
        self.back_s = Recent(50)
        self._wait_s, self._clock = wait_s, clock
        self._periods_s, self._last_s = Recent(31), 0.0
        self._whole: Engine | None = None

    def through(self, model: Model) -> Model:
        """The model with its student run in two halves; where they do not fit it: as it is, ``alone`` says why."""
        bundle = model.bundle
        if reason := check_fits(self.halves, bundle):
            self.link.rest()  # as long as nobody asks, nothing is known of the base station
            return replace(model, alone=reason)
        pixels = np.zeros((1, 3, bundle.engine.size_px, bundle.engine.size_px), np.uint8)
        for _ in range(3):  # before the first frame, how long the robot needs itself
            self._back(self.halves.front(pixels))
        self._whole = bundle.engine if self.halves.manifest.compress == 1 else None
        bundle = replace(bundle, engine=bundle.engine.run_by(self))
        classifier = Classifier(bundle, model.classifier.labels, model.classifier.bank)
        return replace(model, bundle=bundle, classifier=classifier)

    def frame(self, now_s: float) -> None:
        """Work on a frame begins whose last image came at ``now_s`` (the same clock)."""
        if self._last_s:
            self._periods_s.add(now_s - self._last_s)
        self._last_s = now_s

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 3, S, S) uint8 -> (N, D) float32, L2-normalised."""
        if self._whole is not None and not self.link.asks():
            return self._whole(pixels)
        return self.link.ask(self.halves.front(pixels), self.limit_s(len(pixels)), self._back)

    def limit_s(self, images: int) -> float:
        """How long an answer about so many images of the frame that was begun last is waited for from now, seconds."""
        if self._wait_s:
            return self._wait_s
        period_s = self._periods_s.quantile(0.5)
        period_s = period_s if period_s > 0 else FIRST_PERIOD_S  # NaN: none was measured
        left_s = period_s - (self._clock() - self._last_s) - images * self.back_s.quantile(0.9)
        return float(min(LONGEST_WAIT_S, max(left_s, LEAST_SHARE * period_s)))

    def _back(self, features: NDArray[np.generic]) -> NDArray[np.float32]:
        start_s = self._clock()
        embeddings: NDArray[np.float32] = self.halves.back(features)
        self.back_s.add((self._clock() - start_s) / len(features))
        return embeddings

    def values(self, model: Model | None) -> dict[str, object]:
        """For diagnostics; ``model``: the one in use."""
        asking = self.link.using and model is not None and not model.alone
        return {
            "offload": "asking" if asking else "alone",
            "offload_id": self.halves.manifest.split_id,
            **{f"offload_{name}": count for name, count in self.link.counts.items()},
            "offload_round_trip_p50_ms": 1e3 * self.link.round_trip_s.quantile(0.5),
            "offload_round_trip_p95_ms": 1e3 * self.link.round_trip_s.quantile(0.95),
        }
