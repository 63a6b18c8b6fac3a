"""What can be said of a machine without a running robot: libraries, ROS 2, cv_bridge, Fast DDS's leftovers."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from edgevl_cli.doctor.middleware import DEFAULT, middleware
from edgevl_core.base.findings import Finding
from edgevl_core.base.requirements import outdated
from edgevl_core.base.resources import resource
from edgevl_ros.node.dds import profile_variables

ROBOT = (
    "numpy",
    "cv2",
    "onnxruntime",
    "mcap",
    "rosbags",
    "pydantic",
    "yaml",
    "zstandard",
    "lz4",
    "cryptography",
    "tokenizers",
)
TRAINING = ("torch", "lightning_fabric", "open_clip", "timm", "onnx", "matplotlib")
SHARED_MEMORY = Path("/dev/shm")
SEGMENT_BYTES = 1_000_000  # smaller ones are ports and locks
# With edgevl's profile each process has a segment of 16 MB; a container gets 64 MB of shared memory where nobody asks
# for more.
ROOM_BYTES = 200_000_000


def environment() -> Iterator[Finding]:
    """Everything; nothing heavy is imported."""
    yield Finding(True, f"Python {platform.python_version()}, {platform.machine()}")
    yield from _libraries()
    yield from _ros()
    yield from cv_bridge_clash()
    if find_spec("rclpy"):
        yield from middleware()
        yield from profile()
        yield from room(shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0)
    yield from leftovers(SHARED_MEMORY)


def _libraries() -> Iterator[Finding]:
    missing = [name for name in ROBOT if not find_spec(name)]
    yield Finding(
        not missing, f"robot libraries{': missing ' + ', '.join(missing) if missing else ''}", "pip install ."
    )
    yield from outdated()
    missing = [name for name in TRAINING if not find_spec(name)]
    if missing:
        fix = "on a workstation: pip install '.[train]' in edgevl's source tree"
        yield Finding(None, f"training: missing {', '.join(missing)}", fix)
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


def cv_bridge_clash() -> Iterator[Finding]:
    """A cv_bridge that misreads images, or that this numpy cannot load."""
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


def profile() -> Iterator[Finding]:
    """Whether processes started from here carry images between them."""
    if "fastrtps" not in os.environ.get("RMW_IMPLEMENTATION", DEFAULT):
        return
    for variable in profile_variables():
        file = os.environ.get(variable, "")
        if file and not Path(file).is_file():
            yield Finding(False, f"{variable}={file}: no such file", f"export {variable}={_shipped_profile()}")
        elif file:
            yield Finding(True, f"{variable}={file}")
        else:
            yield Finding(
                None,
                f"{variable} is not set: nodes started by hand from here lose images (launch files set it)",
                f"export {variable}={_shipped_profile()}",
            )


def _shipped_profile() -> Path:
    return resource("config/fastdds.xml")


def room(free_bytes: int) -> Iterator[Finding]:
    """Whether shared memory has room for the images of a robot's nodes."""
    if free_bytes < ROOM_BYTES:
        yield Finding(
            False,
            f"{SHARED_MEMORY} has {free_bytes / 1e6:.0f} MB free: Fast DDS's images between processes need more",
            f"in a container: docker run --shm-size=512m (at least {ROOM_BYTES / 1e6:.0f} MB free are needed)",
        )


def leftovers(shared_memory: Path) -> Iterator[Finding]:
    """Shared memory of nodes that were killed: nobody maps it any more, and it is memory."""
    large = {path: size for path, size in _segments(shared_memory) if size > SEGMENT_BYTES}
    mapped = _mapped(shared_memory) if large else set()
    left = [size for path, size in large.items() if str(path) not in mapped]
    if left:
        yield Finding(
            None,
            f"{len(left)} shared memory segments of killed nodes in {shared_memory}: {sum(left) / 1e6:.0f} MB",
            f"fastdds shm clean, or with no node running: rm {shared_memory}/fastdds* {shared_memory}/fastrtps*",
        )


def _segments(directory: Path) -> Iterator[tuple[Path, int]]:
    """Fast DDS's files with their bytes."""
    for pattern in ("fastdds*", "fastrtps*"):
        for path in directory.glob(pattern):
            with suppress(FileNotFoundError):  # its node ended meanwhile
                yield path, path.stat().st_size


def _mapped(directory: Path) -> set[str]:
    """The files in ``directory`` that a process of this user maps."""
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text().splitlines()
        except OSError:  # ended meanwhile, or another user's
            continue
        found |= {line.split()[-1] for line in lines if str(directory) in line}
    return found
