"""What all nodes promise: life cycle, parameters, diagnostics, namespaces, a clean end."""

import signal

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from edgevl.msg import SceneClass
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from edgevl_core.pairlog.pairs import read_pairs
from edgevl_ros.node.qos import stream_qos
from tests.core.offload.cut_student import write_cut
from tests.ros import harness
from tests.ros.harness import Graph

pytestmark = pytest.mark.ros
NODES = (
    "bag_player",
    "pair_logger",
    "scene_classifier",
    "label_overlay",
    "room_mapper",
    "adaptation_manager",
    "base_station",
)


SHIPPED = ("--params-file", str(harness.ROOT / "config/robot.yaml"))


def start_all(graph: Graph, tmp_path, *arguments: str, bundle: object = "", offload="", folder: object = ""):
    """All nodes with the shipped parameters, each able to become active; ``folder``: ``tmp_path`` as they are told."""
    folder = folder or tmp_path
    harness.write_bag(tmp_path / "bag", frames=2)
    write_cut(tmp_path / "cut")
    parameters = {
        "bag_player": {"bag": f"{folder}/bag", "exit_at_end": False},
        "pair_logger": {"directory": f"{folder}/logs", "min_free_mb": 0.0},
        "scene_classifier": {"bundle": str(bundle), "offload": offload},
        "room_mapper": {"directory": f"{folder}/rooms"},
        "adaptation_manager": {"out_dir": f"{folder}/runs"},
        "base_station": {"offload": f"{folder}/cut"},
    }
    return [graph.start(name, *SHIPPED, *arguments, **parameters.get(name, {})) for name in NODES]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nodes_become_active_report_and_end_cleanly(graph, tmp_path, monkeypatch, number):
    """Of each path only what follows the home directory is told."""
    monkeypatch.setenv("HOME", str(tmp_path))
    reports = {}

    def collect(array: DiagnosticArray) -> None:
        for status in array.status:
            reports[status.name] = ({pair.key: pair.value for pair in status.values}, status)

    graph.subscribe(DiagnosticArray, "/diagnostics", collect)
    nodes = start_all(graph, tmp_path, offload="~/cut", folder="~")
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
    assert [node.wait() for node in nodes] == [0] * len(NODES), [node.output() for node in nodes]
    assert not any("Traceback" in node.output() for node in nodes)
    assert not (tmp_path / "~").exists()


def test_a_home_directory_that_is_nobodys_is_said_by_every_node_in_one_line(graph):
    faults = [
        ("bag_player", "bag", "~nosuchuser/x"),
        ("pair_logger", "directory", "~nosuchuser/x"),
        ("scene_classifier", "bundle", "~nosuchuser/x"),
        ("scene_classifier", "bundle_roots", ["/", "~nosuchuser/x"]),
        ("scene_classifier", "offload", "~nosuchuser/x"),
        ("room_mapper", "directory", "~nosuchuser/x"),
        ("label_overlay", "font", "~nosuchuser/x"),
        ("base_station", "offload", "~nosuchuser/x"),
        ("adaptation_manager", "out_dir", "~nosuchuser/x"),
    ]
    nodes = [graph.start(name, **{parameter: value}) for name, parameter, value in faults]
    for (_, parameter, _), node in zip(faults, nodes, strict=True):
        assert node.wait() == 2
        told = f"parameter {parameter} = '~nosuchuser/x': this machine knows no such home directory: write the whole"
        assert told in node.output()
        assert "Traceback" not in node.output()


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
    """Each classifies, draws and logs its own camera's images, and nothing of the other's."""
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=10, hz=20)
    answers, drawn = {"/r1": [], "/r2": []}, {"/r1": [], "/r2": []}
    stats = {}
    for robot in answers:
        graph.subscribe(SceneClass, f"{robot}/scene_classifier/scene", answers[robot].append)
        graph.subscribe(Image, f"{robot}/label_overlay/image", drawn[robot].append)
        given = {
            "scene_classifier": {"bundle": str(tmp_path / "bundle"), "top_k": 2, "fallback_after_s": 10.0},
            "label_overlay": {},
            "pair_logger": {
                "directory": f"{tmp_path}{robot}",
                "name": "log",
                "min_free_mb": 0.0,
                "min_interval_s": 0.0,
                "scene_topic": "",
            },
        }
        for name, parameters in given.items():
            stats[robot, name] = graph.watch_stats(f"{robot}/{name}/stats")
            common = {"qos_reliability": "reliable", "qos_depth": 20}
            graph.start(name, *SHIPPED, "-r", f"__ns:={robot}", **common, **parameters)
    for robot in answers:
        graph.wait_for_hearers(stats[robot, "scene_classifier"], "scene_subscribers", 2)
        graph.wait_for_hearers(stats[robot, "label_overlay"], "image_subscribers")
    overridden = graph.call(GetParameters, "/r1/scene_classifier/get_parameters", names=["smoothing_s", "top_k"])
    assert [overridden.values[0].double_value, overridden.values[1].integer_value] == [0.5, 2]
    waits = {"wait_rgb_subscribers": 3, "wait_depth_subscribers": 2, "wait_camera_info_subscribers": 1}
    player = graph.start("bag_player", "-r", "__ns:=/r1", bag=str(bag), **waits)
    assert player.wait() == 0
    graph.until(lambda: stats["/r1", "scene_classifier"]().get("pairs") == "10", "the first robot's pairs")
    graph.until(lambda: len(drawn["/r1"]) == len(answers["/r1"]) > 0, "the first robot's pictures")
    for key in ("received_rgb", "received_depth"):
        graph.until(lambda k=key: stats["/r1", "pair_logger"]().get(k) == "10", "the first robot's log")
    for robot, pairs in (("/r1", 10), ("/r2", 0)):
        assert graph.call(Trigger, f"{robot}/pair_logger/stop").success
        logger = stats[robot, "pair_logger"]
        graph.until(lambda said=logger: said().get("logger") == "stopped", f"the end of {robot}'s log")
        assert logger()["pairs_kept"] == str(pairs)
    assert stats["/r2", "scene_classifier"]()["received_rgb"] == "0"
    assert not answers["/r2"]
    assert not drawn["/r2"]
    assert len(list(read_pairs(tmp_path / "r1/log"))) == 10


def test_in_a_namespace_every_topic_and_service_lies_in_it(graph, tmp_path):
    stats = {name: graph.watch_stats(f"/r1/{name}/stats") for name in NODES if name != "bag_player"}
    stats["bag_player"] = graph.watch_stats("/r1/bag_player/status")
    start_all(graph, tmp_path, "-r", "__ns:=/r1")
    graph.until(lambda: all(each().get("state") == "active" for each in stats.values()), "every node to be active")
    node = graph.probe
    asks = (
        node.get_publisher_names_and_types_by_node,
        node.get_subscriber_names_and_types_by_node,
        node.get_service_names_and_types_by_node,
        node.get_client_names_and_types_by_node,
    )

    def names() -> set[str]:
        known = [name for name, namespace in node.get_node_names_and_namespaces() if namespace == "/r1"]
        return {topic for name in known for ask in asks for topic, _ in ask(name, "/r1")}

    # The list of a node's topics travels apart from its messages.
    some = {f"/r1/{name}/get_state" for name in NODES} | {"/r1/camera/rgb/image_raw", "/r1/label_overlay/image"}
    graph.until(lambda: names() >= some, "the list of topics")
    of_all_robots = {"/diagnostics", "/parameter_events", "/rosout"}
    assert {topic for topic in names() if not topic.startswith("/r1/")} <= of_all_robots


def test_with_use_sim_time_stamps_are_those_of_the_clock(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=20, hz=20)
    stamps, answers = [], []

    def collect(array: DiagnosticArray) -> None:
        if array.status[0].name == "/scene_classifier":
            stamps.append((array.header.stamp.sec, array.status[0]))

    graph.subscribe(DiagnosticArray, "/diagnostics", collect)
    graph.subscribe(SceneClass, "scene_classifier/scene", answers.append)
    graph.start("scene_classifier", bundle=str(tmp_path / "bundle"), use_sim_time=True)
    # Before there is a clock the time is zero, and the node works and speaks all the same.
    graph.until(lambda: stamps, "a report without a clock")
    assert stamps[0][0] == 0
    graph.start("bag_player", bag=str(bag), clock=True, loop=True, wait_rgb_subscribers=1)
    graph.until(lambda: answers, "an answer")
    start_s = harness.START_NS // 10**9
    graph.until(lambda: start_s <= stamps[-1][0] < start_s + 3600, "a report with the bag's time")


@pytest.mark.parametrize("name", ["scene_classifier", "label_overlay"])
def test_a_camera_whose_qos_does_not_match_is_reported(graph, name):
    graph.probe.create_publisher(Image, harness.RGB_TOPIC, stream_qos("best_effort", 5))
    graph.start(name, qos_reliability="reliable")
    message = graph.watch(DiagnosticStatus, f"{name}/stats")
    graph.until(lambda: message() and "set qos_reliability to best_effort" in message().message, "the report")
    assert message().level == DiagnosticStatus.WARN


@pytest.mark.parametrize("name", NODES)
def test_parameters_are_described_on_the_graph(graph, name):
    graph.start(name, autostart=False)
    listed = graph.call(ListParameters, f"{name}/list_parameters").result.names
    own = [name for name in listed if not name.startswith(("use_sim_time", "start_type_desc"))]
    described = graph.call(DescribeParameters, f"{name}/describe_parameters", names=own).descriptors
    assert len(described) > 5
    assert [d.name for d in described if not d.description] == []
    numbers = (ParameterType.PARAMETER_DOUBLE, ParameterType.PARAMETER_INTEGER)
    assert [d.name for d in described if d.type in numbers and not (d.floating_point_range or d.integer_range)] == []
    fixed = {d.name for d in described if d.read_only}
    # What would run, whom to trust and where pictures go cannot be changed over the graph.
    more = {
        "adaptation_manager": {"executable", "remote_host", "remote_directory", "remote_command"},
        "scene_classifier": {"trust", "bundle_roots"},
        "room_mapper": {"trust"},
        "base_station": {"trust"},
    }
    assert fixed >= {"autostart"} | more.get(name, set())


@pytest.mark.parametrize("name", ["label_overlay", "room_mapper"])
def test_a_clock_that_tells_no_time_ends_no_node(graph, tmp_path, name):
    stats = graph.watch_stats(f"{name}/stats")
    own = {"directory": str(tmp_path / "kept")} if name == "room_mapper" else {}
    node = graph.start(name, use_sim_time=True, **own)
    clock = graph.probe.create_publisher(Clock, "/clock", stream_qos("reliable", 10))
    graph.until(lambda: stats().get("state") == "active" and clock.get_subscription_count() == 1, "the node")
    said = "rclpy: ValueError"
    graph.until(lambda: clock.publish(Clock(clock=Time(sec=-1))) or said in node.output(), "the error to be said")
    clock.publish(Clock(clock=Time(sec=5)))
    graph.forget(f"{name}/stats")
    graph.until(lambda: int(stats().get("errors", 0)) >= 1, "the node to go on and count it")
    assert node.stop() == 0
