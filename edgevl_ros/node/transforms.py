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


class CameraTransforms:
    """Listens to ``topic`` and ``topic``_static until deactivation; tells each pose of the camera once it is known.

    Args:
        on_pose: called with the stamp in nanoseconds and where the camera is, in the frame ``map`` (REP 105).

    Attributes:
        stream: what is received on ``topic``.
        camera_frame: frame_id of the camera; until it is set, nothing is told.
        problem: why no pose is known; empty: all is well.

    Raises:
        UserError: the package tf2_msgs is not installed.
    """

    def __init__(self, node: ManagedNode[StreamParameters], topic: str, on_pose: Callable[[int, Stand], None]) -> None:
        self.camera_frame = self.problem = ""
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
        try:
            newest = self._transforms.newest(self.camera_frame)
        except UserError as error:  # the chain may still be on its way
            self.problem = str(error)
            return
        self.problem = ""
        if newest is not None:
            self._on_pose(*newest)


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
