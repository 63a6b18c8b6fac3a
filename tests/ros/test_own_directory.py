"""Two robots on one computer: what one keeps, the other cannot overwrite."""

import signal

import pytest

from tests.ros.harness import Graph

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(("name", "parameter"), [("room_mapper", "directory"), ("adaptation_manager", "out_dir")])
def test_a_directory_is_kept_by_one_node_alone(graph: Graph, tmp_path, name, parameter):
    given = {parameter: str(tmp_path / "kept")}
    stats = graph.watch_stats(f"{name}/stats")
    first = graph.start(name, **given)
    graph.until(lambda: stats().get("state") == "active", "the first")
    second = graph.start(name, "-r", "__ns:=/robot2", **given)
    assert second.wait() == 2
    told = [line for line in second.output().splitlines() if "in use" in line]
    assert len(told) == 1
    assert f"parameter {parameter} = '{tmp_path / 'kept'}' is in use by another {name}: stop that one, or" in told[0]
    first.process.send_signal(signal.SIGKILL)  # a lock that outlived its process would keep the robot from starting
    first.wait()
    third = graph.watch_stats(f"robot3/{name}/stats")
    graph.start(name, "-r", "__ns:=/robot3", **given)
    graph.until(lambda: third().get("state") == "active", "the next")
