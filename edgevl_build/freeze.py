"""Write locks/ from the environment that this runs in: ``python -m edgevl_build.freeze kilted``.

One exact version per installed distribution, transitive ones included, in two files: the ROS 2 wheels, and
the rest. No index, no local version: 2.13.0+cpu becomes 2.13.0, which a CPU build still satisfies.
"""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

LOCKS = Path(__file__).resolve().parent.parent / "locks"
NOT_LOCKED = {"edgevl", "pip", "uv"}
ROS_TOOLS = {"empy", "lark-parser"}  # needed by the message generators in just these versions

ROS_HEAD = "# ROS 2 {distribution} as wheels: rclpy, Fast DDS, standard messages, message generators."
PYTHON_HEAD = """# Everything else: robot, training and development. torch is pinned in any build: where pip
# knows a place with CPU builds it takes that one, elsewhere the CUDA build of the same version, which also
# runs on the CPU (see CONTRIBUTING.md)."""


def installed() -> dict[str, str]:
    """{normalised name: version} of what pip installed here.

    The egg-info folders that the ROS wheels carry (rclpy, std_msgs, ...) are no distributions of their own.
    """
    found = [each for each in distributions() if not str(getattr(each, "_path", "")).endswith(".egg-info")]
    names = {re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower(): each.version.split("+")[0] for each in found}
    return {name: version for name, version in sorted(names.items()) if name not in NOT_LOCKED}


def main(distribution: str) -> None:
    """Write locks/<distribution>.txt, and locks/python.txt where the training extra is installed."""
    versions = installed()
    is_ros = {name: name.startswith("ros-") or name in ROS_TOOLS for name in versions}
    wanted = [(f"{distribution}.txt", ROS_HEAD.format(distribution=distribution.capitalize()), True)]
    if "torch" in versions:
        wanted.append(("python.txt", PYTHON_HEAD, False))
    for file_name, head, ros in wanted:
        lines = [f"{name}=={version}" for name, version in versions.items() if is_ros[name] == ros]
        (LOCKS / file_name).write_text("\n".join([head, *lines, ""]), encoding="utf-8")
        print(f"{LOCKS / file_name}: {len(lines)} distributions")


if __name__ == "__main__":
    main(sys.argv[1])
