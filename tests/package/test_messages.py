"""The compiled messages and services, between two processes over the real DDS."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

INTERFACES = sorted(
    str(path.relative_to(ROOT).with_suffix("")) for path in [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]
)


def run(command: list[str], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run another environment's program: what the ROS wheels' bootstrap set for this one is taken out."""
    inherited = ("LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE", "PYTHONPATH")
    environment = {key: value for key, value in os.environ.items() if key not in inherited} | variables
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280, check=False)


def round_trips(python: str, cwd: Path) -> dict[str, str]:
    """{type: "ok" or what went wrong}; ``cwd`` lies outside the tree, so that the installed package runs."""
    result = run([python, str(ROOT / "tests/package/round_trip.py")], cwd)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.ros
def test_every_type_between_two_processes(tmp_path: Path) -> None:
    assert round_trips(sys.executable, tmp_path) == dict.fromkeys(INTERFACES, "ok")


def source_copy(destination: Path) -> Path:
    """The files that git tracks or would track, copied: a build in the tree would share its build folder."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, destination / name)
    return destination


def fresh_environment(folder: Path, *pip_arguments: str) -> str:
    """A virtual environment's Python, with one ``pip install``."""
    python = str(folder / "bin/python")
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", *pip_arguments],
    ):
        result = run(command, folder.parent)
        assert result.returncode == 0, result.stdout + result.stderr
    return python


@pytest.mark.slow
@pytest.mark.ros
def test_jazzy_builds_and_speaks(tmp_path: Path) -> None:
    """`pip install .`, with build isolation, against the other ROS 2."""
    python = fresh_environment(tmp_path / "venv", "-r", str(ROOT / "locks/jazzy.txt"))
    source = source_copy(tmp_path / "source")
    result = run([python, "-m", "pip", "install", "--no-deps", str(source)], tmp_path)
    assert result.returncode == 0, result.stderr
    assert round_trips(python, tmp_path) == dict.fromkeys(INTERFACES, "ok")
    assert os.access(tmp_path / "venv/lib/edgevl/bag_player", os.X_OK)
    assert (tmp_path / "venv/share/edgevl/config/labels/home.yaml").is_file()


@pytest.mark.slow
def test_without_ros_the_rest_installs_and_says_so(tmp_path: Path) -> None:
    python = fresh_environment(tmp_path / "venv", "setuptools>=77", "wheel")
    source = source_copy(tmp_path / "source")
    result = run([python, "-m", "pip", "install", "--no-deps", "--verbose", str(source)], tmp_path)
    assert result.returncode == 0, result.stderr
    assert "MESSAGES NOT BUILT" in result.stdout + result.stderr
    program = "import edgevl_core; from importlib.util import find_spec; print(find_spec('edgevl'))"
    assert run([python, "-c", program], tmp_path).stdout == "None\n"


@pytest.mark.slow
def test_messages_that_cannot_be_built_fail_the_install(tmp_path: Path) -> None:
    source = source_copy(tmp_path / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", str(source)]
    result = run(command, tmp_path, CC="false", CXX="false")
    assert result.returncode != 0
    assert "non-zero exit status" in result.stdout + result.stderr

    (source / "msg/SceneTruth.msg").write_text("no_such_package/NoSuchType field\n")
    result = run(command, tmp_path)
    assert result.returncode != 0
    assert "the message generators failed" in result.stdout + result.stderr
