"""scene_classifier's way from two serialised images to a serialised answer, cut into its parts; no DDS, no node."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.depth import MeasuredDepth
from edgevl_core.camera.preprocess import Preprocess, fill_batch, to_input
from edgevl_core.engine import Engine

PARTS = ("deserialise", "decode", "to input", "inference", "answer")
INFERENCE = "inference"
_HEIGHT, _WIDTH = 480, 640
_LABELS = 20


def available() -> bool:
    """Whether ROS 2 and edgevl's messages can be imported here."""
    return all(find_spec(name) for name in ("rclpy", "edgevl"))


def node_path(engine: Engine, preprocess: Preprocess) -> dict[str, Callable[[], object]]:
    """The parts by the names of PARTS, for one pair of 640x480 rgb8 and 16UC1.

    Each starts from what the one before it once gave. The inference is one run of both images, as in the node.
    """
    from rclpy.serialization import serialize_message

    from edgevl_core.classify.classifier import Scene
    from edgevl_core.pairing.frames import Frame, Received
    from edgevl_ros.classify.messages import heading_of, to_scene_class
    from edgevl_ros.node.images import to_depth, to_rgb
    from edgevl_ros.node.streams import view

    rgb_cdr, depth_cdr = _serialised_pair()
    labels = tuple(f"room {number}" for number in range(_LABELS))
    scores = (1 / _LABELS,) * _LABELS

    def deserialise() -> tuple[Any, Any]:
        return view(rgb_cdr, "rgb"), view(depth_cdr, "depth")

    def decode() -> tuple[NDArray[np.uint8], MeasuredDepth]:
        return to_rgb(messages[0]), to_depth(messages[1])

    def inputs() -> np.ndarray:
        return fill_batch(batch, [to_input(image, preprocess) for image in images])

    def infer() -> np.ndarray:
        return engine(pixels)

    def answer() -> bytes:
        scene = Scene(labels[0], scores[0], True, labels, scores, "rgbd", embedding)
        return serialize_message(to_scene_class(scene, heading_of(Frame(Received(0, rgb_cdr, 0.0), None)), 5))

    batch = np.empty((2, 3, preprocess.size_px, preprocess.size_px), np.uint8)
    messages = deserialise()
    images = decode()
    pixels = inputs()
    embedding = infer()[0]
    return dict(zip(PARTS, (deserialise, decode, inputs, infer, answer), strict=True))


def _serialised_pair() -> tuple[bytes, bytes]:
    """CDR of an RGB image of noise, and of a sloping depth image with holes: the time depends on neither."""
    from rclpy.serialization import serialize_message

    from edgevl_ros.node.images import cv2_to_imgmsg

    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    depth_mm = (1500 + np.arange(_WIDTH) + rng.normal(0, 5, (_HEIGHT, _WIDTH))).astype(np.uint16)
    depth_mm[rng.random(depth_mm.shape) < 0.03] = 0
    rgb_cdr, depth_cdr = (
        serialize_message(cv2_to_imgmsg(pixels, encoding)) for pixels, encoding in ((rgb, "rgb8"), (depth_mm, "16UC1"))
    )
    return rgb_cdr, depth_cdr
