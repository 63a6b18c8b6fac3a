"""The robot's graph driven by a bag instead of cameras, as `edgevl demo` does in its live part.

ros2 launch edgevl demo.launch.py bag:=demo_out/bags/live bundle:=demo_out/run/bundle rviz:=true
"""

from launch.actions import IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from edgevl_ros.launching import argument, description, edgevl_node, frame_argument, required, share
from launch import LaunchDescription

COMMON = ("namespace", "params_file", "use_sim_time", "respawn")
PASSED_ON = (
    *COMMON,
    "bundle",
    "teacher",
    "labels",
    "recipe",
    "words",
    "offload",
    "directory",
    "rooms",
    "rviz",
    "frame",
)


def generate_launch_description() -> LaunchDescription:
    """Called by ros2 launch."""
    arguments = [
        required("bag", "rosbag2 to play"),
        argument("rate", "1.0", "recorded seconds per second"),
        argument("clock", "false", "publish the recorded time on /clock, for use_sim_time:=true"),
        argument("bundle", "", "student bundle"),
        argument("teacher", "", "teacher, where adaptation_manager shall adapt to what is logged"),
        argument("labels", "", "labels file (YAML), likewise"),
        argument("recipe", "", "training recipe (YAML), likewise; empty: the default one"),
        argument("words", "", "words to tell apart at first, a YAML list; empty: the one that the bundle was made for"),
        argument("offload", "", "cut student that scene_classifier shares with a base_station; empty: it runs alone"),
        argument("directory", "", "where pair_logger makes its logs; empty: as in params_file"),
        argument("rooms", "false", "start room_mapper, for a bag with a map and poses on it"),
        argument("rviz", "false", "show the overlay in rviz2"),
        frame_argument(),
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
    # Behind a function: --show-args would also list robot.launch.py's camera and topics, which a bag has itself.
    whole.add_action(OpaqueFunction(function=lambda _context: [robot]))
    return whole
