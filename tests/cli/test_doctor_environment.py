"""``edgevl doctor`` without a graph: what is wrong with a machine is found, and comes with its fix."""

import mmap
import sys
from pathlib import Path

import pytest

from edgevl_cli.doctor.environment import ROOM_BYTES, cv_bridge_clash, environment, leftovers, profile, room
from edgevl_cli.doctor.middleware import middleware
from edgevl_ros.node.dds import profile_variables

pytestmark = pytest.mark.unit


def install(site_packages: Path, version: str | None) -> None:
    """A package cv_bridge, with Python metadata where it has a version."""
    (site_packages / "cv_bridge").mkdir(parents=True)
    (site_packages / "cv_bridge/__init__.py").touch()
    if version is not None:
        metadata = site_packages / f"cv_bridge-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: cv_bridge\nVersion: {version}\n")


def test_the_leftover_of_ros_1_is_to_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "1.13.0.post0")
    monkeypatch.syspath_prepend(tmp_path)
    [finding] = cv_bridge_clash()
    assert finding.ok is False
    assert "1.13.0.post0" in finding.what
    assert finding.fix == "pip uninstall cv-bridge"


@pytest.mark.parametrize("version", [None, "4.1.0"])
def test_numpy_2_beside_an_apt_cv_bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    site_packages = tmp_path / "opt/ros/jazzy/lib/python3.12/site-packages"
    install(site_packages, version)
    monkeypatch.syspath_prepend(site_packages)
    [finding] = cv_bridge_clash()
    assert finding.ok is False
    assert str(tmp_path / "opt/ros/jazzy") in finding.what
    assert finding.fix == f"{sys.executable} -m pip install 'numpy<2'"


def test_shared_memory_of_killed_nodes(tmp_path: Path) -> None:
    for name, megabytes in (("fastdds_left", 16), ("fastrtps_used", 16), ("fastdds_port", 0), ("another", 16)):
        (tmp_path / name).write_bytes(bytes(megabytes * 1_000_000))
    with (tmp_path / "fastrtps_used").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        [finding] = leftovers(tmp_path)
    assert finding.ok is None
    assert finding.what.startswith("1 shared memory segments of killed nodes")
    assert finding.what.endswith("16 MB")
    assert f"rm {tmp_path}/fastdds*" in finding.fix
    (tmp_path / "fastdds_left").unlink()
    (tmp_path / "fastrtps_used").unlink()
    (tmp_path / "fastdds_gone").symlink_to(tmp_path / "nowhere")  # as one that a node took away since it was listed
    assert not list(leftovers(tmp_path))


def test_shared_memory_must_hold_images() -> None:
    [finding] = room(64_000_000)  # what a container has by default
    assert finding.ok is False
    assert "64 MB" in finding.what
    assert "--shm-size" in finding.fix
    assert not list(room(ROOM_BYTES))


def test_each_middleware_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "lib"
    library.mkdir()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    for name, ok, said in (
        ("rmw_fastrtps_cpp", True, ""),
        ("rmw_cyclonedds_cpp", None, "rmem_max"),
        ("rmw_zenoh_cpp", None, "rmw_zenohd"),
        ("rmw_mine_cpp", None, "known are rmw_fastrtps_cpp"),
    ):
        monkeypatch.setenv("RMW_IMPLEMENTATION", name)
        (library / f"lib{name}.so").touch()
        (finding,) = middleware()
        assert (finding.ok, name in finding.what) == (ok, True)
        assert said in finding.fix
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_gone_cpp")
    (finding,) = middleware()
    assert finding.ok is False
    assert "librmw_gone_cpp.so" in finding.what


def test_the_fast_dds_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RMW_IMPLEMENTATION", raising=False)
    there = tmp_path / "fastdds.xml"
    there.touch()
    for value, ok in (("", None), (str(tmp_path / "gone.xml"), False), (str(there), True)):
        for variable in profile_variables():
            monkeypatch.setenv(variable, value)
        findings = list(profile())
        assert [finding.ok for finding in findings] == [ok] * len(profile_variables())
        assert all(("config/fastdds.xml" in finding.fix) == (ok is not True) for finding in findings)
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    assert not list(profile())


def test_every_finding_has_its_fix() -> None:
    assert [finding.what for finding in environment() if finding.ok is not True and not finding.fix] == []
