"""Every ROS test: the Fast DDS profile, a graph that cleans up after itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ros import harness


@pytest.fixture
def graph(ros_domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[harness.Graph]:
    """Nodes and a probe in a ROS domain of the test's own, with Fast DDS set up as launch and demo do."""
    harness.use_profile(monkeypatch)
    with harness.graph(tmp_path) as opened:
        yield opened
