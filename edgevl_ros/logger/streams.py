"""pair_logger's streams: which ROS type each has, and what the log does with a message of it."""

import time
from collections.abc import Callable
from typing import Any

from edgevl.msg import SceneClass, SceneTruth
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo

from edgevl_core.base.errors import UserError
from edgevl_core.pairing.frames import DEPTH, RGB, Received
from edgevl_core.pairlog.log_stats import UNKNOWN
from edgevl_core.pairlog.pair_log import PairLog
from edgevl_ros.node.streams import image_type
from edgevl_ros.node.transforms import TRANSFORMS, transform_type


def addition(stream: str, stamp_ns: int, cdr: bytes) -> Callable[[PairLog], None]:
    """What the writer thread does with a message that has just come."""
    if stream in ("rgb", "depth"):
        image = Received(stamp_ns, cdr, time.monotonic())
        return lambda log: log.add_image(RGB if stream == "rgb" else DEPTH, image)
    if stream == "odometry":
        return lambda log: log.add_odometry(stamp_ns, cdr)
    if stream == "scene":
        scene = deserialize_message(cdr, SceneClass)
        return lambda log: log.coverage.answered(stamp_ns, scene.label if scene.known else UNKNOWN)
    return lambda log: log.add_companion(stream, stamp_ns, cdr)


def message_type(stream: str, topic: str, pose_type: str = "") -> Any:
    """The ROS type of a stream. Raises UserError where a message package is not installed."""
    if stream == "pose" and pose_type == TRANSFORMS:
        return transform_type(topic)
    if stream == "pose" and pose_type != "Odometry":
        return {"PoseStamped": PoseStamped, "PoseWithCovarianceStamped": PoseWithCovarianceStamped}[pose_type]
    if stream in ("odometry", "pose"):
        return odometry_type(topic, f"{stream}_topic")
    fixed = {"camera_info": CameraInfo, "depth_camera_info": CameraInfo, "truth": SceneTruth, "scene": SceneClass}
    return fixed.get(stream) or image_type(topic)


def odometry_type(topic: str, parameter: str = "odometry_topic") -> Any:
    """nav_msgs/Odometry, which nothing else here needs."""
    try:
        from nav_msgs.msg import Odometry
    except ImportError:
        raise UserError(
            f"parameter {parameter} = {topic} needs the package nav_msgs, which is not installed: apt install "
            "ros-$ROS_DISTRO-nav-msgs (wheels: pip install ros-kilted-nav-msgs), or leave "
            f"{parameter} empty"
        ) from None
    return Odometry
