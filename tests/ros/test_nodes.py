"""What all nodes promise: life cycle, parameters, diagnostics, namespaces, a clean end."""

import signal

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from edgevl.msg import SceneClass
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters

from tests.ros import harness
from tests.ros.harness import Graph

pytestmark = pytest.mark.ros
NODES = ("bag_player", "pair_logger", "scene_classifier", "label_overlay", "adaptation_manager")


def start_all(graph: Graph, tmp_path):
    """All five nodes, each able to become active."""
    bag = harness.write_bag(tmp_path / "bag", frames=2)
    parameters = {
        "bag_player": {"bag": str(bag), "exit_at_end": False},
        "pair_logger": {"directory": str(tmp_path / "logs"), "min_free_mb": 0.0},
    }
    return [graph.start(name, **parameters.get(name, {})) for name in NODES]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nodes_become_active_report_and_end_cleanly(graph, tmp_path, number):
    reports = {}

    def collect(array: DiagnosticArray) -> None:
        for status in array.status:
            reports[status.name] = ({pair.key: pair.value for pair in status.values}, status)

    graph.subscribe(DiagnosticArray, "/diagnostics", collect)
    nodes = start_all(graph, tmp_path)
    graph.until(
        lambda: all(reports.get(f"/{name}", ({},))[0].get("state") == "active" for name in NODES),
        "every node to report that it is active",
    )
    for values, status in reports.values():
        assert values["errors"] == "0"
        assert status.message
        assert status.hardware_id == "edgevl"
    assert reports["/scene_classifier"][1].level == DiagnosticStatus.WARN
    assert "no bundle" in reports["/scene_classifier"][1].message
    for node in nodes:
        node.process.send_signal(number)
    assert [node.wait() for node in nodes] == [0] * 5, [node.output() for node in nodes]
    assert not any("Traceback" in node.output() for node in nodes)


def test_life_cycle_by_hand_and_parameters_while_unconfigured(graph, tmp_path):
    node = graph.start("pair_logger", autostart=False, directory=str(tmp_path), min_free_mb=0.0)

    def change(transition: int) -> bool:
        request = Transition(id=transition)
        return graph.call(ChangeState, "pair_logger/change_state", transition=request).success

    def state() -> int:
        return graph.call(GetState, "pair_logger/get_state").current_state.id

    def set_interval(seconds: float):
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=seconds)
        request = [Parameter(name="min_interval_s", value=value)]
        return graph.call(SetParameters, "pair_logger/set_parameters", parameters=request).results[0]

    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert set_interval(0.5).successful
    assert not set_interval(-1.0).successful  # out of range
    assert change(Transition.TRANSITION_CONFIGURE)
    refused = set_interval(0.7)
    assert not refused.successful
    assert "unconfigured" in refused.reason
    for _ in range(2):  # activating again makes a second log
        assert change(Transition.TRANSITION_ACTIVATE)
        assert state() == State.PRIMARY_STATE_ACTIVE
        assert change(Transition.TRANSITION_DEACTIVATE)
    assert change(Transition.TRANSITION_CLEANUP)
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert len([path for path in tmp_path.iterdir() if path.name.startswith("pairs_")]) == 2
    assert node.stop() == 0


def test_two_robots_side_by_side_with_the_shipped_parameters(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=10, hz=20)
    answers = {"/r1": [], "/r2": []}
    stats = {}
    for robot, received in answers.items():
        graph.subscribe(SceneClass, f"{robot}/scene_classifier/scene", received.append)
        stats[robot] = graph.watch_stats(f"{robot}/scene_classifier/stats")
        shipped = ("--params-file", str(harness.ROOT / "config/robot.yaml"), "-r", f"__ns:={robot}")
        graph.start("scene_classifier", *shipped, bundle=str(tmp_path / "bundle"), top_k=2, qos_reliability="reliable")
    for robot in answers:
        graph.wait_for_hearers(stats[robot], "scene_subscribers")
    overridden = graph.call(GetParameters, "/r1/scene_classifier/get_parameters", names=["fallback_after_s", "top_k"])
    assert [overridden.values[0].double_value, overridden.values[1].integer_value] == [0.5, 2]
    waits = {"wait_rgb_subscribers": 1, "wait_depth_subscribers": 1}
    player = graph.start("bag_player", "-r", "__ns:=/r1", bag=str(bag), **waits)
    assert player.wait() == 0
    graph.until(lambda: stats["/r1"]().get("pairs") == "10", "the first robot's pairs")
    assert answers["/r1"]
    assert stats["/r2"]()["received_rgb"] == "0"
    assert not answers["/r2"]


def test_parameters_are_described_on_the_graph(graph):
    graph.start("label_overlay")
    listed = graph.call(ListParameters, "label_overlay/list_parameters").result.names
    own = [name for name in listed if not name.startswith(("use_sim_time", "start_type_desc"))]
    described = graph.call(DescribeParameters, "label_overlay/describe_parameters", names=own).descriptors
    assert {d.name for d in described} >= {"autostart", "rgb_topic", "buffer_length", "max_skew_s"}
    assert [d.name for d in described if not d.description] == []
    numbers = (ParameterType.PARAMETER_DOUBLE, ParameterType.PARAMETER_INTEGER)
    assert [d.name for d in described if d.type in numbers and not (d.floating_point_range or d.integer_range)] == []
    assert [d.name for d in described if d.read_only] == ["autostart"]
