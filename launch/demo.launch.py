"""The robot's graph driven by a bag instead of cameras, as `edgevl demo` does in its live part.

ros2 launch edgevl demo.launch.py bag:=demo_out/bags/live bundle:=demo_out/run/bundle rviz:=true
"""

from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from edgevl_ros.launching import argument, description, edgevl_node, share
from launch import LaunchDescription

PASSED_ON = ("namespace", "params_file", "use_sim_time", "bundle", "directory", "map", "rviz")


def generate_launch_description() -> LaunchDescription:
    """Called by ros2 launch."""
    arguments = [
        argument("bag", "", "rosbag2 to play"),
        argument("rate", "1.0", "recorded seconds per second"),
        argument("clock", "false", "publish the recorded time on /clock, for use_sim_time:=true"),
        argument("bundle", "", "student bundle"),
        argument("directory", "", "where pair_logger makes its logs; empty: as in params_file"),
        argument("map", "false", "start room_mapper, for a bag with a map and poses on it"),
        argument("rviz", "false", "show the overlay in rviz2"),
    ]
    player = edgevl_node(
        "bag_player",
        {"bag": str, "rate": float, "clock": bool},
        # pair_logger, scene_classifier and label_overlay take RGB, the first two depth.
        wait_rgb_subscribers=3,
        wait_depth_subscribers=2,
        start_delay_s=2.0,
    )
    whole = description([player], arguments)
    robot = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(share("launch", "robot.launch.py")),
        launch_arguments=[(name, LaunchConfiguration(name)) for name in PASSED_ON],
    )
    whole.add_action(robot)
    return whole
