"""What edgevl's launch files share. Imported by them only: ``launch`` is there where ROS 2 is installed.

The parameter file comes first, the camera's preset lies on top of it, arguments of the launch file on top of both.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, GroupAction, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue

from edgevl_ros.launch_checks import check_arguments, check_launch
from edgevl_ros.node.dds import profile_variables
from edgevl_ros.node.parameters import Value, from_text
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

Kinds = Mapping[str, type[Value]]
NO_ARGUMENTS: Kinds = MappingProxyType({})
# Launch arguments whose parameter has another name: scene_classifier's labels are words, adaptation_manager's a file.
PARAMETER_OF = MappingProxyType({"words": "labels"})
# A player that has played its bag has ended and not died.
ENDS_BY_ITSELF = ("bag_player",)
RESPAWN_DELAY_S = 2.0
# Of RGB, as the drivers of config/cameras call it.
FRAME_OF = MappingProxyType(
    {
        "realsense": "camera_color_optical_frame",
        "orbbec": "camera_color_optical_frame",
        "oakd": "oak_rgb_camera_optical_frame",
    }
)


def share(*parts: str) -> str:
    """Path of a file of the installed package, e.g. ``share("config", "robot.yaml")``."""
    return str(Path(get_package_share_directory("edgevl"), *parts))


def argument(name: str, default: str, description: str) -> DeclareLaunchArgument:
    """A launch argument, as shown by --show-args."""
    return DeclareLaunchArgument(name, default_value=default, description=description)


def required(name: str, description: str) -> DeclareLaunchArgument:
    """A launch argument that must be given."""
    return DeclareLaunchArgument(name, description=description)


def camera_argument() -> DeclareLaunchArgument:
    """The launch argument ``camera``: a preset of config/cameras by its name."""
    presets = sorted(file.name.removesuffix(".yaml") for file in Path(share("config", "cameras")).iterdir())
    description = "topics of a camera's driver, see config/cameras; empty: as in params_file"
    return DeclareLaunchArgument("camera", default_value="", choices=["", *presets], description=description)


def edgevl_node(executable: str, arguments: Kinds = NO_ARGUMENTS, **fixed: object) -> OpaqueFunction:
    """One of edgevl's nodes, named as its executable.

    Args:
        arguments: launch arguments that set the parameter of the same name, or of that in PARAMETER_OF, as str, float,
            bool or tuple (a YAML list of strings), unless they are empty: then the parameter file's value stands.
        fixed: parameters that this launch file sets itself.
    """

    def create(context: LaunchContext) -> list[Node]:
        texts = {name: LaunchConfiguration(name).perform(context) for name in arguments}
        given = {
            PARAMETER_OF.get(name, name): launch_value(from_text(name, text, arguments[name]))
            for name, text in texts.items()
            if text
        }
        use_sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
        camera = LaunchConfiguration("camera", default="").perform(context)
        files = [share("config", "cameras", f"{camera}.yaml")] if camera else []
        # A node that has ended says nothing; one that waits tells in its diagnostics what was refused.
        parameters = {"use_sim_time": use_sim_time, "stay_when_refused": True, **given, **fixed}
        respawn = from_text("respawn", LaunchConfiguration("respawn").perform(context), bool)
        return [
            Node(
                package="edgevl",
                executable=executable,
                name=executable,
                output="screen",
                respawn=bool(respawn) and executable not in ENDS_BY_ITSELF,
                respawn_delay=RESPAWN_DELAY_S,
                parameters=[LaunchConfiguration("params_file"), *files, parameters],
            )
        ]

    return OpaqueFunction(function=create)


def launch_value(value: Value) -> object:
    """A parameter's value as launch_ros takes it."""
    if isinstance(value, str):
        # A plain string would be read as YAML: "2024" would arrive as a number.
        return ParameterValue(value, value_type=str)
    return list(value) if isinstance(value, tuple) else value


def only_if(argument_name: str, node: LaunchDescriptionEntity) -> GroupAction:
    """A node that is started where a launch argument is true."""
    return GroupAction([node], scoped=False, condition=IfCondition(LaunchConfiguration(argument_name)))


def frame_argument() -> DeclareLaunchArgument:
    """The launch argument ``frame``, which :func:`rviz` takes."""
    text = "rviz's fixed frame, e.g. map; empty: RGB's frame of the camera's preset, without one camera_optical_frame"
    return DeclareLaunchArgument("frame", default_value="", description=text)


def rviz() -> OpaqueFunction:
    """rviz2 with edgevl's displays in the launch argument ``frame``, where the launch argument ``rviz`` is true."""

    def create(context: LaunchContext) -> list[Node]:
        camera = LaunchConfiguration("camera", default="").perform(context)
        frame = LaunchConfiguration("frame").perform(context) or FRAME_OF.get(camera, "")
        fixed_frame = ["-f", frame] if frame else []
        return [
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", share("rviz", "edgevl.rviz"), *fixed_frame],
                condition=IfCondition(LaunchConfiguration("rviz")),
            )
        ]

    return OpaqueFunction(function=create)


def check(declared: Callable[[], list[str]]) -> OpaqueFunction:
    """Ends the launch, with the reason, where something that it needs is not there, or that it is given is unknown.

    Args:
        declared: gives the names of the launch file's arguments.
    """

    def look(context: LaunchContext) -> None:
        launch_file = context.get_locals_as_dict().get("current_launch_file_path", "")
        check_arguments(sys.argv, launch_file, declared())
        params_file = LaunchConfiguration("params_file").perform(context)
        check_launch(params_file, LaunchConfiguration("rviz", default="false").perform(context))

    return OpaqueFunction(function=look)


def description(nodes: list[LaunchDescriptionEntity], arguments: list[DeclareLaunchArgument]) -> LaunchDescription:
    """The nodes in their namespace, with Fast DDS set up for images and the common arguments declared."""
    profile = share("config", "fastdds.xml")
    whole = LaunchDescription(
        [
            argument("namespace", "", "namespace of all nodes and relative topics"),
            argument("params_file", share("config", "robot.yaml"), "parameters of the nodes (YAML)"),
            argument("use_sim_time", "false", "take the time from /clock"),
            argument("respawn", "false", "start a node that died again, after 2 s"),
            *arguments,
            check(lambda: [argument.name for argument in whole.get_launch_arguments()]),
            *(SetEnvironmentVariable(name, profile) for name in profile_variables()),
            GroupAction([PushRosNamespace(LaunchConfiguration("namespace")), *nodes]),
        ]
    )
    return whole
