"""tf2_msgs, which a robot has and the wheels lack: built from its one definition with the generators for edgevl's own.

``python tf2_messages.py FOLDER`` makes FOLDER/tf2_msgs, a package to put on PYTHONPATH.
"""

import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup

from edgevl_build import generate

DEFINITION = "geometry_msgs/TransformStamped[] transforms\n"  # as tf2_msgs/msg/TFMessage has been since ROS 2 began


def build(folder: Path) -> None:
    """Raises SystemExit where a compiler says no."""
    source, generated = folder / "source", folder / "generated"
    (source / "msg").mkdir(parents=True)
    (source / "msg/TFMessage.msg").write_text(DEFINITION)
    macros = generate.DISPATCH_MACROS.read_text().replace("edgevl__", "tf2_msgs__").replace(", edgevl,", ", tf2_msgs,")
    generate.PACKAGE, generate.DISPATCH_MACROS = "tf2_msgs", source / "dispatch.hpp"
    generate.DISPATCH_MACROS.write_text(macros)
    settings = generate.build_settings(generate.generate(source, generated), generated)
    shutil.copytree(generated / "python/tf2_msgs", folder / "tf2_msgs")
    name = "tf2_msgs.tf2_msgs_s__rosidl_typesupport_c"
    extension = Extension(name, runtime_library_dirs=settings["library_dirs"], language="c++", **settings, **FLAGS)
    arguments = ["--quiet", "build_ext", f"--build-lib={folder}", f"--build-temp={folder / 'build'}"]
    setup(name="tf2_msgs", version="0", ext_modules=[extension], packages=[], script_args=arguments)


FLAGS = {"extra_compile_args": ["-O0", "-g0", "-w"]}

if __name__ == "__main__":
    build(Path(sys.argv[1]))
