"""``edgevl doctor``: what is installed here, what is missing, and the fix for each finding."""

import platform
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

import typer

ROBOT = ("numpy", "cv2", "onnxruntime", "mcap", "rosbags", "pydantic", "yaml")
TRAINING = ("torch", "lightning_fabric", "open_clip", "timm", "onnx", "matplotlib")


class Finding(NamedTuple):
    """One thing looked at. ``ok`` None: not needed on every machine."""

    ok: bool | None
    what: str
    fix: str = ""


def _python() -> Finding:
    return Finding(True, f"Python {platform.python_version()}, {platform.machine()}")


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


def findings() -> Iterator[Finding]:
    """Everything that can be said of this machine without a running robot."""
    yield _python()
    yield from _libraries()
    yield from _ros()
    yield from _cv_bridge()


def command() -> None:
    """Look at this machine and say what is missing, each finding with its fix."""
    bad = False
    for finding in findings():
        mark = {True: "ok ", False: "BAD", None: "-  "}[finding.ok]
        print(f"{mark} {finding.what}" + (f"\n      fix: {finding.fix}" if finding.ok is not True else ""))
        bad |= finding.ok is False
    if bad:
        raise typer.Exit(2)
