"""Name rooms: scene_classifier and label_overlay, with rviz if wanted.

ros2 launch edgevl classify.launch.py bundle:=/data/bundle rviz:=true
"""

from edgevl_ros.launching import argument, description, edgevl_node, rviz
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Called by ros2 launch."""
    arguments = [
        argument("bundle", "", "student bundle; empty: wait for scene_classifier/load_bundle"),
        argument("rviz", "false", "show the overlay in rviz2"),
    ]
    nodes = [edgevl_node("scene_classifier", {"bundle": str}), edgevl_node("label_overlay"), rviz()]
    return description(nodes, arguments)
