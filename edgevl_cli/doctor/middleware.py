"""What carries messages between nodes: RMW_IMPLEMENTATION, and what each of them needs."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from edgevl_core.base.findings import Finding

DEFAULT = "rmw_fastrtps_cpp"
# What edgevl was not tried with, and what its own documents ask for.
NEEDS = {
    "rmw_fastrtps_dynamic_cpp": f"export RMW_IMPLEMENTATION={DEFAULT} where it makes trouble",
    "rmw_cyclonedds_cpp": "large images need sysctl net.core.rmem_max=2147483647 (ROS 2's notes on tuning DDS)",
    "rmw_zenoh_cpp": "one router must run: ros2 run rmw_zenoh_cpp rmw_zenohd",
    "rmw_connextdds": f"export RMW_IMPLEMENTATION={DEFAULT} where it makes trouble",
}


def middleware() -> Iterator[Finding]:
    """Whether the middleware that was chosen is there, and whether edgevl was tried with it."""
    name = os.environ.get("RMW_IMPLEMENTATION") or DEFAULT
    if not _installed(name):
        yield Finding(
            False,
            f"RMW_IMPLEMENTATION={name}: no lib{name}.so in this environment, so no node can start",
            f"unset RMW_IMPLEMENTATION, or apt install ros-$ROS_DISTRO-{name.replace('_', '-')}",
        )
    elif name == DEFAULT:
        yield Finding(True, f"middleware {name}")
    else:
        known = NEEDS.get(name, f"known are {', '.join([DEFAULT, *NEEDS])}")
        yield Finding(None, f"middleware {name}: edgevl was tried with {DEFAULT} alone", known)


def _installed(name: str) -> bool:
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    return any((Path(prefix) / "lib" / f"lib{name}.so").exists() for prefix in prefixes if prefix)
