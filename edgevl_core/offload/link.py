"""Whether the base station is asked, how long it is waited for, and what its answers are worth. No ROS.

The robot never waits for a base station that is not there: what finds it is a probe, a frame that is sent while the
robot computes it itself. Only when a probe was answered in time, and as the robot answers it, are the next frames
waited for; while they are, probes go on, so that one which computes otherwise is found out.
"""

import secrets
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
# Of the answer to a probe to the robot's own. Both machines' back halves gave the golden embeddings to 0.9999, which
# lets them differ by twice that angle.
SAME_COSINE = 0.999
CHECKED_OF = 16  # one of so many frames, at random, is a probe while the base station is used
COUNTS = ("asked", "answered", "missed", "late", "refused", "probes")
Send = Callable[[int, NDArray[Any]], bool]
Compute = Callable[[NDArray[Any]], NDArray[np.float32]]
Say = Callable[[str], object]


@dataclass
class _Question:
    number: int
    images: int
    sent_s: float
    limit_s: float
    probe: bool
    own: NDArray[np.float32] | None = None
    answer: NDArray[np.float32] | None = None
    trip_s: float = 0.0
    refused: bool = False
    hurried: bool = False

    @property
    def done(self) -> bool:
        return self.refused or self.hurried or self.answer is not None


class Link:
    """One question at a time, from one thread; answers come in another.

    Args:
        manifest: of the student that was cut.
        send: publishes a question: its number, and the features (N, ...); False, nothing done, where nobody listens.
        retry_s: seconds from one probe to the next.
        say: gets one line when the base station is used from now on, or is no longer, with the reason.
        clock: monotonic seconds.
        checks: whether the next frame is a probe although the base station is used.

    Attributes:
        counts: "asked": frames whose answer was waited for, of them "answered" and "missed"; "probes"; of the answers
            "late": to nothing that is waited for, and "refused": not what was asked for. Both are dropped.
        round_trip_s: of the answers in time.
        using: whether the base station is asked.
        state: how it stands, in one line.
    """

    def __init__(
        self,
        manifest: SplitManifest,
        send: Send,
        retry_s: float,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
        checks: Callable[[], bool] = lambda: secrets.randbelow(CHECKED_OF) == 0,
    ) -> None:
        self._manifest, self._send, self._retry_s, self._say = manifest, send, retry_s, say
        self._clock, self._checks = clock, checks
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self.round_trip_s = Recent(100)
        self._next_probe_s = clock()
        # A robot must not take for its own the answers to its earlier life, or to another robot, whatever its clock.
        self._number = secrets.randbelow(10**17)
        self._question: _Question | None = None
        self._strange = False
        self._change = threading.Condition()
        self.rest()

    def asks(self) -> bool:
        """Whether ``ask`` would send anything now."""
        with self._change:
            return self.using or self._clock() >= self._next_probe_s

    def ask(self, features: NDArray[Any], limit_s: float, own: Compute) -> NDArray[np.float32]:
        """(N, ...) features -> (N, D) float32 embeddings of length 1, from the base station or from ``own``.

        Args:
            limit_s: how long an answer is worth waiting for.
            own: the robot's own back half, which computes what no answer came for.
        """
        question = self._sent(features, limit_s)
        if question is None:
            return own(features)
        if question.probe:
            embeddings = own(features)
            with self._change:
                question.own = embeddings
                self._judge(question)
            return embeddings
        with self._change:
            self._change.wait_for(lambda: question.done, max(0.0, question.sent_s + limit_s - self._clock()))
            self._question = None
            if question.answer is not None:
                self._misses = 0
                return question.answer
            if not question.refused:
                self.counts["missed"] += 1
            if not question.done:
                self._misses += 1
                if self._misses >= MAX_MISSES:
                    self._alone("silent", f"no answer within {1e3 * limit_s:.0f} ms, {MAX_MISSES} times in a row")
        return own(features)

    def hurry(self) -> None:
        """End the wait for an answer, if there is one: the robot computes that frame itself."""
        with self._change:
            if self._question is not None and not self._question.probe:
                self._question.hurried = True
                self._change.notify_all()

    def rest(self) -> None:
        """Wait for nobody until a probe is answered again: answers are not listened to."""
        with self._change:
            self.using, self._misses = False, 0
            self._kind, self.state = "silent", "the robot computes alone: no answer from the base station yet"
            self.hurry()

    def _sent(self, features: NDArray[Any], limit_s: float) -> _Question | None:
        """A question that is on its way; None: nobody is to be asked, or nobody listens."""
        with self._change:
            now_s = self._clock()
            if not self.asks():
                return None
            unanswered = self._question is not None
            self._number += 1
            question = _Question(self._number, len(features), now_s, limit_s, not self.using or self._checks())
            self._question = question
            if question.probe:
                self._next_probe_s = now_s + self._retry_s
                if unanswered and not self.using:
                    self._tell("silent", "the robot computes alone: no answer from the base station")
        sent = self._send(question.number, features)
        with self._change:
            if sent:
                self.counts["probes" if question.probe else "asked"] += 1
                return question
            self._question = None
            self._alone("silent", "no base station listens")
            return None

    def receive(self, cdr: bytes) -> None:
        """An answer, serialised. One that is not what was asked for is counted, and said; it never raises."""
        with self._change:
            question = self._question
            try:
                _, label, data = unpack(cdr)
            except UserError as error:
                self.counts["refused"] += 1
                if not self._strange:  # it changes nothing
                    self._say(str(error))
                self._strange = True
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
                self._refuse(question, str(error))
            else:
                question.answer, question.trip_s = answer, self._clock() - question.sent_s
                if question.probe:
                    self._judge(question)
                else:
                    self.counts["answered"] += 1
                    self.round_trip_s.add(question.trip_s)
            self._change.notify_all()

    def _judge(self, probe: _Question) -> None:
        """What its answer is worth, once that and the robot's own are there."""
        if probe.own is None or probe.answer is None or probe is not self._question:
            return
        self._question = None  # a second answer is late
        cosine = float((probe.own * probe.answer).sum(axis=1).min())
        trip_ms, limit_ms = 1e3 * probe.trip_s, 1e3 * probe.limit_s
        if not cosine >= SAME_COSINE:
            self._refuse(
                probe, f"it answers otherwise than the robot (cosine {cosine:.4f}, at least {SAME_COSINE} is needed)"
            )
        elif probe.trip_s <= probe.limit_s:
            self.using, self._misses = True, 0
            self._tell("used", f"the base station computes the rest: it answered in {trip_ms:.0f} ms")
        elif not self.using:
            self._alone("slow", f"it answers after {trip_ms:.0f} ms, {limit_ms:.0f} ms are allowed")

    def _refuse(self, question: _Question, reason: str) -> None:
        self.counts["refused"] += 1
        question.refused = True
        if question.probe:
            self._question = None
        self._alone("refused", f"the base station is refused: {reason}")

    def _alone(self, kind: str, reason: str) -> None:
        self.using, self._misses = False, 0
        self._next_probe_s = self._clock() + self._retry_s
        self._tell(kind, f"the robot computes alone: {reason}")

    def _tell(self, kind: str, text: str) -> None:
        """Say it where it is another state than before, not at every frame."""
        self.state = text
        if kind != self._kind:
            self._kind = kind
            self._say(text)


def _checked(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Refuse what is no embedding, as NaN."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(embeddings, axis=1)
        if not (np.abs(lengths - 1) < 1e-3).all():  # also refuses NaN
            raise UserError("its embedding is not of length 1")
    return embeddings
