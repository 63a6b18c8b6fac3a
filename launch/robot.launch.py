"""The robot's graph: pair_logger, scene_classifier, label_overlay, adaptation_manager; rooms:=true: room_mapper.

ros2 launch edgevl robot.launch.py camera:=realsense bundle:=/data/bundle
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
        argument("bundle", "", "student bundle to start with; empty: wait for the first adaptation"),
        argument("directory", "", "where pair_logger makes its logs; empty: as in params_file"),
        argument("bags", "", "bags that adaptation_manager adapts to, a YAML list"),
        argument("teacher", "", "teacher, e.g. open_clip:ViT-B-32/laion2b_s34b_b79k"),
        argument("labels", "", "labels file (YAML) that adaptation_manager adapts for"),
        argument("words", "", "words to tell apart at first, a YAML list; empty: the one that the bundle was made for"),
        argument("recipe", "", "training recipe (YAML); empty: the default one"),
        argument("offload", "", "cut student that scene_classifier shares with a base_station; empty: it runs alone"),
        argument("rooms", "false", "start room_mapper, which needs a map and the robot's pose on it"),
        argument("rviz", "false", "show the overlay in rviz2"),
        frame_argument(),
    ]
    nodes = [
        edgevl_node(
            "pair_logger",
            {
                "directory": str,
                "rgb_topic": str,
                "depth_topic": str,
                "camera_info_topic": str,
                "depth_camera_info_topic": str,
            },
        ),
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
        edgevl_node("adaptation_manager", {"bags": tuple, "teacher": str, "labels": str, "recipe": str}),
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
