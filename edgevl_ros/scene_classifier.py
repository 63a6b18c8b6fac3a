"""scene_classifier: names the scene in each newest frame, from RGB, depth or both.

Subscriptions only count and pair bytes; one worker thread decodes and infers the newest frame. Older
frames that waited are dropped and counted as superseded: an answer about the past is worth nothing to a
moving robot.
"""

import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from edgevl.msg import SceneClass
from edgevl.srv import LoadBundle, SetLabels
from numpy.typing import NDArray

from edgevl_core.bundle import Bundle, load_bundle
from edgevl_core.classifier import Classifier
from edgevl_core.errors import UserError
from edgevl_ros.counters import Recent
from edgevl_ros.diagnostics import OK, WARN, Report
from edgevl_ros.frames import DEPTH, RGB, Frame, FrameSource, Received
from edgevl_ros.images import cv_bridge, to_depth_m, to_rgb
from edgevl_ros.managed import ManagedNode
from edgevl_ros.parameters import Parameter
from edgevl_ros.qos import SUBSCRIPTION_QOS, result_qos
from edgevl_ros.runner import run
from edgevl_ros.stamps import frame_id, to_time
from edgevl_ros.streams import RawStream, deserialize, image_type
from edgevl_ros.worker import NewestWorker, in_thread

PARAMETERS = (
    Parameter("bundle", "", "student bundle to load at start; empty: wait for ~/load_bundle"),
    Parameter("labels", (), "label set to start with; empty: all labels of the bundle"),
    Parameter("use_rgb", True, "subscribe to RGB"),
    Parameter("use_depth", True, "subscribe to depth"),
    Parameter("rgb_topic", "camera/rgb/image_raw", "RGB; CompressedImage where it ends in /compressed"),
    Parameter("depth_topic", "camera/depth/image_raw", "depth, as above; also /compressedDepth"),
    Parameter("max_skew_s", 0.02, "largest difference of stamps within a pair", low=0.0, high=1.0),
    Parameter("fallback_after_s", 0.5, "silence after which the other is used alone", low=0.0, high=60.0),
    Parameter("threads", 1, "threads of one inference", low=1, high=64),
    Parameter("providers", ("CPUExecutionProvider",), "ONNX Runtime execution providers, first choice first"),
    Parameter("top_k", 5, "labels and scores in each answer", low=1, high=100),
    *SUBSCRIPTION_QOS,
)


@dataclass(frozen=True)
class Model:
    """A bundle in use: the two that are swapped together."""

    bundle: Bundle
    classifier: Classifier


class SceneClassifier(ManagedNode):
    """See the module's text. ~/scene, ~/set_labels, ~/load_bundle; ``~/stats`` accounts for every message.

    received_rgb, received_depth; pairs + rgb_alone + depth_alone = frames = answered + superseded + failed
    (+ the one being worked on).
    """

    def __init__(self) -> None:
        super().__init__("scene_classifier", PARAMETERS)
        self._model: Model | None = None
        self._chosen_labels: list[str] | None = None
        # Held while a frame is classified: model and labels change between two frames.
        self._swap = threading.Lock()
        self._loading = False
        self._streams: dict[str, RawStream] = {}
        self._worker: NewestWorker[Frame] | None = None
        self._source: FrameSource | None = None
        self._without_bundle = 0
        self._latency_s, self._inference_s = Recent(), Recent()

    def setup(self) -> None:
        if not (self.values["use_rgb"] or self.values["use_depth"]):
            raise UserError("use_rgb and use_depth are both false: at least one must be true")
        cv_bridge()  # refuses a broken one now, not at the first image
        self._model = None
        self._chosen_labels = list(self.values["labels"]) or None
        if self.values["bundle"]:
            self._model = self._load(Path(self.values["bundle"]))
        self._scene = self.add_publisher(SceneClass, "~/scene", result_qos())
        self.add_service(SetLabels, "~/set_labels", self._on_set_labels)
        self.add_service(LoadBundle, "~/load_bundle", self._on_load_bundle)

    def start(self) -> None:
        use_rgb, use_depth = self.values["use_rgb"], self.values["use_depth"]
        self._source = FrameSource(use_rgb, use_depth, self.values["max_skew_s"], self.values["fallback_after_s"])
        self._without_bundle = 0
        self._worker = NewestWorker(self._answer, partial(self.add_error, "classify"))
        self.until_deactivate.callback(self._worker.close)
        self._streams = {}
        for name, number, used in (("rgb", RGB, use_rgb), ("depth", DEPTH, use_depth)):
            if used:
                topic = self.values[f"{name}_topic"]
                self._streams[name] = RawStream(self, image_type(topic), topic, partial(self._on_image, number))

    # -- frames -----------------------------------------------------------------------------------------

    def _on_image(self, stream: int, stamp_ns: int, cdr: bytes) -> None:
        frame = self._source.push(stream, Received(stamp_ns, cdr, time.monotonic()))
        if frame is not None:
            self._worker.offer(frame)

    def _answer(self, frame: Frame) -> None:
        started_s = time.monotonic()
        rgb, depth_m = self._decode(frame)
        with self._swap:
            if self._model is None:
                self._without_bundle += 1
                return
            classifier = self._model.classifier
            scene = classifier.classify(rgb=rgb, depth_m=depth_m)
            bundle_id, version = classifier.bundle_id, classifier.label_set_version
        now_s = time.monotonic()
        count = min(self.values["top_k"], len(scene.labels))
        message = SceneClass(
            label=scene.label,
            confidence=float(scene.confidence),
            known=bool(scene.known),
            labels=list(scene.labels[:count]),
            scores=[float(score) for score in scene.scores[:count]],
            modality=scene.modality,
            bundle_id=bundle_id,
            label_set_version=version,
            latency_ms=(now_s - frame.complete_s) * 1e3,
        )
        message.header.stamp = to_time(frame.lead.stamp_ns)
        message.header.frame_id = frame_id(frame.lead.cdr)
        self._scene.publish(message)
        self._inference_s.add(now_s - started_s)
        self._latency_s.add(now_s - frame.complete_s)

    def _decode(self, frame: Frame) -> tuple[NDArray[np.uint8] | None, NDArray[np.float32] | None]:
        """(H, W, 3) uint8 RGB and (H, W) float32 metres, None for what the frame lacks."""
        rgb, depth = frame.rgb, frame.depth
        return (
            None if rgb is None else to_rgb(deserialize(rgb.cdr, self.values["rgb_topic"])),
            None if depth is None else to_depth_m(deserialize(depth.cdr, self.values["depth_topic"])),
        )

    # -- model and labels -------------------------------------------------------------------------------

    def _load(self, path: Path) -> Model:
        """A verified, self-tested model with the chosen label set. Raises UserError with the reason."""
        bundle = load_bundle(path, threads=self.values["threads"], providers=self.values["providers"])
        return Model(bundle, Classifier(bundle, labels=self._chosen_labels))

    async def _on_load_bundle(self, request: LoadBundle.Request, response: LoadBundle.Response) -> LoadBundle.Response:
        response.bundle_id = self._bundle_id()
        if not request.path:
            raise UserError("path is empty: give the directory of a student bundle")
        if self._loading:
            raise UserError("another bundle is being loaded: try again when that is done")
        self._loading = True
        try:
            model = await in_thread(self, lambda: self._load(Path(request.path)))
        finally:
            self._loading = False
        with self._swap:
            self._model = model
        response.ok, response.bundle_id = True, self._bundle_id()
        response.message = f"loaded {request.path}"
        self.get_logger().info(f"bundle {response.bundle_id} loaded from {request.path}")
        self.publish_stats()
        return response

    def _on_set_labels(self, request: SetLabels.Request, response: SetLabels.Response) -> SetLabels.Response:
        model = self._model
        if model is None:
            raise UserError("no bundle loaded: call ~/load_bundle first")
        if self._loading:
            raise UserError("a bundle is being loaded: try again when that is done")
        with self._swap:
            change = model.classifier.set_labels(list(request.labels) or model.bundle.label_bank.names)
        if change.ok:
            self._chosen_labels = list(request.labels) or None
        response.ok, response.message = change.ok, change.message
        response.labels, response.unknown = list(change.effective), list(change.unknown)
        response.version = change.version
        self.publish_stats()
        return response

    def _bundle_id(self) -> str:
        return "" if self._model is None else self._model.classifier.bundle_id

    # -- diagnostics ------------------------------------------------------------------------------------

    def report(self) -> Report:
        values: dict[str, object] = {"received_rgb": 0, "received_depth": 0}
        for name, stream in self._streams.items():
            values.update(stream.values(name))
        values.update({"pairs": 0, "rgb_alone": 0, "depth_alone": 0})
        if self._source is not None:
            values.update(self._source.counts, waiting=self._source.waiting)
        worker = self._worker
        if worker is not None:
            values.update(
                frames=worker.offered,
                answered=worker.done - self._without_bundle,
                superseded=worker.superseded,
                failed=worker.failed + self._without_bundle,
            )
        for name, recent in (("latency", self._latency_s), ("inference", self._inference_s)):
            values[f"{name}_p50_ms"] = recent.quantile(0.5) * 1e3
            values[f"{name}_p95_ms"] = recent.quantile(0.95) * 1e3
        values["scene_subscribers"] = self._scene.get_subscription_count()
        model = self._model
        values["bundle_id"] = self._bundle_id()
        if model is not None:
            values["bundle"] = model.bundle.path
            values["labels"] = ", ".join(model.classifier.labels)
            values["label_set_version"] = model.classifier.label_set_version
        problems = [] if model is not None else ["no bundle loaded"]
        problems += [text for stream in self._streams.values() if (text := stream.problem())]
        return Report(WARN if problems else OK, "; ".join(problems) or "classifying", values)


def main() -> int:
    """Console script; returns the exit code."""
    return run(SceneClassifier, PARAMETERS, __doc__ or "")


if __name__ == "__main__":
    raise SystemExit(main())
