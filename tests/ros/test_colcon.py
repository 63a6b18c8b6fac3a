"""The colcon install that EDGEVL_COLCON_INSTALL names (make colcon): what is in it, and that it runs by itself.

There the other ROS tests start its programs too, see harness.node_command.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgevl_build import share
from tests.ros import harness

pytestmark = pytest.mark.ros
ROOT = harness.ROOT


@pytest.fixture(scope="module")
def install() -> Path:
    """The colcon install."""
    folder = os.environ.get("EDGEVL_COLCON_INSTALL")
    if not folder:
        pytest.skip("EDGEVL_COLCON_INSTALL names no colcon install: make colcon builds one and runs this")
    return Path(folder)


def run(install: Path, program: str, *arguments: str, cwd: Path) -> str:
    """What a program prints that is run with the install's set-up."""
    command = [*harness.built_command(install, program), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=True).stdout


def test_every_program_and_file_is_there(install, tmp_path):
    prefix = install / "edgevl"
    for script in share.console_scripts(ROOT):
        program = prefix / "lib/edgevl" / script.split("=")[0].strip()
        assert run(install, str(program), "--help", cwd=tmp_path)
    for folder in ("config", "launch", "rviz", "foxglove", "quick"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (prefix / "share/edgevl" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()


def test_all_code_comes_from_the_install(install, tmp_path):
    """The environment also has an editable install of the source tree, which must not be what runs."""
    packages = {path.parent.name for path in ROOT.glob("edgevl_*/__init__.py")} - {"edgevl_build"}
    program = f"""
import importlib, ament_index_python, edgevl.msg, edgevl.srv
for name in {sorted(packages)}:
    print(importlib.import_module(name).__file__)
print(edgevl.__file__)
print(ament_index_python.get_package_share_directory("edgevl"))
"""
    places = run(install, sys.executable, "-c", program, cwd=tmp_path).split()
    assert len(places) == len(packages) + 2
    assert all(place.startswith(f"{install}/edgevl/") for place in places)


def test_the_set_up_puts_the_command_line_on_the_path(install, tmp_path):
    assert run(install, "sh", "-c", "command -v edgevl", cwd=tmp_path).strip() == f"{install}/edgevl/bin/edgevl"
    assert "Usage: edgevl" in run(install, "edgevl", "--help", cwd=tmp_path)


def test_the_ready_made_files_are_found(install, tmp_path):
    program = str(install / "edgevl/lib/edgevl/edgevl")
    assert "rooms named rightly" in run(install, program, "demo", "--quick", cwd=tmp_path)
    assert (tmp_path / "demo_quick/picture.png").is_file()
