"""Poses of the robot on its map, from any of the three messages that carry one."""

import math

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.serialization import deserialize_message

from edgevl_core.pairlog.place_messages import stand_of
from edgevl_core.room_map.track import LiveTrack
from edgevl_core.room_map.view import Stand
from edgevl_ros.node.lifecycle import ManagedNode
from edgevl_ros.node.streams import RawStream
from edgevl_ros.room_map.parameters import POSE_TYPES, MapperParameters


class Poses:
    """Listens to ``pose_topic`` until the node is deactivated and fills ``track`` with where the camera was.

    Attributes:
        frame_id: of the last pose.
        unsure: poses that were too unsure, or no numbers.
    """

    def __init__(self, node: ManagedNode[MapperParameters], track: LiveTrack) -> None:
        parameters = node.parameters
        self.frame_id = ""
        self.unsure = 0
        self._track = track
        self._kind = POSE_TYPES[parameters.pose_type]
        self._max_sigma_m = parameters.max_pose_sigma_m
        self._mounted = Stand(parameters.camera_x_m, parameters.camera_y_m, parameters.camera_yaw_rad)
        self.stream = RawStream(node, self._kind, parameters.pose_topic, self._on_pose)

    def _on_pose(self, stamp_ns: int, cdr: bytes) -> None:
        message = deserialize_message(cdr, self._kind)
        stand = Stand(*stand_of(message)).of_camera(self._mounted)
        numbers = (stand.x, stand.y, stand.yaw)
        # Odometry's covariance is of no use: drivers fill in what they like.
        variance = max(message.pose.covariance[0], message.pose.covariance[7]) if self._is_estimate() else 0.0
        if not all(map(math.isfinite, numbers)) or not variance <= self._max_sigma_m**2:
            self.unsure += 1
            return
        self.frame_id = message.header.frame_id
        self._track.add(stamp_ns, numbers)

    def _is_estimate(self) -> bool:
        return self._kind is PoseWithCovarianceStamped
