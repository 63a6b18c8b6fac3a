"""From a frame's bytes to the images that a student looks at, depth registered to RGB as it learned."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from edgevl_core.camera.depth import MeasuredDepth
from edgevl_core.camera.doubts import DepthWatch, turn_doubt
from edgevl_core.camera.images import ImageFormatError
from edgevl_core.camera.registration import INFO_OF, Registration, as_learned, cut
from edgevl_core.pairing.frames import Frame, Received
from edgevl_core.pairlog.calibration import CalibrationReader
from edgevl_ros.classify.parameters import ClassifierParameters
from edgevl_ros.node.images import to_depth, to_rgb
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.streams import RawStream, view

LOOKED_AT = 10  # of so many depth images one is looked at for its unit


class FrameDecoder:
    """Decodes frames; listens to both cameras' camera_info until the node is deactivated.

    Args:
        node: its parameters name the topics.

    Attributes:
        calibration: what is known of the two cameras.
        broken: images that could not be read, by topic.
    """

    def __init__(self, node: ManagedNode[ClassifierParameters]) -> None:
        self.calibration = CalibrationReader()
        self.broken: Counter[str] = Counter()
        self._depth_watch = DepthWatch(every=LOOKED_AT)
        self._rgb_seen, self._turned = False, ""
        self._node = node
        self._rgb_topic, self._depth_topic = node.parameters.rgb_topic, node.parameters.depth_topic
        for name, camera in INFO_OF.items():
            if node.parameters.use_depth and (topic := getattr(node.parameters, f"{name}_topic")):
                RawStream(node, CameraInfo, topic, partial(self._on_info, camera))

    def images(self, frame: Frame) -> tuple[NDArray[np.uint8] | None, MeasuredDepth | None]:
        """(H, W, 3) uint8 RGB and (H, W) depth, None for what the frame lacks, or holds in a form that is no picture.

        Raises:
            ImageFormatError: it holds nothing else.
        """
        errors: list[ImageFormatError] = []
        rgb, rgb_image = self._decoded(frame.rgb, self._rgb_topic, to_rgb, errors)
        depth, depth_image = self._decoded(frame.depth, self._depth_topic, to_depth, errors)
        if errors and rgb_image is None and depth_image is None:
            raise errors[0]
        for error in errors:  # the other camera answers alone
            self._node.add_error("decode", error)
        if depth_image is not None:
            self._depth_watch.add(depth_image)
        if rgb is not None and not self._rgb_seen:
            self._rgb_seen, self._turned = True, turn_doubt(rgb)
        if rgb_image is not None and depth_image is not None:
            seen_rgb = (*rgb_image.shape[1::-1], rgb.header.frame_id)
            self.calibration.finder.images(rgb=seen_rgb, depth=(*depth_image.shape[1::-1], depth.header.frame_id))
        return rgb_image, depth_image

    def _decoded(
        self, image: Received | None, topic: str, decode: Callable[[Any], Any], errors: list[ImageFormatError]
    ) -> tuple[Any, Any]:
        """The message and its picture; None and one of ``errors`` more where it cannot be read."""
        if image is None:
            return None, None
        try:
            message = view(image.cdr, topic)
            return message, decode(message)
        except Exception as error:  # bytes of anybody
            self.broken[topic] += 1
            errors.append(ImageFormatError(f"{topic}: {error}"))
            return None, None

    def as_learned(self, depth: MeasuredDepth | None, learned: Sequence[Registration]) -> MeasuredDepth | None:
        """Depth cut to RGB's field of view, if that is how the student learned; see :func:`as_learned`."""
        return None if depth is None else cut(depth, as_learned(self.calibration.found, learned)[0])

    def unlike(self, learned: Sequence[Registration]) -> str:
        """What differs from where the student learned, in words; empty: nothing."""
        return as_learned(self.calibration.found, learned)[1]

    def doubts(self) -> list[str]:
        """What may be wrong with the cameras, one sentence each."""
        said = {self._rgb_topic: self._turned, self._depth_topic: self._depth_watch.doubt()}
        return [f"{topic}: {doubt}" for topic, doubt in said.items() if doubt] + self.calibration.finder.changes

    def _on_info(self, camera: str, stamp_ns: int, cdr: bytes) -> None:
        if self.calibration.add(camera, cdr):
            self._node.get_logger().info(f"depth registered to RGB: {self.calibration.found}")
