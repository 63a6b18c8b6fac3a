"""Where the camera is on the robot's map, from any of the three messages that carry a pose, or from transforms."""

import math
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.serialization import deserialize_message

from edgevl_core.pairlog.place_messages import stand_of
from edgevl_core.room_map.track import LiveTrack
from edgevl_core.room_map.transforms import MAP_FRAME
from edgevl_core.room_map.view import Stand
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.streams import RawStream
from edgevl_ros.node.transforms import TRANSFORMS, CameraTransforms
from edgevl_ros.room_map.parameters import POSE_TYPES, MapperParameters


class Poses:
    """Listens to ``pose_topic`` until the node is deactivated and fills ``track`` with where the camera was.

    Args:
        heard: called after each.

    Attributes:
        frame_id: of the last pose.
        rest_is_silent: nothing need come while the robot stands still, as AMCL does it.
        unsure: poses that were too unsure, or no numbers.
    """

    def __init__(self, node: ManagedNode[MapperParameters], track: LiveTrack, heard: Callable[[], None]) -> None:
        parameters = node.parameters
        self.frame_id = ""
        self.unsure = 0
        self._track = track
        self._heard = heard
        self._max_sigma_m = parameters.max_pose_sigma_m
        self._mounted = Stand(parameters.camera_x_m, parameters.camera_y_m, parameters.camera_yaw_rad)
        self.rest_is_silent = parameters.pose_type == PoseWithCovarianceStamped.__name__
        self._transforms: CameraTransforms | None = None
        if parameters.pose_type == TRANSFORMS:
            self._transforms = CameraTransforms(node, parameters.pose_topic, self._on_camera)
            self.stream = self._transforms.stream
            return
        self._kind = POSE_TYPES[parameters.pose_type]
        self.stream = RawStream(node, self._kind, parameters.pose_topic, self._on_pose)

    def of_camera(self, frame_id: str) -> None:
        """Transforms lead to this frame, that of the camera's images."""
        if self._transforms is not None:
            self._transforms.camera_frame = frame_id

    def of_robot(self, message: Any) -> Stand:
        """Where the camera is when the robot is where a message with a pose says."""
        return Stand(*stand_of(message)).of_camera(self._mounted)

    def problem(self) -> str:
        """Why transforms tell no pose; empty: they do, or nobody asked for them."""
        return "" if self._transforms is None else self._transforms.problem

    def _on_camera(self, stamp_ns: int, stand: Stand) -> None:
        self._add(stamp_ns, stand, MAP_FRAME)

    def _on_pose(self, stamp_ns: int, cdr: bytes) -> None:
        message = deserialize_message(cdr, self._kind)
        stand = self.of_robot(message)
        # Odometry's covariance is of no use: drivers fill in what they like.
        variance = max(message.pose.covariance[0], message.pose.covariance[7]) if self._is_estimate() else 0.0
        if not variance <= self._max_sigma_m**2:
            self.unsure += 1
            return
        self._add(stamp_ns, stand, message.header.frame_id)

    def _add(self, stamp_ns: int, stand: Stand, frame_id: str) -> None:
        numbers = (stand.x, stand.y, stand.yaw)
        if not all(map(math.isfinite, numbers)):
            self.unsure += 1
            return
        self.frame_id = frame_id
        self._track.add(stamp_ns, numbers)
        self._heard()

    def _is_estimate(self) -> bool:
        return self._kind is PoseWithCovarianceStamped
