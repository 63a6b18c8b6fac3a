"""From images as they arrive to frames that are answered one at a time, always the newest."""

import time
from collections.abc import Callable
from functools import partial

from edgevl_core.classify.gate import Gate
from edgevl_core.pairing.frames import DEPTH, RGB, Frame, FrameSource, Received
from edgevl_core.pairlog.offset import unpaired_problem
from edgevl_ros.classify.decoder import FrameDecoder
from edgevl_ros.classify.parameters import ClassifierParameters
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.streams import RawStream, image_type, values_of
from edgevl_ros.node.worker import NewestWorker

ANSWERED = "answered"


class Intake:
    """Listens until the node is deactivated; its counts can be asked for afterwards too.

    Args:
        node: its parameters name the topics.
        wanted: whether anybody waits for answers; else frames are counted as idle.
        answer: called with the decoder and a frame, in a thread of its own; what became of the frame.

    Attributes:
        decoder: what ``answer`` gets.
    """

    def __init__(
        self,
        node: ManagedNode[ClassifierParameters],
        wanted: Callable[[], bool],
        answer: Callable[[FrameDecoder, Frame], str],
    ) -> None:
        parameters = node.parameters
        used = {"rgb": parameters.use_rgb, "depth": parameters.use_depth}
        self._source = FrameSource(used["rgb"], used["depth"], parameters.max_skew_s, parameters.fallback_after_s)
        self._gate, self._wanted = Gate(parameters.max_rate_hz), wanted
        self.decoder = FrameDecoder(node)
        self._worker = NewestWorker(partial(answer, self.decoder), partial(node.add_error, "classify"), (ANSWERED,))
        node.until_deactivate.callback(self._worker.close)
        self._topics = {"rgb": parameters.rgb_topic, "depth": parameters.depth_topic}
        self._streams = {
            name: RawStream(node, image_type(self._topics[name]), self._topics[name], partial(self._on_image, number))
            for name, number in (("rgb", RGB), ("depth", DEPTH))
            if used[name]
        }

    def _on_image(self, stream: int, stamp_ns: int, cdr: bytes) -> None:
        now_s = time.monotonic()
        frames = self._source.push(stream, Received(stamp_ns, cdr, now_s))
        # The newest first: a rate that lets one through lets that one through.
        admitted = [frame for frame in reversed(frames) if self._gate.admits(now_s, self._wanted())]
        for frame in reversed(admitted):
            self._worker.offer(frame)

    @property
    def clock_jumps(self) -> tuple[int, str]:
        """How often the streams' clock was set, and the last time in words."""
        return self._source.clock_jumps

    def values(self) -> dict[str, object]:
        """For diagnostics: what came of every image and every frame."""
        frames = {**self._source.counts, "waiting": self._source.waiting, "frames": self._source.frames}
        broken = {f"broken_{name}": self.decoder.broken[topic] for name, topic in self._topics.items()}
        return {**values_of(self._streams), **frames, **broken, **self._gate.counts, **self._worker.counts()}

    def problems(self) -> list[str]:
        """Which streams bring nothing that can be used, or do not fit each other, and why."""
        problems = [*(stream.problem() for stream in self._streams.values()), unpaired_problem(self._source.unpaired)]
        return [problem for problem in problems if problem]
