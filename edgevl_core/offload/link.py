"""Whether the base station is asked, how long it is waited for, and what its answers are worth. No ROS.

The robot never waits for a base station that is not there: what finds it is a probe, a frame that is sent while the
robot computes it itself. Only when a probe was answered in time are the next frames waited for.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.base.recent import Recent
from edgevl_core.offload.manifest import SplitManifest
from edgevl_core.offload.tensor import array_of, unpack

MAX_MISSES = 2  # unanswered frames in a row after which the robot goes on alone
COUNTS = ("asked", "answered", "missed", "late", "refused", "probes")
Send = Callable[[int, NDArray[Any]], bool]
Say = Callable[[str], object]


@dataclass
class _Question:
    number: int
    images: int
    sent_s: float
    limit_s: float
    probe: bool
    answer: NDArray[np.float32] | None = None
    refused: bool = False

    @property
    def done(self) -> bool:
        return self.refused or self.answer is not None


class Link:
    """One question at a time, from one thread; answers come in another.

    Args:
        manifest: of the student that was cut.
        send: publishes a question: its number, and the features (N, ...); False, nothing done, where nobody listens.
        retry_s: seconds from one probe to the next.
        say: gets one line when the base station is used from now on, or is no longer, with the reason.
        clock: monotonic seconds.

    Attributes:
        counts: "asked": frames whose answer was waited for, of them "answered" and "missed"; "probes"; of the answers
            "late": to nothing that is waited for, and "refused": not what was asked for. Both are dropped.
        round_trip_s: of the answers in time.
        using: whether the base station is asked.
        state: what was said last.
    """

    def __init__(
        self,
        manifest: SplitManifest,
        send: Send,
        retry_s: float,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._manifest, self._send, self._retry_s, self._say, self._clock = manifest, send, retry_s, say, clock
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self.round_trip_s = Recent(100)
        self.using, self.state = False, "the robot computes alone: no answer from the base station yet"
        self._kind = "silent"
        self._next_probe_s, self._misses = clock(), 0
        # A robot that starts again must not take answers to its earlier life for its own.
        self._number = time.time_ns() // 1000
        self._question: _Question | None = None
        self._change = threading.Condition()

    def asks(self) -> bool:
        """Whether ``ask`` would send anything now."""
        with self._change:
            return self.using or self._clock() >= self._next_probe_s

    def ask(self, features: NDArray[Any], limit_s: float) -> NDArray[np.float32] | None:
        """(N, ...) features -> (N, D) float32 embeddings of length 1; None: the robot computes them itself.

        ``limit_s``: how long an answer is worth waiting for.
        """
        with self._change:
            now_s = self._clock()
            if not self.asks():
                return None
            unanswered = self._question is not None
            self._number += 1
            question = _Question(self._number, len(features), now_s, limit_s, not self.using)
            self._question = question
            if question.probe:
                self._next_probe_s = now_s + self._retry_s
                if unanswered:
                    self._tell("silent", "the robot computes alone: no answer from the base station")
        sent = self._send(question.number, features)
        with self._change:
            if not sent:
                self._question = None
                self._alone("silent", "no base station listens")
                return None
            self.counts["probes" if question.probe else "asked"] += 1
            if question.probe:
                return None
            left_s = question.sent_s + limit_s - self._clock()
            self._change.wait_for(lambda: question.done, max(0.0, left_s))
            self._question = None
            if question.answer is not None:
                self._misses = 0
                return question.answer
            if not question.refused:
                self.counts["missed"] += 1
                self._misses += 1
                if self._misses >= MAX_MISSES:
                    self._alone("silent", f"no answer within {1e3 * limit_s:.0f} ms, {MAX_MISSES} times in a row")
            return None

    def receive(self, cdr: bytes) -> None:
        """An answer, serialised. One that is not what was asked for is counted, and said; it never raises."""
        with self._change:
            question = self._question
            try:
                _, label, data = unpack(cdr)
            except UserError as error:
                self.counts["refused"] += 1
                self._remark(str(error))
                return
            if question is None or label.number != question.number or question.done:
                self.counts["late"] += 1
                return
            try:
                if label.split_id != self._manifest.split_id:
                    raise UserError(f"it has the cut student {label.split_id}, the robot {self._manifest.split_id}")
                shape = (question.images, self._manifest.embedding_dim)
                answer = _checked(array_of(label, data, "float32", shape))
            except UserError as error:
                self.counts["refused"] += 1
                question.refused = True
                if question.probe:
                    self._question = None
                self._alone("refused", f"the base station is refused: {error}")
            else:
                self._take(question, answer)
            self._change.notify_all()

    def _take(self, question: _Question, answer: NDArray[np.float32]) -> None:
        trip_s = self._clock() - question.sent_s
        if not question.probe:
            question.answer = answer
            self.counts["answered"] += 1
            self.round_trip_s.add(trip_s)
            return
        self._question = None  # a second answer is late
        if trip_s <= question.limit_s:
            self.using, self._misses = True, 0
            self._tell("used", f"the base station computes the rest: it answered in {1e3 * trip_s:.0f} ms")
        else:
            self._alone("slow", f"it answers after {1e3 * trip_s:.0f} ms, {1e3 * question.limit_s:.0f} ms are allowed")

    def _alone(self, kind: str, reason: str) -> None:
        self.using, self._misses = False, 0
        self._next_probe_s = self._clock() + self._retry_s
        self._tell(kind, f"the robot computes alone: {reason}")

    def _tell(self, kind: str, text: str) -> None:
        """Say it where it is another state than before, not at every frame."""
        if kind != self._kind:
            self._kind, self.state = kind, text
            self._say(text)

    def _remark(self, text: str) -> None:
        """Once, about what changes nothing."""
        if self.counts["refused"] == 1:
            self._say(text)


def _checked(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Refuse what is no embedding, as NaN."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(embeddings, axis=1)
        if not (np.abs(lengths - 1) < 1e-3).all():  # also refuses NaN
            raise UserError("its embedding is not of length 1")
    return embeddings
