"""Nodes that are deactivated, cleaned up and started again; services that wait while it happens."""

import time

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from edgevl.msg import LoggerStatus, SceneClass
from edgevl.srv import LoadBundle, SetLabels
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from edgevl_core.pairlog import types
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_ros.node.qos import stream_qos
from tests.ros import harness
from tests.ros.classifying import NODE, unaccounted
from tests.ros.harness import Graph
from tests.ros.test_nodes import NODES, start_all

pytestmark = pytest.mark.ros
INACTIVE_S = 3.0


def change(graph: Graph, name: str, transition: int) -> None:
    assert graph.call(ChangeState, f"{name}/change_state", transition=Transition(id=transition)).success


def deactivate(graph: Graph, name: str) -> None:
    change(graph, name, Transition.TRANSITION_DEACTIVATE)


def activate(graph: Graph, name: str) -> None:
    change(graph, name, Transition.TRANSITION_ACTIVATE)


def until_states(graph: Graph, reports: dict, state: str) -> None:
    graph.until(lambda: all(values["state"] == state for values in reports.values()), f"all nodes to be {state}")


def test_every_node_speaks_while_inactive_and_works_again(graph, tmp_path):
    """Images go on coming all the while."""
    reports = {}

    def collect(array: DiagnosticArray) -> None:
        for status in array.status:
            reports[status.name] = {pair.key: pair.value for pair in status.values} | {"": status}

    graph.subscribe(DiagnosticArray, "/diagnostics", collect)
    answers, drawn, depths, depths_of_camera = [], [], [], []
    graph.subscribe(Image, harness.DEPTH_TOPIC, depths_of_camera.append)
    graph.subscribe(SceneClass, f"{NODE}/scene", answers.append)
    graph.subscribe(Image, "label_overlay/image", drawn.append)
    harness.write_test_bundle(tmp_path / "bundle")
    camera = harness.write_bag(tmp_path / "camera", frames=50)
    # Another robot's: the bag_player under test plays where only the probe listens.
    graph.subscribe(Image, "other/depth", depths.append)
    nodes = start_all(
        graph, tmp_path, "-r", "bag_player:camera/depth/image_raw:=other/depth", bundle=tmp_path / "bundle"
    )
    graph.until(lambda: len(reports) == len(NODES), "a report of every node")
    until_states(graph, reports, "active")
    graph.start("bag_player", "-r", "__node:=camera", bag=str(camera), loop=True, wait_rgb_subscribers=3)
    graph.until(lambda: answers and drawn and int(reports["/pair_logger"].get("pairs_kept", 0)) > 0, "work")
    for name in NODES:
        deactivate(graph, name)
    mine = {f"/{name}": reports[f"/{name}"] for name in NODES}
    reports.clear()
    graph.until(
        lambda: set(mine) <= set(reports) and {reports[name]["state"] for name in mine} == {"inactive"},
        "every node to say that it is inactive",
    )
    deadline_s = time.monotonic() + INACTIVE_S
    while time.monotonic() < deadline_s:
        assert {reports[name]["state"] for name in mine} == {"inactive"}
        assert {reports[name]["errors"] for name in mine} == {"0"}
        assert all(reports[name][""].level == DiagnosticStatus.WARN for name in mine)
        assert all(reports[name][""].message.startswith("inactive") for name in mine)
        seen = len(depths_of_camera)
        graph.until(lambda before=seen: len(depths_of_camera) > before + 1, "images to go by")
    for heard in (answers, drawn, depths):  # before: the player, active first, plays its two images once
        heard.clear()
    for name in NODES:
        activate(graph, name)
    graph.until(lambda: all(reports[name]["state"] == "active" for name in mine), "every node to be active again")
    graph.until(lambda: answers and drawn and depths, "work")
    graph.until(lambda: int(reports["/pair_logger"].get("pairs_kept", 0)) > 0, "a second log")
    graph.until(lambda: int(reports["/scene_classifier"]["received_depth"]) > 5, "depth")
    assert not any(word in node.output() for node in nodes for word in ("Traceback", "ERROR"))


@pytest.fixture(scope="module")
def slow_bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "slow"
    harness.write_test_bundle(path, size_px=224, convolutions=10)
    return str(path)


def waiting(graph: Graph, kind: type, name: str, **fields: object):
    """A call that is on its way; its future."""
    client = graph.probe.create_client(kind, name)
    graph.until(client.service_is_ready, name)
    settled_s = time.monotonic() + 0.5
    graph.until(lambda: time.monotonic() > settled_s, "the client to settle")
    return client.call_async(kind.Request(**fields))


@pytest.mark.parametrize("again", [False, True])
def test_clean_up_while_a_bundle_is_loaded(graph, slow_bundle, again):
    """Who asked is told that it had no effect; the node lives on, and loads when asked again."""
    classifier = graph.start(NODE)
    stats = graph.watch_stats(f"{NODE}/stats")
    graph.until(lambda: stats().get("state") == "active", "the classifier")
    path = slow_bundle
    loading = waiting(graph, LoadBundle, f"{NODE}/load_bundle", path=path)
    # Refused as long as the other load is under way: then it has begun.
    graph.until(lambda: "another" in graph.call(LoadBundle, f"{NODE}/load_bundle", path="nowhere").message, "the load")
    deactivate(graph, NODE)
    change(graph, NODE, Transition.TRANSITION_CLEANUP)
    if again:
        change(graph, NODE, Transition.TRANSITION_CONFIGURE)
        activate(graph, NODE)
    else:
        refused = graph.call(SetLabels, f"{NODE}/set_labels", labels=["a"])
        assert not refused.ok
        assert refused.message == "scene_classifier is unconfigured: configure it first"
    graph.until(loading.done, "the answer")
    assert not loading.result().ok
    assert "cleaned up meanwhile" in loading.result().message
    if not again:
        change(graph, NODE, Transition.TRANSITION_CONFIGURE)
        activate(graph, NODE)
    assert graph.call(LoadBundle, f"{NODE}/load_bundle", path=path).ok
    graph.until(lambda: stats().get("bundle") == path and stats()["state"] == "active", "the bundle")
    assert stats()["errors"] == "0"
    assert classifier.stop() == 0
    assert "Traceback" not in classifier.output()


def test_clean_up_while_a_log_is_stopped(graph, tmp_path):
    status = graph.watch(LoggerStatus, "pair_logger/status")
    node = graph.start("pair_logger", directory=str(tmp_path / "logs"), min_free_mb=0.0)
    graph.until(lambda: status() and status().state == "logging", "a log")
    calls = [waiting(graph, Trigger, f"pair_logger/{name}") for name in ("flush", "stop", "start", "flush")]
    deactivate(graph, "pair_logger")
    change(graph, "pair_logger", Transition.TRANSITION_CLEANUP)
    graph.until(lambda: all(call.done() for call in calls), "all answers")
    change(graph, "pair_logger", Transition.TRANSITION_CONFIGURE)
    activate(graph, "pair_logger")
    graph.until(lambda: status().state == "logging", "another log")
    assert node.stop() == 0
    assert "Traceback" not in node.output()


def test_images_without_a_header_have_a_count_of_their_own(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    stats = {name: graph.watch_stats(f"{name}/stats") for name in (NODE, "label_overlay", "pair_logger")}
    given = {"idle_without_subscribers": False, "fallback_after_s": 10.0, **harness.RELIABLE}
    graph.start(NODE, bundle=str(tmp_path / "bundle"), **given)
    graph.start("label_overlay", **harness.RELIABLE)
    graph.start("pair_logger", directory=str(tmp_path), name="log", min_free_mb=0.0, **harness.RELIABLE)
    qos = stream_qos("reliable", 100)
    rgb, depth = (graph.probe.create_publisher(Image, topic, qos) for topic in (harness.RGB_TOPIC, harness.DEPTH_TOPIC))
    graph.until(lambda: (rgb.get_subscription_count(), depth.get_subscription_count()) == (3, 2), "the nodes")
    for each in stats.values():
        graph.wait_for_hearers(each, "publishers_rgb")
    camera = harness.write_bag(tmp_path / "bag", frames=10)
    for number, pair in enumerate(read_pairs(camera)):
        messages = [types.image_msg(pair.rgb, "rgb8", pair.stamp_ns, "c")]
        messages.append(types.image_msg(pair.depth_m, "32FC1", pair.stamp_ns, "c"))
        for publisher, message in zip((rgb, depth), messages):
            publisher.publish(bytes(types.serialize(message)))
        if number % 3 == 0:
            rgb.publish(b"\x00\x01\x00\x00")
            depth.publish(b"\x00\x01\x00\x00" + bytes(8))
    graph.until(lambda: int(stats[NODE]().get("answered", 0)) + int(stats[NODE]().get("superseded", 0)) == 10, "frames")
    received = ("received_rgb", "received_depth")
    for name in (NODE, "pair_logger"):
        graph.until(lambda n=name: [stats[n]()[key] for key in received] == ["14", "14"], f"all images in {name}")
    counted = {key: stats[NODE]()[key] for key in ("received_rgb", "rgb_unreadable", "depth_unreadable")}
    assert counted == {"received_rgb": "14", "rgb_unreadable": "4", "depth_unreadable": "4"}
    assert set(unaccounted(stats[NODE]).values()) == {0}
    overlay = stats["label_overlay"]
    graph.until(lambda: overlay().get("received_rgb") == "14", "all of it")
    fates = ("drawn", "idle", "without_answer", "waiting", "failed", "rgb_unreadable")
    assert sum(int(overlay()[fate]) for fate in fates) == 14
    assert graph.call(Trigger, "pair_logger/stop").success
    log = stats["pair_logger"]
    graph.until(lambda: log().get("logger") == "stopped", "the log")
    assert log()["pairs_kept"] == "10"
    assert {log()[f"dropped {stream} unreadable header"] for stream in ("rgb", "depth")} == {"4"}
    assert not any("Traceback" in node.output() for node in graph.nodes)
