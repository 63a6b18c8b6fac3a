"""Where a camera is on the map, from tf2's topics, by the messages alone: tf2_ros itself is not needed."""

import time
from collections.abc import Callable
from typing import Any

from rclpy.serialization import deserialize_message

from edgevl_core.base.errors import UserError
from edgevl_core.room_map.transforms import STATIC_SUFFIX, LiveTransforms
from edgevl_core.room_map.view import Stand
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.qos import LATCHED_OF_MANY, StreamParameters
from edgevl_ros.node.streams import RawStream

TRANSFORMS = "TFMessage"
PATIENCE_S = 2.0


class CameraTransforms:
    """Listens to ``topic`` and ``topic``_static until deactivation; tells each pose of the camera once it is known.

    Args:
        on_pose: called with the stamp in nanoseconds and where the camera is, in the frame ``map`` (REP 105).

    Attributes:
        stream: what is received on ``topic``.
        camera_frame: frame_id of the camera's images, "" where they have none; None: no image has come. Nothing is told
            before it is set.

    Raises:
        UserError: the package tf2_msgs is not installed.
    """

    def __init__(self, node: ManagedNode[StreamParameters], topic: str, on_pose: Callable[[int, Stand], None]) -> None:
        self.camera_frame: str | None = None
        self._no_chain = ""
        self._told_s: float | None = None  # when a pose was told last, or the first could have been
        self._on_pose = on_pose
        self._transforms = LiveTransforms()
        self._kind = transform_type(topic)
        # The message has no stamp of its own; each of its transforms has one.
        self.stream = RawStream(node, self._kind, topic, self._on_moving, stamp_of=lambda _: time.monotonic_ns())
        node.add_subscription(self._kind, topic + STATIC_SUFFIX, self._on_static, LATCHED_OF_MANY)

    def _on_static(self, message: Any) -> None:
        self._transforms.add(message.transforms, static=True)

    def _on_moving(self, _: int, cdr: bytes) -> None:
        self._transforms.add(deserialize_message(cdr, self._kind).transforms, static=False)
        if not self.camera_frame:
            return
        now_s = time.monotonic()
        self._told_s = self._told_s or now_s
        try:
            newest = self._transforms.newest(self.camera_frame)
        except UserError as error:  # the chain may still be on its way
            self._no_chain, self._told_s = str(error), now_s
            return
        self._no_chain = ""
        if newest is not None:
            self._told_s = now_s
            self._on_pose(*newest)

    @property
    def problem(self) -> str:
        """Why no pose is known although transforms come, or only now and then; empty: all is well."""
        if self.camera_frame is None or not self.stream.count.received:
            return ""
        if not self.camera_frame:
            why = "no pose of the camera: its images have no frame_id; set it in the camera's driver"
            return f"{self.stream.topic}: {why}"
        try:
            why = self._no_chain or self._transforms.rare(self.camera_frame) or self._silence(self.camera_frame)
        except UserError as error:  # what is static has changed since
            return str(error)
        return f"{self.stream.topic}: {why}" if why and not self._no_chain else why

    def _silence(self, camera_frame: str) -> str:
        now_s = time.monotonic()
        silent = self.stream.count.age_s(now_s) > PATIENCE_S  # which the stream itself says
        if silent or self._told_s is None or now_s - self._told_s <= PATIENCE_S:
            return ""
        why = self._transforms.behind(camera_frame) or "their stamps stand still"
        return f"transforms come, but no pose of the camera for {now_s - self._told_s:.0f} s: {why}"


def transform_type(topic: str) -> Any:
    """tf2_msgs/TFMessage, which nothing else here needs. Raises UserError where it is not installed."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        raise UserError(
            f"parameter pose_topic = {topic} of pose_type {TRANSFORMS} needs the package tf2_msgs, which is not "
            "installed: apt install ros-$ROS_DISTRO-tf2-msgs, or name a topic of poses"
        ) from None
    return TFMessage
