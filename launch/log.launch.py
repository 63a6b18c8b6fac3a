"""Log RGB-D pairs: pair_logger alone.

ros2 launch edgevl log.launch.py directory:=/data/logs
"""

from edgevl_ros.launching import argument, description, edgevl_node
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Called by ros2 launch."""
    arguments = [
        argument("directory", "", "where logs are made; empty: as in params_file"),
        argument("name", "", "name of the log; empty: the date and time"),
        argument("truth_topic", "", "true rooms to log too, for evaluation (simulation); empty: none"),
    ]
    logger = edgevl_node("pair_logger", {"directory": str, "name": str, "truth_topic": str})
    return description([logger], arguments)
