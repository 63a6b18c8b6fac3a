"""Fixtures of every area: a ROS domain of one's own, and the real RGB-D pairs."""

import functools
import gc
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from edgevl_ros.node.domain import free_ros_domain

# Read when a message class is imported, hence set before any test module: a wrong field type is an error.
os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# More suites run at once than there are cores: threads that wait for each other then wait for a core first, and the
# tests took three times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test depends on how fast the machine is just now.
settings.register_profile("edgevl", deadline=None)
settings.load_profile("edgevl")


TESTS = Path(__file__).parent
TRAINING = TESTS / "train"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: training, which computes, and beside it nodes, which wait; small things last."""
    areas = ["train", "ros", "real"]
    place = {item: item.path.relative_to(TESTS).parts[0] for item in items}
    items.sort(key=lambda item: areas.index(place[item]) if place[item] in areas else len(areas))


def pytest_collection_finish() -> None:
    """What was imported stays: 600,000 objects that no collector looks through again (0.4 s in each test of nodes)."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which tests stay together in one worker, where there are several: those of a file, for they share fixtures.

    Those that train share a teacher, a run, and what the exporter made of a network, which takes seconds each time.
    There are two such groups. (xdist's own groups by mark do nothing with pytest 9.2: it names tests otherwise.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFixtures(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = config.rootpath / nodeid.split("::")[0]
            if TRAINING not in file.parents:
                return str(file)
            return "runs" if file.parent == TRAINING else "training"

    return ByFixtures(config, log)


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


@pytest.fixture(autouse=True)
def _operators_once() -> None:
    """torch's exporter makes its table of operators anew for each network, a third of its time for a small one."""
    exporter = sys.modules.get("torch.onnx._internal.exporter._registration")
    if exporter and isinstance(exporter.ONNXRegistry.__dict__["from_torchlib"], classmethod):
        exporter.ONNXRegistry.from_torchlib = staticmethod(functools.cache(exporter.ONNXRegistry.from_torchlib))


@contextmanager
def _files_of_at_most(most_bytes: int) -> Iterator[None]:
    """No file of this process and those it starts may grow beyond this: a larger write gets EFBIG, as on a full disk.

    No byte code is written meanwhile: Python does not notice that its file was cut short, and each later import of the
    module fails.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # for the processes that are started
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture(scope="session")
def files_of_at_most() -> Callable[[int], AbstractContextManager[None]]:
    """The context in which no file may exceed the given bytes."""
    return _files_of_at_most


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
