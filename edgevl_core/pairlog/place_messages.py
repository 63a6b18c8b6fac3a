"""Messages of where a robot is and of its map, without a ROS installation; see :mod:`edgevl_core.pairlog.types`."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.pairlog.types import header, typestore

ODOMETRY = "nav_msgs/msg/Odometry"
POSE = "geometry_msgs/msg/PoseStamped"
POSE_WITH_COVARIANCE = "geometry_msgs/msg/PoseWithCovarianceStamped"
OCCUPANCY_GRID = "nav_msgs/msg/OccupancyGrid"


def _type(name: str) -> Any:
    return typestore().types[name]


def _pose(x: float, y: float, z: float, yaw: float) -> Any:
    point = _type("geometry_msgs/msg/Point")(x=float(x), y=float(y), z=float(z))
    turned = _type("geometry_msgs/msg/Quaternion")(x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2))
    return _type("geometry_msgs/msg/Pose")(position=point, orientation=turned)


def pose_msg(x: float, y: float, z: float, yaw: float, stamp_ns: int, frame_id: str) -> Any:
    """A geometry_msgs/PoseStamped: metres, radians anticlockwise from x (REP 103)."""
    return _type(POSE)(header=header(stamp_ns, frame_id), pose=_pose(x, y, z, yaw))


def odometry_msg(x: float, y: float, yaw: float, stamp_ns: int, frame_id: str, child_frame_id: str) -> Any:
    """A nav_msgs/Odometry without velocity and covariance: metres, radians (REP 105)."""
    zero = _type("geometry_msgs/msg/Vector3")(x=0.0, y=0.0, z=0.0)
    still = _type("geometry_msgs/msg/Twist")(linear=zero, angular=zero)
    return _type(ODOMETRY)(
        header=header(stamp_ns, frame_id),
        child_frame_id=child_frame_id,
        pose=_type("geometry_msgs/msg/PoseWithCovariance")(pose=_pose(x, y, 0.0, yaw), covariance=np.zeros(36)),
        twist=_type("geometry_msgs/msg/TwistWithCovariance")(twist=still, covariance=np.zeros(36)),
    )


def occupancy_msg(percent: NDArray[np.int8], resolution_m: float, origin_m: tuple[float, float], stamp_ns: int) -> Any:
    """A nav_msgs/OccupancyGrid in the frame ``map``; ``percent``: (rows, columns), -1 unknown, row 0 at the least y."""
    stamped = header(stamp_ns, "map")
    info = _type("nav_msgs/msg/MapMetaData")(
        map_load_time=stamped.stamp,
        resolution=resolution_m,
        width=percent.shape[1],
        height=percent.shape[0],
        origin=_pose(*origin_m, 0.0, 0.0),
    )
    return _type(OCCUPANCY_GRID)(header=stamped, info=info, data=percent.reshape(-1))


def stand_of(message: Any) -> tuple[float, float, float]:
    """x, y, yaw of an Odometry, a PoseStamped or a PoseWithCovarianceStamped: metres, radians.

    yaw is NaN where the quaternion is none, such as one that was never filled in.
    """
    pose = message.pose
    while hasattr(pose, "pose"):
        pose = pose.pose
    q = pose.orientation
    if not 0.9 < math.hypot(q.x, q.y, q.z, q.w) < 1.1:
        return float(pose.position.x), float(pose.position.y), math.nan
    yaw = math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))
    return float(pose.position.x), float(pose.position.y), yaw
