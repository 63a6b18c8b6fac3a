"""Answers as messages: edgevl/SceneClass, and vision_msgs/Classification where that is installed; the label set."""

import array
from typing import Any, NamedTuple

from edgevl.msg import Embedding, LabelSet, SceneClass

from edgevl_core.bundle.student_bundle import Bundle
from edgevl_core.classify.classifier import Scene
from edgevl_core.classify.model import Model
from edgevl_core.pairing.frames import Frame
from edgevl_core.pairlog.cdr_header import frame_id
from edgevl_ros.node.stamps import to_time


class Heading(NamedTuple):
    """What an answer tells of its frame, without the frame's images: these are large."""

    stamp_ns: int
    frame_id: str
    complete_s: float


def heading_of(frame: Frame) -> Heading:
    """Stamp and frame_id of the leading image, and when the last image had come (monotonic clock)."""
    return Heading(frame.lead.stamp_ns, frame_id(frame.lead.cdr), frame.complete_s)


def to_scene_class(scene: Scene, heading: Heading, top_k: int) -> SceneClass:
    """The answer about a frame with its stamp and frame_id; bundle, label set and latency are the caller's."""
    message = SceneClass(
        label=scene.label,
        confidence=float(scene.confidence),
        known=bool(scene.known),
        labels=list(scene.labels[:top_k]),
        scores=[float(score) for score in scene.scores[:top_k]],
        modality=scene.modality,
    )
    message.header.stamp = to_time(heading.stamp_ns)
    message.header.frame_id = heading.frame_id
    return message


def to_embedding(message: SceneClass, scene: Scene, bundle: Bundle) -> Embedding:
    """What the answer ``message`` rests on."""
    return Embedding(
        header=message.header,
        modality=message.modality,
        known=message.known,
        bundle_id=message.bundle_id,
        bundle=str(bundle.path),
        temperature=float(bundle.manifest.temperature.of(scene.modality)),
        embedding=array.array("f", scene.embedding.tobytes()),
    )


def to_label_set(model: Model | None) -> LabelSet:
    """The label set in force; empty without a model."""
    if model is None:
        return LabelSet()
    return LabelSet(
        version=model.classifier.label_set_version,
        bundle_id=model.classifier.bundle_id,
        bundle_path=str(model.bundle.path),
        labels=list(model.classifier.labels),
    )


def vision_types() -> tuple[type, type] | None:
    """vision_msgs' Classification and ObjectHypothesis; None where it is not installed."""
    try:
        from vision_msgs.msg import Classification, ObjectHypothesis
    except ImportError:
        return None
    return Classification, ObjectHypothesis


def to_classification(message: SceneClass, classification: type, object_hypothesis: type) -> Any:
    """A vision_msgs/Classification with the same labels and scores; it cannot say that a scene is unknown."""
    results = [
        object_hypothesis(class_id=label, score=float(score)) for label, score in zip(message.labels, message.scores)
    ]
    return classification(header=message.header, results=results)
