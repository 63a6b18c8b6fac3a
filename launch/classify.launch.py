"""Name rooms: scene_classifier and label_overlay, with room_mapper (rooms:=true) and rviz if wanted.

ros2 launch edgevl classify.launch.py camera:=oakd bundle:=/data/bundle rviz:=true
"""

from edgevl_ros.launching import argument, camera_argument, description, edgevl_node, frame_argument, only_if, rviz
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Called by ros2 launch."""
    arguments = [
        camera_argument(),
        argument("rgb_topic", "", "RGB images; empty: as in params_file or the camera's preset"),
        argument("depth_topic", "", "depth images; empty: likewise"),
        argument("camera_info_topic", "", "CameraInfo beside rgb_topic, to be named with it; empty: likewise"),
        argument("depth_camera_info_topic", "", "CameraInfo beside depth_topic, to be named with it; empty: likewise"),
        argument("bundle", "", "student bundle; empty: wait for scene_classifier/load_bundle"),
        argument("words", "", "words to tell apart at first, a YAML list; empty: the one that the bundle was made for"),
        argument("offload", "", "cut student that scene_classifier shares with a base_station; empty: it runs alone"),
        argument("rooms", "false", "start room_mapper, which needs a map and the robot's pose on it"),
        argument("rviz", "false", "show the overlay in rviz2"),
        frame_argument(),
    ]
    nodes = [
        edgevl_node(
            "scene_classifier",
            {
                "bundle": str,
                "words": tuple,
                "offload": str,
                "rgb_topic": str,
                "depth_topic": str,
                "camera_info_topic": str,
                "depth_camera_info_topic": str,
            },
        ),
        edgevl_node("label_overlay", {"rgb_topic": str}),
        only_if(
            "rooms",
            edgevl_node(
                "room_mapper",
                {"bundle": str, "depth_topic": str, "camera_info_topic": str, "depth_camera_info_topic": str},
            ),
        ),
        rviz(),
    ]
    return description(nodes, arguments)
