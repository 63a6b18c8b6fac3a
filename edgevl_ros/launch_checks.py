"""What is found wrong before a launch file starts its first node. Needs no ``launch``.

A fault that shows later leaves a half-started robot: `ros2 launch` ends, and the nodes that it has started go on alone.
"""

import difflib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from edgevl_core.base.errors import UserError
from edgevl_ros.node.overrides import read_sections

TRUE = ("true", "1")  # as launch's conditions understand it


def check_launch(params_file: str, rviz: str) -> None:
    """Refuse a parameter file that cannot be read (launch_ros passes it over), and rviz where there is none.

    Args:
        params_file: path.
        rviz: the text of the launch argument.

    Raises:
        UserError: in one line what is missing, and what to do.
    """
    if not read_sections(Path(params_file)):
        raise UserError(f"params_file:={params_file} holds no parameters: copy config/robot.yaml and change that")
    if rviz.strip().lower() in TRUE and not has_rviz():
        raise UserError(
            f"rviz:={rviz}: rviz2 is not installed: apt install ros-$ROS_DISTRO-rviz2, or leave rviz out and look from "
            "another machine"
        )


def check_arguments(command_line: Sequence[str], launch_file: str, accepted: Collection[str]) -> None:
    """Refuse launch arguments that nothing declares: launch passes them over.

    Args:
        command_line: such as ``ros2 launch edgevl robot.launch.py bundle:=b``. Where it names another launch file,
            which includes this one, nothing is checked: the arguments may be that file's.
        launch_file: path of this one.
        accepted: names of the arguments that it and those that it includes declare.

    Raises:
        UserError: the first such argument, with the names that there are.
    """
    name = Path(launch_file).name
    if name not in (Path(word).name for word in command_line if ":=" not in word):
        return
    for word in command_line:
        given, assigned, _ = word.partition(":=")
        if assigned and given not in accepted:
            nearest = difflib.get_close_matches(given, accepted, 1, 0.0)
            raise UserError(
                f"{word}: {name} has no argument {given}: the nearest name is {nearest[0]}; accepted: "
                f"{', '.join(sorted(accepted))}"
            )


def has_rviz() -> bool:
    """Whether launch would find the program rviz2."""
    try:
        program = Path(get_package_prefix("rviz2")) / "lib/rviz2/rviz2"
    except (PackageNotFoundError, OSError):  # OSError: no AMENT_PREFIX_PATH
        return False
    return os.access(program, os.X_OK)
