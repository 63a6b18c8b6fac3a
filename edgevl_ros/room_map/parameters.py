"""room_mapper's parameters."""

from dataclasses import dataclass

from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Odometry

from edgevl_ros.node.parameters import TrustParameters, parameter
from edgevl_ros.node.qos import StreamParameters
from edgevl_ros.node.transforms import TRANSFORMS

POSE_TYPES = {kind.__name__: kind for kind in (PoseStamped, PoseWithCovarianceStamped, Odometry)}


@dataclass(frozen=True)
class MapperParameters(StreamParameters, TrustParameters):
    """room_mapper's parameters."""

    bundle: str = parameter("", "student bundle whose words name rooms; empty: the one that scene_classifier runs")
    directory: str = parameter("~/.ros/edgevl/room_map", "where the map is kept; those of other floors lie below it")
    embedding_topic: str = parameter("scene_classifier/embedding", "edgevl/Embedding")
    labels_topic: str = parameter("scene_classifier/labels", "edgevl/LabelSet, the words in force")
    map_topic: str = parameter("map", "nav_msgs/OccupancyGrid, transient local as map_server and SLAM publish it")
    pose_topic: str = parameter("pose", "where the robot is, in the frame of the map, such as AMCL's amcl_pose")
    pose_type: str = parameter(
        "PoseStamped",
        f"type of pose_topic; {TRANSFORMS}: pose_topic is /tf, and the transforms from the map to the camera count",
        choices=(*POSE_TYPES, TRANSFORMS),
    )
    max_pose_sigma_m: float = parameter(
        0.5, "a PoseWithCovarianceStamped less sure than this counts as none", 0.0, 100.0
    )
    correct_poses: bool = parameter(
        False, "pose_topic is odometry: set it right by the walls that depth sees, from initialpose_topic on"
    )
    initialpose_topic: str = parameter(
        "initialpose", "where the robot is on the map (rviz's 2D Pose Estimate); without it, where odometry has it"
    )
    camera_x_m: float = parameter(0.0, "how far the camera is ahead of what pose_topic tells of", -10.0, 10.0)
    camera_y_m: float = parameter(0.0, "how far it is to the left", -10.0, 10.0)
    camera_yaw_rad: float = parameter(0.0, "how far it is turned to the left", -6.3, 6.3)
    depth_topic: str = parameter(
        "camera/depth/image_raw", "as scene_classifier's; empty: a frame shows where it was taken"
    )
    camera_info_topic: str = parameter("camera/rgb/camera_info", "of the camera that depth is aligned to")
    depth_camera_info_topic: str = parameter("", "of the depth camera, where depth is not aligned; empty: it is")
    max_skew_s: float = parameter(0.02, "largest difference of stamps of a frame and its depth", low=0.0, high=1.0)
    wait_s: float = parameter(0.5, "how long a frame waits for pose and depth of its moment", low=0.0, high=10.0)
    depth_buffer_length: int = parameter(30, "depth images that may wait for their frame", low=1, high=1000)
    queue_length: int = parameter(100, "frames and requests that may wait for the map", low=1, high=10_000)
    queue_mb: float = parameter(50.0, "what these may hold; a frame alone may always wait", low=1.0, high=65536.0)
    publish_period_s: float = parameter(3.0, "rooms are published at most so often, when changed", low=0.1, high=3600.0)
    save_period_s: float = parameter(60.0, "the map is saved at most so often, when changed", low=1.0, high=86_400.0)
