"""Log RGB-D pairs: pair_logger alone.

ros2 launch edgevl log.launch.py camera:=realsense directory:=/data/logs
ros2 service call /pair_logger/stop std_srvs/srv/Trigger
"""

from edgevl_ros.launching import argument, camera_argument, description, edgevl_node
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Called by ros2 launch."""
    arguments = [
        camera_argument(),
        argument("rgb_topic", "", "RGB images; empty: as in params_file or the camera's preset"),
        argument("depth_topic", "", "depth images; empty: likewise"),
        argument("camera_info_topic", "", "CameraInfo beside rgb_topic, to be named with it; empty: likewise"),
        argument("depth_camera_info_topic", "", "CameraInfo beside depth_topic, to be named with it; empty: likewise"),
        argument("directory", "", "where logs are made; empty: as in params_file"),
        argument("name", "", "name of the log; empty: the date and time"),
        argument("max_total_mb", "", "budget of all logs, the oldest are removed; empty: as in params_file"),
        argument("log_scale", "", "privacy: images are reduced by this, e.g. 0.5; empty: as in params_file"),
        argument("depth_only", "", "privacy: true logs no RGB (nothing to adapt from); empty: as in params_file"),
        argument("odometry_topic", "", "nav_msgs/Odometry for the motion rules; empty: as in params_file"),
        argument("min_distance_m", "", "least way between kept pairs, e.g. 0.2; empty: as in params_file"),
        argument("truth_topic", "", "true rooms to log too, for evaluation (simulation); empty: none"),
    ]
    logger = edgevl_node(
        "pair_logger",
        {
            "rgb_topic": str,
            "depth_topic": str,
            "camera_info_topic": str,
            "depth_camera_info_topic": str,
            "directory": str,
            "name": str,
            "max_total_mb": float,
            "log_scale": float,
            "depth_only": bool,
            "odometry_topic": str,
            "min_distance_m": float,
            "truth_topic": str,
        },
    )
    return description([logger], arguments)
