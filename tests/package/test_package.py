"""Packaging: one version, one list of programs, and nothing that pip or colcon would leave behind."""

import importlib
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import edgevl_core
from edgevl_build import share
from edgevl_core.base.requirements import LOWEST, outdated
from tests.paths import ROOT

pytestmark = pytest.mark.unit
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CMAKE = (ROOT / "CMakeLists.txt").read_text()


def locked(name: str) -> dict[str, str]:
    """{name: version} of a lock file."""
    lines = (ROOT / "locks" / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_one_version() -> None:
    version = edgevl_core.__version__
    assert ElementTree.parse(ROOT / "package.xml").findtext("version") == version
    assert re.search(rf"^{re.escape(version)} \(|^Forthcoming$", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)
    assert "version" in PYPROJECT["project"]["dynamic"]


def test_no_top_level_setup_cfg() -> None:
    assert not (ROOT / "setup.cfg").exists(), "ament_python_install_package would pick it up: use scripts.cfg"


@pytest.mark.parametrize("script", share.console_scripts(ROOT))
def test_every_program_can_be_imported(script: str) -> None:
    module, function = script.split("=")[1].strip().split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_nodes_of_the_design_are_programs() -> None:
    nodes = {"bag_player", "pair_logger", "scene_classifier", "label_overlay", "room_mapper", "adaptation_manager"}
    assert set(share.node_names(ROOT)) >= nodes | {"base_station"}


def test_data_files(tmp_path: Path) -> None:
    work_dir = ROOT / "build" / "test-data-files"
    files = dict(share.data_files(ROOT, work_dir))
    assert "package.xml" in files["share/edgevl"]
    assert "config/labels/home.yaml" in files["share/edgevl/config/labels"]
    assert "msg/SceneTruth.msg" in files["share/edgevl/msg"]
    assert "quick/bundle/student.onnx" in files["share/edgevl/quick/bundle"]
    assert [Path(file).name for file in files["share/ament_index/resource_index/packages"]] == ["edgevl"]
    shims = files["lib/edgevl"]
    assert sorted(Path(shim).name for shim in shims) == sorted(share.node_names(ROOT))
    assert all(os.access(ROOT / shim, os.X_OK) for shim in shims)

    share.link(ROOT, work_dir, tmp_path)
    share.link(ROOT, work_dir, tmp_path)  # a second time: nothing in the way
    assert (tmp_path / "share/edgevl/config/labels/home.yaml").is_file()
    program = tmp_path / "bin/bag_player"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "ran with $1"\n')
    program.chmod(0o755)
    run = [str(tmp_path / "lib/edgevl/bag_player"), "--x"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "ran with --x\n"


def test_cmake_names_every_interface_and_package() -> None:
    for path in [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]:
        assert str(path.relative_to(ROOT)) in CMAKE
    for path in ROOT.glob("edgevl_*/__init__.py"):
        if path.parent.name != "edgevl_build":
            assert re.search(rf"\b{path.parent.name}\b", CMAKE)


@pytest.mark.parametrize("name", ["kilted.txt", "jazzy.txt", "python.txt", "colcon.txt", "lowest.txt"])
def test_a_lock_holds_exact_versions_and_no_place(name: str) -> None:
    for line in (ROOT / "locks" / name).read_text().splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[0-9][0-9A-Za-z.]*", line), line


def test_the_lock_is_within_the_ranges_of_the_metadata() -> None:
    versions = locked("python.txt")
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["train"], *extras["dev"]]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{name} is not locked"
        assert requirement.specifier.contains(versions[name]), f"{text}, locked {versions[name]}"


def test_the_oldest_libraries_are_those_of_the_metadata() -> None:
    least = {}
    for text in PYPROJECT["project"]["dependencies"]:
        requirement = Requirement(text)
        (least[requirement.name],) = (each.version for each in requirement.specifier if each.operator == ">=")
    del least["opencv-python-headless"]  # apt's OpenCV goes by another name
    assert dict(LOWEST) == least


def test_a_robot_installs_what_the_metadata_says_with_numpy_below_2() -> None:
    lines = (ROOT / "locks/robot.in").read_text().splitlines()
    named = [line for line in lines if not line.startswith("#")]
    assert [line.removesuffix(",<2") for line in named] == PYPROJECT["project"]["dependencies"]
    assert [line for line in named if line.endswith(",<2")] == ["numpy>=1.23,<2"]


def test_the_lowest_lock_is_the_lowest_that_the_metadata_allows() -> None:
    """Or the first that has a wheel for that Python, which is said in the file's head."""
    versions = locked("lowest.txt")
    for text in PYPROJECT["project"]["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), text
    assert {name: versions[name] for name in ("pydantic", "typer")} == {"pydantic": "2.5.0", "typer": "0.16.0"}


@pytest.mark.parametrize(
    ("version", "told"), [("1.10.14", True), ("2.4.2+dfsg-1", True), ("2.5", False), ("10.0", False)]
)
def test_a_library_that_is_too_old_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, told: bool
) -> None:
    folder = tmp_path / "elderly-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: elderly\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    findings = outdated({"elderly": "2.5.0", "not-installed-anywhere": "1"})
    assert [finding.what for finding in findings] == [f"elderly {version}: at least 2.5.0 is needed"] * told


@pytest.mark.parametrize(("arguments", "stream"), [(["doctor"], "stdout"), (["--help"], "stderr")])
def test_with_typer_of_an_older_debian_doctor_answers_and_the_rest_names_the_fix(
    tmp_path: Path, arguments: list[str], stream: str
) -> None:
    folder = tmp_path / "typer-0.7.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: typer\nVersion: 0.7.0\n")
    (tmp_path / "typer.py").write_text("raise SystemExit('imported')\n")
    run = [sys.executable, "-c", "from edgevl_cli.start import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    result = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    said = getattr(result, stream)
    assert "typer 0.7.0: at least 0.16 is needed" in said
    assert "docs/robots.md" in said


def test_a_machine_without_what_is_needed_hears_the_debian_package(tmp_path: Path) -> None:
    """A Python without venv and headers, and no g++: one line each, exit 2."""
    python = tmp_path / "python3"
    python.write_text(
        '#!/bin/sh\ncase "$2" in *Python.h*|*ensurepip*) exit 1;; *"%d.%d"*) echo 3.11;; *sys.exit*) exit 0;; esac\n'
    )
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python), "CXX": "no-such-compiler"}
    run = ["sh", str(ROOT / "edgevl_build/find_python.sh")]
    result = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert not result.stdout
    for package, line in zip(("g++", "python3-dev", "python3-venv"), result.stderr.splitlines(), strict=True):
        assert f"apt install {package}" in line


def test_the_chosen_python_is_printed() -> None:
    environment = {**os.environ, "PYTHON": sys.executable}
    run = ["sh", str(ROOT / "edgevl_build/find_python.sh")]
    result = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == sys.executable
