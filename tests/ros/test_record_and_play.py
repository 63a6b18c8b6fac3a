"""bag_player and pair_logger over Fast DDS: what is logged live is what was in the bag."""

import signal
from itertools import pairwise

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import LoggerStatus
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_ros.qos import stream_qos
from tests.ros import harness
from tests.ros.harness import Graph

pytestmark = pytest.mark.ros
ALL_ONCE = {f"wait_{stream}_subscribers": 1 for stream in ("rgb", "depth", "camera_info", "truth")}


def play(graph: Graph, bag, **parameters):
    """Start a player that stays, and wait until it has sent everything; its counts."""
    stats = graph.watch_stats("bag_player/status")
    graph.start("bag_player", bag=str(bag), exit_at_end=False, **parameters)
    graph.until(lambda: stats().get("finished") == "true", "the end of the bag")
    return stats()


def stamps(path):
    return [(pair.stamp_ns, pair.skew_s) for pair in read_pairs(path)]


def contents(path):
    """Every message of a bag: topic, bytes but for the zeros with which DDS fills up to four."""
    with BagReader(path) as reader:
        return sorted((message.topic, bytes(message.data).rstrip(b"\0")) for message in reader.messages())


def test_the_log_of_a_played_bag_is_the_bag(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=40, hz=20, size=(320, 240), depth_offset_ms=7)
    graph.start("pair_logger", directory=str(tmp_path), name="log", truth_topic="truth", min_free_mb=0.0)
    sent = play(graph, bag, **ALL_ONCE)
    assert [sent[f"sent_{stream}"] for stream in ("rgb", "depth", "camera_info", "truth")] == ["40"] * 4
    answer = graph.call(Trigger, "pair_logger/stop")
    assert answer.success
    assert "40 pairs" in answer.message
    assert contents(tmp_path / "log") == contents(bag)  # bytes as they were, nothing lost, nothing twice
    assert stamps(tmp_path / "log") == stamps(bag)
    assert [pair.truth.room for pair in read_pairs(tmp_path / "log")] == ["kitchen"] * 40


def test_live_pairs_are_the_offline_pairs_where_streams_have_gaps(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=60, hz=30, depth_offset_ms=12, without_depth=range(20, 60, 7))
    status = graph.watch(LoggerStatus, "pair_logger/status")
    graph.start("pair_logger", directory=str(tmp_path), name="log", min_free_mb=0.0, camera_info_topic="")
    play(graph, bag, wait_rgb_subscribers=1, wait_depth_subscribers=1)
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
    )
    assert graph.call(Trigger, "pair_logger/flush").success is False  # not logging yet: told, not ignored
    started = graph.call(Trigger, "pair_logger/start")
    assert started.success
    again = graph.call(Trigger, "pair_logger/start")
    assert not again.success
    assert "already" in again.message
    play(graph, bag, wait_rgb_subscribers=1, wait_depth_subscribers=1)
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
    received = []
    graph.subscribe(Image, harness.RGB_TOPIC, received.append, reliable=False)
    kept = graph.start("bag_player", bag=str(bag), wait_rgb_subscribers=1)
    graph.until(lambda: len(received) == 5, "five images")
    assert kept.wait() == 0
    seconds = [message.header.stamp.sec for message in received]
    assert seconds == [harness.START_NS // 10**9] * 5
    received.clear()
    changed = graph.start("bag_player", bag=str(bag), wait_rgb_subscribers=1, restamp=True)
    graph.until(lambda: len(received) == 5, "five images")
    assert changed.wait() == 0
    assert min(message.header.stamp.sec for message in received) > seconds[0] + 10**6
    assert {message.header.frame_id for message in received} == {harness.FRAME_ID}


def test_player_loops_on_without_going_back_in_time_and_pauses(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=4, hz=40)
    received = []
    graph.subscribe(Image, harness.RGB_TOPIC, received.append, reliable=False)
    player = graph.start("bag_player", bag=str(bag), wait_rgb_subscribers=1, loop=True, start_paused=True)
    assert graph.call(Trigger, "bag_player/resume").success
    graph.until(lambda: len(received) >= 10, "ten images of a bag of four")
    assert graph.call(Trigger, "bag_player/pause").success
    assert player.stop() == 0
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
    stats = graph.watch_stats("pair_logger/stats")
    graph.start("pair_logger", directory=str(tmp_path), qos_reliability="reliable", min_free_mb=0.0)
    message = graph.watch(DiagnosticStatus, "pair_logger/stats")
    graph.until(lambda: stats() and "qos_reliability" in message().message, "the report of the mismatch")
    assert "nobody publishes" in message().message  # depth


def test_a_full_disk_stops_the_log_and_says_so(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=5, hz=20)
    status = graph.watch(LoggerStatus, "pair_logger/status")
    stats = graph.watch_stats("pair_logger/stats")
    node = graph.start("pair_logger", directory=str(tmp_path), name="log", min_free_mb=1.0e6)  # 1 TB
    play(graph, bag, wait_rgb_subscribers=1, wait_depth_subscribers=1)
    graph.until(lambda: status() and status().state == "stopped", "the log to be stopped")
    graph.until(lambda: "lower the floor" in stats().get("last_error", ""), "the reason")
    assert status().pairs_kept == 0
    assert node.stop() == 0
