"""Write locks/ from the environment that this runs in: ``python -m edgevl_build.freeze kilted`` (or jazzy, colcon).

One exact version per installed distribution, transitive ones included. An environment with ROS 2 gives two files: the
wheels, and the rest. No index, no local version: 2.13.0+cpu becomes 2.13.0, which a CPU build still satisfies.
"""

import re
import sys
from importlib.metadata import distributions
from pathlib import Path

LOCKS = Path(__file__).resolve().parent.parent / "locks"
NOT_LOCKED = {"edgevl", "pip", "uv"}
ROS_TOOLS = {"empy", "lark-parser"}  # needed by the message generators in just these versions

ROS_HEAD = "# ROS 2 {distribution} as wheels: rclpy, Fast DDS, standard messages, message generators, ament."
PYTHON_HEAD = """# Everything else: robot, training and development. torch is pinned in any build: where pip
# knows a place with CPU builds it takes that one, elsewhere the CUDA build of the same version, which also
# runs on the CPU (see CONTRIBUTING.md)."""
COLCON_HEAD = "# colcon and CMake, in an environment of their own (make colcon)."


def installed() -> dict[str, str]:
    """{normalised name: version} of what pip installed here.

    The egg-info folders that the ROS wheels carry (rclpy, std_msgs, ...) are no distributions of their own.
    """
    found = [each for each in distributions() if not str(getattr(each, "_path", "")).endswith(".egg-info")]
    names = {re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower(): each.version.split("+")[0] for each in found}
    return {name: version for name, version in sorted(names.items()) if name not in NOT_LOCKED}


def write(name: str, head: str, versions: dict[str, str]) -> None:
    """Write one lock file."""
    lines = [f"{distribution}=={version}" for distribution, version in versions.items()]
    (LOCKS / name).write_text("\n".join([head, *lines, ""]), encoding="utf-8")
    print(f"{LOCKS / name}: {len(lines)} distributions")


def main(environment: str) -> None:
    """Write locks/<environment>.txt, and locks/python.txt where the training extra is installed."""
    versions = installed()
    if environment == "colcon":
        write("colcon.txt", COLCON_HEAD, versions)
        return
    ros = {name: versions[name] for name in versions if name.startswith("ros-") or name in ROS_TOOLS}
    write(f"{environment}.txt", ROS_HEAD.format(distribution=environment.capitalize()), ros)
    if "torch" in versions:
        write("python.txt", PYTHON_HEAD, {name: versions[name] for name in versions if name not in ros})


if __name__ == "__main__":
    main(sys.argv[1])
