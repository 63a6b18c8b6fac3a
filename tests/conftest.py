"""Fixtures of every area: a ROS domain of one's own, and the real RGB-D pairs."""

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Read when a message class is imported, hence set before any test module: a wrong field type is an error.
os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

DOMAINS = range(1, 102)  # above 101 DDS ports run into Linux's ephemeral ones


def _is_silent(domain: int) -> bool:
    """Whether no process here listens on the domain's discovery port (7400 + 250 * domain, by DDSI-RTPS)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", 7400 + 250 * domain))
        except OSError:
            return False
        return True


@contextmanager
def free_ros_domain() -> Iterator[int]:
    """A ROS domain that no other test run holds (a lock file) and no process uses, until the block ends."""
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with (Path(tempfile.gettempdir()) / f"edgevl-ros-domain-{domain}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if _is_silent(domain):
                yield domain
                return
    raise RuntimeError("no ROS domain from 1 to 101 is free")


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Puts the test, and every process that it starts, into a ROS domain of its own; the domain's number."""
    with free_ros_domain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        yield domain


@pytest.fixture(autouse=True)
def _isolate_ros(request: pytest.FixtureRequest) -> None:
    """Every test marked ros has its own domain without asking for it."""
    if request.node.get_closest_marker("ros"):
        request.getfixturevalue("ros_domain")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets (``hololens_rgbd`` in it), or a skip that says what to set."""
    folder = os.environ.get("EDGEVL_REAL_DATA")
    if not folder:
        pytest.skip("EDGEVL_REAL_DATA names no folder with hololens_rgbd")
    path = Path(folder) / "hololens_rgbd"
    if not path.is_dir():
        pytest.skip(f"EDGEVL_REAL_DATA={folder} has no hololens_rgbd")
    return path.parent
