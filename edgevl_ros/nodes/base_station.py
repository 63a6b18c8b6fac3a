"""base_station: runs the back half of a robot's student on a stronger machine, from features; it never sees a picture.

It answers the newest features with their embeddings, under the same stamp, frame_id and number. Features of another
student get an empty answer, so that the robot knows at once, and need not wait. Labels, words and calibration stay with
the robot.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage

from edgevl_core.base.errors import UserError
from edgevl_core.base.recent import Recent
from edgevl_core.bundle.signature import trusted_keys
from edgevl_core.offload.halves import load_back
from edgevl_core.offload.tensor import MAX_IMAGES, array_of, pack, unpack
from edgevl_ros.node.diagnostics import OK, WARN, Report
from edgevl_ros.node.exit_guard import leave
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.parameters import TrustParameters, parameter
from edgevl_ros.node.qos import NEWEST, StreamParameters
from edgevl_ros.node.runner import run
from edgevl_ros.node.streams import RawStream
from edgevl_ros.node.worker import NewestWorker

ANSWERED, REFUSED = "answered", "refused"


@dataclass(frozen=True)
class BaseParameters(StreamParameters, TrustParameters):
    """base_station's parameters."""

    offload: str = parameter("", "cut student, as `edgevl split --at --out` writes it; the robot has the same")
    features_topic: str = parameter("scene_classifier/features", "the robot's features")
    threads: int = parameter(1, "threads of one inference", low=1, high=64)


class BaseStation(ManagedNode[BaseParameters]):
    """See the module's text. ~/answers (sensor_msgs/CompressedImage, see edgevl_core.offload.tensor).

    ``~/stats`` accounts for every message: received_features = answered + refused + superseded + failed + in_progress.
    """

    def __init__(self) -> None:
        super().__init__("base_station", BaseParameters)
        self._stream: RawStream | None = None
        self._worker: NewestWorker[bytes] | None = None
        self._refusal = ""
        self._inference_s = Recent()

    def setup(self) -> None:
        if not self.parameters.offload:
            raise UserError("parameter offload is empty: give the directory that `edgevl split --at --out` made")
        parameters = self.parameters
        self._half = load_back(parameters.path("offload"), parameters.threads, trusted_keys(parameters.trust))
        self._answers = self.add_publisher(CompressedImage, "~/answers", NEWEST)

    def start(self) -> None:
        self._refusal = ""
        worker = NewestWorker(self._answer, lambda error: self.add_error("answer", error), (ANSWERED, REFUSED))
        self.until_deactivate.callback(worker.close)
        self._worker = worker
        offer = worker.offer
        self._stream = RawStream(self, CompressedImage, self.parameters.features_topic, lambda _, cdr: offer(cdr))

    def _answer(self, cdr: bytes) -> str:
        manifest = self._half.manifest
        header, label, data = unpack(cdr)
        embeddings = np.zeros((0, manifest.embedding_dim), np.float32)
        outcome = ANSWERED
        try:
            if label.split_id != manifest.split_id:
                raise UserError(f"the robot has the cut student {label.split_id}, this is {manifest.split_id}")
            images = min(max(label.shape[0], 1), MAX_IMAGES)
            embeddings = self._embed(array_of(label, data, manifest.dtype, (images, *manifest.shape)))
        except UserError as error:
            self._refuse(str(error))
            outcome = REFUSED
        else:
            self._refusal = ""
        self._answers.publish(pack(header, manifest.split_id, label.number, embeddings))
        return outcome

    def _embed(self, features: NDArray[Any]) -> NDArray[np.float32]:
        start_s = time.perf_counter()
        embeddings: NDArray[np.float32] = self._half.back(features)
        self._inference_s.add(time.perf_counter() - start_s)
        return embeddings

    def _refuse(self, reason: str) -> None:
        """Say it once, not for every frame, and seldom where another robot's features are answered in between."""
        if reason != self._refusal:
            self.get_logger().warning(f"features refused: {reason}", throttle_duration_sec=10.0)
        self._refusal = reason

    def report(self) -> Report:
        values: dict[str, object] = {"offload_id": self._half.manifest.split_id}
        problem = ""
        if self._stream is not None and self._worker is not None:
            values.update(self._stream.values("features"), **self._worker.counts())
            problem = self._refusal or self._stream.problem()
        values["answers_subscribers"] = self._answers.get_subscription_count()
        values["inference_p50_ms"] = self._inference_s.quantile(0.5) * 1e3
        values["inference_p95_ms"] = self._inference_s.quantile(0.95) * 1e3
        return Report(WARN if problem else OK, problem or "answering", values)


def main() -> int:
    """Console script; returns the exit code."""
    return run(BaseStation, BaseParameters, __doc__ or "")


if __name__ == "__main__":
    leave(main())
