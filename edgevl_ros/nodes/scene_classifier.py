"""scene_classifier: names the scene in each newest frame, from RGB, depth or both, by words that may change any time.

Subscriptions only count and pair bytes; one worker thread decodes and infers the newest frame. Older
frames that waited are dropped and counted as superseded: an answer about the past is worth nothing to a
moving robot.
"""

import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from edgevl.msg import Embedding, LabelSet, SceneClass
from edgevl.srv import EncodeText, LoadBundle, SetLabels

from edgevl_core.base.errors import UserError
from edgevl_core.base.recent import Recent
from edgevl_core.bundle.files import below_roots
from edgevl_core.bundle.signature import trusted_keys
from edgevl_core.bundle.student_bundle import Bundle
from edgevl_core.bundle.vocabulary import check_words
from edgevl_core.classify.classifier import Scene, UnknownLabels
from edgevl_core.classify.model import Model, load_model
from edgevl_core.classify.smoothing import Smoother
from edgevl_core.pairing.frames import Frame
from edgevl_ros.classify.decoder import FrameDecoder
from edgevl_ros.classify.intake import ANSWERED, Intake
from edgevl_ros.classify.messages import (
    Heading,
    heading_of,
    to_classification,
    to_embedding,
    to_label_set,
    to_scene_class,
    vision_types,
)
from edgevl_ros.classify.parameters import ClassifierParameters
from edgevl_ros.classify.remote import RemoteHalf, between_frames
from edgevl_ros.node.diagnostics import OK, WARN, ClockJumps, Report
from edgevl_ros.node.exit_guard import leave
from edgevl_ros.node.images import cv_bridge
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.qos import LATCHED, result_qos
from edgevl_ros.node.runner import run
from edgevl_ros.node.worker import FAILED, in_thread


class SceneClassifier(ManagedNode[ClassifierParameters]):
    """See the module's text. ~/scene, ~/embedding, ~/classification, ~/labels (edgevl/LabelSet, latched).

    Services: ~/set_labels, ~/load_bundle, ~/encode_text.

    ``~/stats`` accounts for every image: received_rgb + received_depth = 2 pairs + rgb_alone + depth_alone + waiting +
    those dropped unpaired (rgb_unmatched, depth_late, ..., and rgb_unreadable, depth_unreadable: without a header), and
    for every frame: frames = pairs + rgb_alone + depth_alone = answered + superseded + failed + idle + rate_limited +
    in_progress. "broken_rgb", "broken_depth": images that were no picture; the other camera answers alone, and without
    one the frame has failed. The last frame is answered again, by its stamp, when the words change: "repeated".
    """

    def __init__(self) -> None:
        super().__init__("scene_classifier", ClassifierParameters)
        self._model: Model | None = None
        self._chosen_labels: list[str] | None = None  # None: a bundle's own; []: all that it has
        # Held while a frame is classified: model and labels change between two frames.
        self._swap = threading.Lock()
        self._under_way = ""
        self._last: Heading | None = None
        self._repeated = 0
        self._intake: Intake | None = None
        self._remote: RemoteHalf | None = None
        self._clock_jumps = ClockJumps(self.get_logger().warning)
        self._vision = vision_types()
        # From a frame's last image to its answer; work on one frame; all of the former but the student's network.
        self._latency_s, self._work_s, self._overhead_s = Recent(), Recent(), Recent()

    def setup(self) -> None:
        if not (self.parameters.use_rgb or self.parameters.use_depth):
            raise UserError("use_rgb and use_depth are both false: at least one must be true")
        cv_bridge()  # refuses a broken one now, not at the first image
        self.until_cleanup.callback(self._forget)
        self._trusted = trusted_keys(self.parameters.trust)
        self._roots = [str(root) for root in self.parameters.paths("bundle_roots")]
        self._remote = RemoteHalf(self) if self.parameters.offload else None
        self._chosen_labels = check_words(self.parameters.labels, self.parameters.max_labels) or None
        if self.parameters.bundle:
            self._model = self._load(self.parameters.path("bundle"))
        self._scene = self.add_publisher(SceneClass, "~/scene", result_qos())
        self._embedding = self.add_publisher(Embedding, "~/embedding", result_qos())
        self._classification = None
        if self._vision is not None:
            self._classification = self.add_publisher(self._vision[0], "~/classification", result_qos())
        self._labels = self.add_publisher(LabelSet, "~/labels", LATCHED)
        self._announce()
        self.add_service(SetLabels, "~/set_labels", self._on_set_labels)
        self.add_service(EncodeText, "~/encode_text", self._on_encode_text)
        self.add_service(LoadBundle, "~/load_bundle", self._on_load_bundle)

    def _forget(self) -> None:
        self._model = self._intake = self._remote = None

    def start(self) -> None:
        self._last = None
        if self._model is not None:
            self._model.smoother.reset()
        self._intake = Intake(self, self._wanted, self._answer)
        if self._remote is not None:
            self._remote.listen()

    # -- frames -----------------------------------------------------------------------------------------

    def _wanted(self) -> bool:
        return not self.parameters.idle_without_subscribers or self._subscribers() > 0

    def _subscribers(self) -> int:
        publishers = (self._scene, self._embedding, self._classification)
        return sum(publisher.get_subscription_count() for publisher in publishers if publisher is not None)

    def _answer(self, decoder: FrameDecoder, frame: Frame) -> str:
        started_s = time.monotonic()
        rgb, depth = decoder.images(frame)
        with self._swap:
            if self._model is None:
                return FAILED
            depth = decoder.as_learned(depth, self._model.learned)
            heading = heading_of(frame)
            if self._remote is not None:
                self._remote.begin(heading)
            scene, bundle_id, version = self._model.classify(rgb, depth, heading.stamp_ns)
            self._last = heading
            # Within the lock: an answer by the words before never comes after one by the new words.
            latency_s = self._publish_answer(heading, scene, bundle_id, version, self._model.bundle)
        self._latency_s.add(latency_s)
        self._work_s.add(time.monotonic() - started_s)
        self._overhead_s.add(latency_s - scene.inference_s)
        return ANSWERED

    def _publish_answer(
        self, heading: Heading, scene: Scene, bundle_id: str, version: int, bundle: Bundle | None = None
    ) -> float:
        """Publish an answer, with ``bundle`` its embedding as well; seconds since the frame's last image had come."""
        message = to_scene_class(scene, heading, self.parameters.top_k)
        message.bundle_id, message.label_set_version = bundle_id, version
        latency_s = time.monotonic() - heading.complete_s
        message.latency_ms = latency_s * 1e3
        self._scene.publish(message)
        if bundle is not None and self._embedding.get_subscription_count():
            self._embedding.publish(to_embedding(message, scene, bundle))
        if self._vision is not None and self._classification is not None:
            self._classification.publish(to_classification(message, *self._vision))
        return latency_s

    def _answer_again(self, model: Model) -> None:
        """Name the last frame by the new words, so that nobody waits for the next one; the caller holds the lock."""
        last = self._last
        if last is None or time.monotonic() - last.complete_s > self.parameters.reset_after_s or not self._wanted():
            return
        answer = model.reclassify(last.stamp_ns)
        if answer is not None:
            self._publish_answer(last, *answer)
            self._repeated += 1

    # -- model and labels -------------------------------------------------------------------------------

    def _load(self, path: Path, bundle_id: str = "") -> Model:
        """A verified, self-tested model with the chosen label set. Raises UserError: see load_model."""
        parameters = self.parameters
        smoother = Smoother(parameters.smoothing_s, parameters.hysteresis, parameters.reset_after_s)
        engine = {key: getattr(parameters, key) for key in ("engine", "threads", "providers", "precision")}
        model = load_model(path, self._chosen_labels, engine, smoother, self._trusted, bundle_id)
        model = model if (remote := self._remote) is None else remote.through(model)
        for note in (*model.shortcomings, *model.bundle.notes):
            self.get_logger().warning(note)
        return model

    @contextmanager
    def _only(self, what: str) -> Iterator[None]:
        """One change of bundle or labels at a time. Raises UserError while there is another."""
        if self._under_way:
            raise UserError(f"{self._under_way}: try again when that is done")
        self._under_way = what
        try:
            yield
        finally:
            self._under_way = ""

    async def _on_load_bundle(self, request: LoadBundle.Request, response: LoadBundle.Response) -> LoadBundle.Response:
        response.bundle_id = self._bundle_id()
        if not request.path:
            raise UserError("path is empty: give the directory of a student bundle")
        path = below_roots(Path(request.path), self._roots)
        with self._only("another bundle is being loaded"):
            model = await in_thread(self, lambda: self._load(path, request.bundle_id))
        with between_frames(self._swap, self._remote):
            self._model = model
        response.ok, response.bundle_id = True, self._bundle_id()
        response.message = "; ".join((f"loaded {request.path}", *model.shortcomings))
        self.get_logger().info(f"bundle {response.bundle_id} loaded from {request.path}")
        self._announce()
        return response

    async def _on_encode_text(self, request: EncodeText.Request, response: EncodeText.Response) -> EncodeText.Response:
        model = self._model
        if model is None:
            raise UserError("no bundle loaded: call ~/load_bundle first")
        words = check_words(request.words, self.parameters.max_labels)
        encode = partial(model.classifier.embed_words, words)
        if model.classifier.must_encode(words):
            with self._only("other words are being encoded"):  # each loads the text encoder
                vectors = await in_thread(self, encode)
        else:
            vectors = encode()
        response.ok, response.bundle_id = True, model.classifier.bundle_id
        response.dimension = vectors.shape[1]
        response.embeddings = array("f", vectors.tobytes())
        return response

    async def _on_set_labels(self, request: SetLabels.Request, response: SetLabels.Response) -> SetLabels.Response:
        model = self._model
        if model is None:
            raise UserError("no bundle loaded: call ~/load_bundle first")
        response.labels, response.version = list(model.classifier.labels), model.classifier.label_set_version
        chosen = check_words(request.labels, self.parameters.max_labels)
        words = chosen or list(model.bundle.label_bank.names)
        with self._only("other labels are being encoded"):
            encode = partial(model.classifier.bank_for, words)
            bank = await in_thread(self, encode) if model.classifier.must_encode(words) else encode()
            with between_frames(self._swap, self._remote):
                try:
                    change = model.set_labels(words, bank)
                except UnknownLabels as error:
                    response.unknown = list(error.words)
                    raise
                self._answer_again(model)
        self._chosen_labels = chosen
        response.ok, response.message = True, change.message
        response.labels, response.version = list(change.effective), change.version
        self._announce()
        return response

    def _announce(self) -> None:
        """Tell the label set in force, and the statistics, now."""
        self._labels.publish(to_label_set(self._model))
        self.publish_stats()

    def _bundle_id(self) -> str:
        return "" if self._model is None else self._model.classifier.bundle_id

    # -- diagnostics ------------------------------------------------------------------------------------

    def report(self) -> Report:
        values: dict[str, object] = dict.fromkeys(
            ("received_rgb", "received_depth", "pairs", "rgb_alone", "depth_alone"), 0
        )
        intake = self._intake
        if intake is not None:
            values.update(intake.values(), **self._clock_jumps.values(intake.clock_jumps))
        values.update(repeated=self._repeated, scene_subscribers=self._scene.get_subscription_count())
        values["embedding_subscribers"] = self._embedding.get_subscription_count()
        model = self._model
        values.update(self._times(model), bundle_id=self._bundle_id())
        if self._classification is not None:
            values["classification_subscribers"] = self._classification.get_subscription_count()
        if model is not None:
            values.update(bundle=model.bundle.path, label_set_version=model.classifier.label_set_version)
            values.update(labels=", ".join(model.classifier.labels), text_encoder=model.bundle.text_encoder is not None)
            engine = model.bundle.engine
            values.update(engine=engine.name, provider=engine.providers[0], threads=engine.threads)
            values["student"] = engine.path.name
        problems = ["no bundle loaded"] if model is None else list(model.shortcomings)
        if intake is not None:
            values["registered"] = str(intake.decoder.calibration.found)
            unlike = "" if model is None else intake.decoder.unlike(model.learned)
            problems += ([unlike] if unlike else []) + intake.decoder.doubts() + intake.problems()
        if self._remote is not None:
            values.update(self._remote.values(model))
            problems += self._remote.problems(model)
        doing = "classifying" if self._wanted() else "idle: nobody subscribes"
        return Report(WARN if problems else OK, "; ".join(problems) or doing, values)

    def _times(self, model: Model | None) -> dict[str, object]:
        """Quantiles of the last frames: from arrival to answer, work on one, the network, and all but the network."""
        inference_s = Recent() if model is None else model.bundle.engine.recent_s
        values: dict[str, object] = {}
        own = {"latency": self._latency_s, "work": self._work_s, "overhead": self._overhead_s}
        for name, recent in {**own, "inference": inference_s}.items():
            values[f"{name}_p50_ms"] = recent.quantile(0.5) * 1e3
            values[f"{name}_p95_ms"] = recent.quantile(0.95) * 1e3
        return values


def main() -> int:
    """Console script; returns the exit code."""
    return run(SceneClassifier, ClassifierParameters, __doc__ or "")


if __name__ == "__main__":
    leave(main())
