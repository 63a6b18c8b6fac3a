"""What is found wrong before a launch file starts its first node. Needs no ``launch``.

A fault that shows later leaves a half-started robot: `ros2 launch` ends, and the nodes that it has started go on alone.
"""

import os
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


def has_rviz() -> bool:
    """Whether launch would find the program rviz2."""
    try:
        program = Path(get_package_prefix("rviz2")) / "lib/rviz2/rviz2"
    except (PackageNotFoundError, OSError):  # OSError: no AMENT_PREFIX_PATH
        return False
    return os.access(program, os.X_OK)
