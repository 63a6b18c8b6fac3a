"""Messages and services without CMake: finds this Python's ROS 2, hands its generators' output to setuptools.

The route: rosidl's generators as Python functions (generate.py), then ONE extension module with the C
structures, both type supports and the Python conversions, linked against the libraries of the ROS 2 wheels. A
colcon build does not come here: CMakeLists.txt calls rosidl_generate_interfaces.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension

PACKAGES = ["edgevl", "edgevl.msg", "edgevl.srv"]

PROBE = """
from importlib.util import find_spec
print(bool(find_spec("rclpy")), bool(find_spec("rosidl_adapter") and find_spec("rosidl_generator_py")))
"""


def work_dir(root: Path) -> Path:
    """Where to build for this Python environment.

    One folder per environment: an object file made for Kilted must not end up in a wheel for Jazzy, and the
    editable install of one environment imports the generated package from here.
    """
    tag = hashlib.sha256(sys.prefix.encode()).hexdigest()[:8]
    return root / "build" / f"{sys.implementation.cache_tag}-{tag}"


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the target environment's own Python, outside pip's build isolation (two variables)."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONNOUSERSITE")}
    return subprocess.run([sys.executable, *arguments], env=environment, text=True, capture_output=True, check=False)


def generate(root: Path) -> dict[str, list[str]] | None:
    """Generate the sources into ``work_dir(root)/rosidl``; generate.py's settings, or None without ROS 2.

    Raises:
        SystemExit: ROS 2 is there, but its generators are missing or failed.
    """
    has_rclpy, has_generators = _python("-c", PROBE).stdout.split()
    if has_generators == "False":
        if has_rclpy == "True":
            sys.exit(
                f"edgevl: rclpy is in {sys.prefix}, but the message generators are not: pip install "
                "ros-<distribution>-rosidl-default-generators of the same distribution, then edgevl again"
            )
        print(
            f"edgevl: MESSAGES NOT BUILT: no ROS 2 in {sys.prefix}. All but the ROS nodes is installed. For "
            "the nodes, pip install -r locks/kilted.txt, then edgevl again; with an apt ROS 2, colcon build.",
            file=sys.stderr,
        )
        return None
    output = work_dir(root) / "rosidl"
    result = _python(str(root / "edgevl_build/generate.py"), str(root), str(output))
    if result.returncode:
        sys.exit(f"edgevl: the message generators failed\n{result.stdout}\n{result.stderr}")
    settings: dict[str, list[str]] = json.loads((output / "settings.json").read_text())
    return settings


def setup_arguments(root: Path, editable: bool) -> dict[str, object]:
    """What the messages add to setup(): packages, package_dir, ext_modules; all empty without ROS 2."""
    settings = generate(root)
    if settings is None:
        return {"packages": [], "package_dir": {}, "ext_modules": []}
    relative = [os.path.relpath(source, root) for source in settings["sources"]]
    # The module is PREFIX/lib/pythonX.Y/site-packages/edgevl/*.so, the libraries are PREFIX/lib/*.so.
    # An editable install leaves the module in the work directory, so it needs the libraries' own path.
    library_path = settings["library_dirs"] if editable else ["$ORIGIN/../../.."]
    extension = Extension(
        "edgevl.edgevl_s__rosidl_typesupport_c",
        sources=relative,
        include_dirs=settings["include_dirs"],
        libraries=settings["libraries"],
        library_dirs=settings["library_dirs"],
        runtime_library_dirs=library_path,
        extra_compile_args=[
            "-O1",
            "-g0",
            "-w",
        ],  # generated code that copies fields: no speed, no warnings to gain
        language="c++",
    )
    generated = (work_dir(root) / "rosidl/python/edgevl").relative_to(root)
    return {"packages": PACKAGES, "package_dir": {"edgevl": str(generated)}, "ext_modules": [extension]}
