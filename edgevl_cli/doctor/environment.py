"""What can be said of a machine without a running robot: libraries, ROS 2, cv_bridge, Fast DDS's leftovers."""

import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from edgevl_core.findings import Finding

ROBOT = ("numpy", "cv2", "onnxruntime", "mcap", "rosbags", "pydantic", "yaml", "zstandard", "lz4", "tokenizers")
TRAINING = ("torch", "lightning_fabric", "open_clip", "timm", "onnx", "matplotlib")
SHARED_MEMORY = Path("/dev/shm")
SEGMENT_BYTES = 1_000_000  # smaller ones are ports and locks


def environment() -> Iterator[Finding]:
    """Everything; nothing heavy is imported."""
    yield Finding(True, f"Python {platform.python_version()}, {platform.machine()}")
    yield from _libraries()
    yield from _ros()
    yield from _cv_bridge()
    yield from _leftovers()


def _libraries() -> Iterator[Finding]:
    missing = [name for name in ROBOT if not find_spec(name)]
    yield Finding(
        not missing, f"robot libraries{': missing ' + ', '.join(missing) if missing else ''}", "pip install ."
    )
    missing = [name for name in TRAINING if not find_spec(name)]
    if missing:
        yield Finding(None, f"training: missing {', '.join(missing)}", "on a workstation: pip install 'edgevl[train]'")
    else:
        yield Finding(True, "training libraries")


def _ros() -> Iterator[Finding]:
    if not find_spec("rclpy"):
        yield Finding(
            None, "ROS 2 (rclpy) is not importable", "source /opt/ros/<distribution>/setup.bash, or make setup"
        )
        return
    yield Finding(True, "rclpy")
    if find_spec("edgevl") and find_spec("edgevl.msg"):
        yield Finding(True, "messages edgevl.msg, edgevl.srv")
    else:
        yield Finding(
            False, "the messages edgevl.msg are not built", "pip install . (or colcon build) with ROS 2 present"
        )


def _cv_bridge() -> Iterator[Finding]:
    for name in ("cv-bridge", "cv_bridge"):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if version.startswith("1."):
            yield Finding(
                False, f"cv-bridge {version} is a ROS 1 leftover that misreads depth", "pip uninstall cv-bridge"
            )
            return
        break
    spec = find_spec("cv_bridge")
    if spec is None:
        return
    numpy = metadata.version("numpy")
    if int(numpy.split(".")[0]) >= 2 and "/opt/ros/" in str(spec.origin):
        yield Finding(
            False,
            f"numpy {numpy} beside the cv_bridge of {Path(str(spec.origin)).parents[4]}, compiled against numpy 1",
            f"{sys.executable} -m pip install 'numpy<2'",
        )


def _leftovers() -> Iterator[Finding]:
    """Shared memory of nodes that were killed: nobody maps it any more, and it is memory."""
    segments = {
        path: path.stat().st_size for pattern in ("fastdds*", "fastrtps*") for path in SHARED_MEMORY.glob(pattern)
    }
    large = {path: size for path, size in segments.items() if size > SEGMENT_BYTES}
    mapped = _mapped() if large else set()
    left = [size for path, size in large.items() if str(path) not in mapped]
    if left:
        yield Finding(
            None,
            f"{len(left)} shared memory segments of killed nodes in {SHARED_MEMORY}: {sum(left) / 1e6:.0f} MB",
            "fastdds shm clean",
        )


def _mapped() -> set[str]:
    """The files under /dev/shm that a process of this user maps."""
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text().splitlines()
        except OSError:  # ended meanwhile, or another user's
            continue
        found |= {line.split()[-1] for line in lines if str(SHARED_MEMORY) in line}
    return found
