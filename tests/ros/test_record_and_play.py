"""bag_player and pair_logger over Fast DDS: what is logged live is what was in the bag."""

import signal
from itertools import pairwise

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import LoggerStatus
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.event_handler import SubscriptionEventCallbacks
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from edgevl_core.pairlog import types
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.place_messages import ODOMETRY, odometry_msg
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.writer import BagWriter
from edgevl_ros.node.qos import stream_qos
from tests.ros import harness
from tests.ros.harness import Graph
from tests.ros.test_inactive import change

pytestmark = pytest.mark.ros
ALL = ("rgb", "depth", "camera_info", "truth")


def play(graph: Graph, bag, streams, **parameters):
    """Play the bag's streams to pair_logger once both sides have found each other; the player's counts."""
    logger = graph.watch_stats("pair_logger/stats")
    waits = {f"wait_{stream}_subscribers": 1 for stream in streams}
    player = graph.start_player(bag, qos_depth=100, **waits, **parameters)
    graph.resume_player(*((logger, f"publishers_{stream}", 1) for stream in streams))
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    counts = player()
    graph.until(lambda: all(logger()[f"received_{s}"] == counts[f"sent_{s}"] for s in streams), "all to be received")
    return counts


def stamps(path):
    return [(pair.stamp_ns, pair.skew_s) for pair in read_pairs(path)]


def contents(path):
    """Every message of a bag: topic, bytes but for the zeros with which DDS fills up to four."""
    with BagReader(path) as reader:
        return sorted((message.topic, bytes(message.data).rstrip(b"\0")) for message in reader.messages())


def test_the_log_of_a_played_bag_is_the_bag(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=40, hz=20, size=(320, 240), depth_offset_ms=7)
    graph.start(
        "pair_logger", directory=str(tmp_path), name="log", truth_topic="truth", min_free_mb=0.0, **harness.RELIABLE
    )
    sent = play(graph, bag, ALL)
    assert [sent[f"sent_{stream}"] for stream in ALL] == ["40"] * 4
    answer = graph.call(Trigger, "pair_logger/stop")
    assert answer.success
    assert "40 pairs" in answer.message
    assert contents(tmp_path / "log") == contents(bag)  # bytes as they were, nothing lost, nothing twice
    assert stamps(tmp_path / "log") == stamps(bag)
    assert [pair.truth.room for pair in read_pairs(tmp_path / "log")] == ["kitchen"] * 40


def test_live_pairs_are_the_offline_pairs_where_streams_have_gaps(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=60, hz=30, depth_offset_ms=12, without_depth=range(20, 60, 7))
    status = graph.watch(LoggerStatus, "pair_logger/status")
    graph.start(
        "pair_logger", directory=str(tmp_path), name="log", min_free_mb=0.0, camera_info_topic="", **harness.RELIABLE
    )
    play(graph, bag, ALL[:2])
    assert graph.call(Trigger, "pair_logger/stop").success
    assert stamps(tmp_path / "log") == stamps(bag)
    last = graph.until(lambda: status().state == "stopped" and status(), "the logger's last status")
    assert last.pairs_kept == len(stamps(bag)) == 54
    assert dict(zip(last.dropped_reasons, last.dropped_counts)) == {"rgb unmatched": 6}
    assert last.skew_p50_s == pytest.approx(0.012, abs=1e-6)
    assert last.path == str(tmp_path / "log")
    assert last.free_bytes > 0
    assert last.bytes > 0


def test_the_rate_rule_keeps_what_it_says_and_logging_starts_and_stops(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=30, hz=30)
    logger = graph.start(
        "pair_logger",
        directory=str(tmp_path / "logs"),
        log_on_activate=False,
        min_interval_s=0.2,
        min_free_mb=0.0,
        camera_info_topic="",
        **harness.RELIABLE,
    )
    assert graph.call(Trigger, "pair_logger/flush").success is False  # not logging yet: told, not ignored
    started = graph.call(Trigger, "pair_logger/start")
    assert started.success
    again = graph.call(Trigger, "pair_logger/start")
    assert not again.success
    assert "already" in again.message
    play(graph, bag, ALL[:2])
    assert graph.call(Trigger, "pair_logger/flush").success
    stopped = graph.call(Trigger, "pair_logger/stop")
    assert "5 pairs" in stopped.message  # at 0, 200, 400, 600 and 800 ms
    (log,) = (tmp_path / "logs").iterdir()
    times_ms = [(stamp - harness.START_NS) // 1_000_000 for stamp, _ in stamps(log)]
    assert all(later - earlier >= 200 for earlier, later in pairwise(times_ms))
    # A second start makes a second log and leaves the first alone.
    assert graph.call(Trigger, "pair_logger/start").success
    assert logger.stop(signal.SIGTERM) == 0
    assert len(list((tmp_path / "logs").iterdir())) == 2


def test_player_keeps_or_replaces_stamps_and_exits_at_the_end(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=5, hz=20)
    received, matched = [], []
    events = SubscriptionEventCallbacks(matched=lambda info: matched.append(info.current_count))
    qos = stream_qos("reliable", 500)  # best effort may lose images on a busy machine, and nobody tells
    graph.probe.create_subscription(Image, harness.RGB_TOPIC, received.append, qos, event_callbacks=events)
    waits = {"wait_rgb_subscribers": 1, "exit_at_end": True}
    resume = graph.probe.create_client(Trigger, "bag_player/resume")
    for restamp in (False, True):
        received.clear()
        matched.clear()
        graph.start_player(bag, restamp=restamp, **waits)
        # Not the graph's list of publishers: that a name is known there does not mean that its images arrive.
        graph.until(lambda: matched and matched[-1] == 1, "the player")
        graph.until(resume.service_is_ready, "the player's service")
        resume.call_async(Trigger.Request())  # on a busy machine the player may be gone before its answer is heard
        graph.until(lambda: len(received) == 5, "five images")
        assert graph.nodes[-1].wait() == 0
        graph.until(lambda: graph.probe.count_publishers(harness.RGB_TOPIC) == 0, "the player to be gone")
        seconds = [message.header.stamp.sec for message in received]
        if restamp:
            assert min(seconds) > harness.START_NS // 10**9 + 10**6
        else:
            assert seconds == [harness.START_NS // 10**9] * 5
        assert {message.header.frame_id for message in received} == {harness.FRAME_ID}


def test_player_loops_on_without_going_back_in_time_and_pauses(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=4, hz=40)
    received = []
    graph.subscribe(Image, harness.RGB_TOPIC, received.append, reliable=False)
    graph.start_player(bag, wait_rgb_subscribers=1, loop=True)
    graph.resume_player()
    graph.until(lambda: len(received) >= 10, "ten images of a bag of four")
    assert graph.call(Trigger, "bag_player/pause").success
    assert graph.nodes[-1].stop() == 0
    times = [message.header.stamp.sec * 10**9 + message.header.stamp.nanosec for message in received]
    assert all(later > earlier for earlier, later in pairwise(times))


def test_wrong_input_is_one_line_and_exit_code_2(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=2)
    (tmp_path / "taken").mkdir()
    cases = [
        (graph.start("bag_player"), "parameter bag is empty"),
        (graph.start("bag_player", bag=str(tmp_path / "none")), "none"),
        (graph.start("bag_player", bag=str(bag), rate=2), "parameter rate"),
        (
            graph.start("bag_player", bag=str(bag), wait_rgb_subscribers=1, wait_timeout_s=0.2),
            "0 subscribers",
        ),
        (graph.start("pair_logger", directory=str(tmp_path), name="taken"), "exists already"),
        (graph.start("pair_logger", qos_reliability="sometimes"), "best_effort, reliable"),
    ]
    for node, text in cases:
        assert node.wait() == 2, node.output()
        assert text in node.output()
        assert "Traceback" not in node.output()


def test_a_publisher_that_does_not_match_is_reported(graph, tmp_path):
    graph.probe.create_publisher(Image, harness.RGB_TOPIC, stream_qos("best_effort", 5))
    graph.start("pair_logger", directory=str(tmp_path), qos_reliability="reliable", min_free_mb=0.0)
    message = graph.watch(DiagnosticStatus, "pair_logger/stats")
    graph.until(lambda: message() and "qos_reliability" in message().message, "the report of the mismatch")
    assert "nobody publishes" in message().message  # depth


def test_a_full_disk_stops_the_log_and_says_so(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=5, hz=20)
    status = graph.watch(LoggerStatus, "pair_logger/status")
    stats = graph.watch_stats("pair_logger/stats")
    node = graph.start(
        "pair_logger", directory=str(tmp_path), name="log", min_free_mb=1.0e6, **harness.RELIABLE
    )  # 1 TB
    play(graph, bag, ALL[:2])
    graph.until(lambda: status() and status().state == "stopped", "the log to be stopped")
    graph.until(lambda: "lower the floor" in stats().get("last_error", ""), "the reason")
    assert status().pairs_kept == 0
    assert node.stop() == 0


def test_player_configured_anew_plays_another_bag_with_other_topics(graph, tmp_path):
    with BagWriter(tmp_path / "second", min_free_bytes=0) as writer:
        writer.add_topic("/wheels", ODOMETRY)
        odometry = types.serialize(odometry_msg(1.0, 2.0, 0.5, harness.START_NS, "odom", "base_link"))
        writer.write("/wheels", odometry, harness.START_NS)
        for topic, kind in ((harness.RGB_TOPIC, np.uint8), (harness.DEPTH_TOPIC, np.uint16)):
            writer.add_topic(topic, types.IMAGE)
            shape, encoding = ((4, 4, 3), "rgb8") if kind is np.uint8 else ((4, 4), "16UC1")
            image = types.image_msg(np.zeros(shape, kind), encoding, harness.START_NS, harness.FRAME_ID)
            writer.write(topic, types.serialize(image), harness.START_NS)
    images, places = [], []
    graph.subscribe(Image, harness.RGB_TOPIC, images.append)
    graph.subscribe(Odometry, "/wheels", places.append)
    status = graph.start_player(harness.write_bag(tmp_path / "first", frames=3, hz=20))
    graph.wait_for_hearers(status, "subscribers_rgb")
    graph.resume_player()
    graph.until(lambda: status().get("finished") == "true", "the end of the first bag")
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
        change(graph, "bag_player", transition)
    value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=str(tmp_path / "second"))
    request = [Parameter(name="bag", value=value)]
    assert graph.call(SetParameters, "bag_player/set_parameters", parameters=request).results[0].successful
    images.clear()
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        change(graph, "bag_player", transition)
    for key in ("subscribers_/wheels", "subscribers_rgb"):  # the first is in no status of the life before
        graph.wait_for_hearers(status, key)
    graph.resume_player()
    graph.until(lambda: len(images) == len(places) == 1, "the second bag's messages")
    # What was told last before it went on to the second bag is a bag's end, too.
    graph.until(lambda: (status().get("finished"), status().get("sent")) == ("true", "3"), "its end")
    assert [status()[key] for key in ("sent", "in_bag", "sent_/wheels", "errors")] == ["3", "3", "1", "0"]
    assert "subscribers_camera_info" not in status()


def test_player_sends_what_can_bear_no_other_stamp_as_it_is_and_refuses_to_pause_what_has_ended(graph, tmp_path):
    with BagWriter(tmp_path / "bag", min_free_bytes=0) as writer:
        for topic, encoding, kind in ((harness.RGB_TOPIC, "rgb8", np.uint8), (harness.DEPTH_TOPIC, "16UC1", np.uint16)):
            writer.add_topic(topic, types.IMAGE)
            shape = (4, 4, 3) if encoding == "rgb8" else (4, 4)
            image = types.image_msg(np.zeros(shape, kind), encoding, harness.START_NS, harness.FRAME_ID)
            for message in (types.serialize(image), b"\0\1\0\0"):
                writer.write(topic, message, harness.START_NS)
    status = graph.start_player(tmp_path / "bag", restamp=True)
    graph.resume_player()
    graph.until(lambda: status().get("finished") == "true", "the end")
    assert [status()[key] for key in ("sent", "stamps_kept")] == ["4", "2"]
    for service in ("pause", "resume"):
        answer = graph.call(Trigger, f"bag_player/{service}")
        assert (answer.success, answer.message) == (
            False,
            "bag_player is finished: nothing is being played; activate it anew to play the bag",
        )
