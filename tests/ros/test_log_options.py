"""pair_logger's options: reduced and depth-only logs, motion, scenes, the budget, and what contradicts itself."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from edgevl.msg import LoggerStatus, SceneClass
from mcap.reader import make_reader
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog import types
from edgevl_core.pairlog.log_stats import ByteRate, Coverage
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.retention import MARK
from edgevl_core.pairlog.writer import BagWriter
from edgevl_ros.logger.streams import message_type
from edgevl_ros.node.qos import stream_qos
from edgevl_ros.node.stamps import to_time
from tests.ros import harness
from tests.ros.harness import Graph

pytestmark = pytest.mark.ros
MS = 1_000_000


def start(graph: Graph, directory: Path, **parameters: object):
    """A pair_logger that loses nothing on the way; its statistics."""
    stats = graph.watch_stats("pair_logger/stats")
    common = {"directory": str(directory), "min_free_mb": 0.0, **harness.RELIABLE}
    graph.start("pair_logger", **{**common, **parameters})
    return stats


def play(graph: Graph, bag: Path, stats, streams: tuple[str, ...]) -> dict[str, str]:
    """Play these streams to the logger and stop it; its last statistics."""
    player = graph.start_player(bag, **{f"wait_{stream}_subscribers": 1 for stream in streams})
    graph.resume_player(*((stats, f"publishers_{stream}", 1) for stream in streams))
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    sent = player()
    graph.until(lambda: all(stats()[f"received_{s}"] == sent[f"sent_{s}"] for s in streams), "all to be received")
    assert graph.call(Trigger, "pair_logger/stop").success
    return graph.until(lambda: stats().get("logger") == "stopped" and stats(), "the last statistics")


def send(graph: Graph, kind: type, topic: str, messages: list, stats, stream: str) -> None:
    """Publish messages to the logger and wait until it has them all."""
    publisher = graph.probe.create_publisher(kind, topic, stream_qos("reliable", len(messages)))
    graph.wait_for_hearers(stats, f"publishers_{stream}")
    graph.until(lambda: publisher.get_subscription_count() == 1, "the logger to be found")
    for message in messages:
        publisher.publish(message)
    graph.until(lambda: stats()[f"received_{stream}"] == str(len(messages)), f"all of {topic}")


def facts(log: Path) -> dict[str, str]:
    """What a log says of itself: the last record holds."""
    with min(log.glob("*.mcap")).open("rb") as stream:
        return [record.metadata for record in make_reader(stream).iter_metadata() if record.name == MARK][-1]


def test_a_log_of_reduced_resolution(graph: Graph, tmp_path: Path) -> None:
    bag = harness.write_bag(tmp_path / "bag", frames=5, hz=20, size=(64, 48))
    stats = start(graph, tmp_path, name="log", log_scale=0.5, depth_camera_info_topic="depth_info")
    infos = []
    for k in range(5):
        info = CameraInfo(width=64, height=48, k=[60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0])
        info.header.stamp, info.header.frame_id = to_time(harness.START_NS + k * 50 * MS), harness.FRAME_ID
        infos.append(info)
    send(graph, CameraInfo, "depth_info", infos, stats, "depth_camera_info")
    last = play(graph, bag, stats, ("rgb", "depth", "camera_info"))
    assert last["registered"] == "yes"
    said = {"log_scale": "0.5", "depth_only": "false", "log_images": "as_received", "registered": "yes"}
    assert facts(tmp_path / "log") == said
    before, after = (list(read_pairs(path)) for path in (bag, tmp_path / "log"))
    assert [pair.stamp_ns for pair in after] == [pair.stamp_ns for pair in before]
    assert {(pair.rgb.shape, pair.depth_m.shape) for pair in after} == {((24, 32, 3), (24, 32))}
    blocks = before[0].rgb.reshape(24, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(after[0].rgb - blocks).max() <= 0.5
    with BagReader(tmp_path / "log") as reader:
        logged = [types.deserialize(m.data, m.msgtype) for m in reader.messages([harness.INFO_TOPIC, "depth_info"])]
    assert [(info.width, info.height, info.k[0], info.k[2]) for info in logged] == [(32, 24, 30.0, 15.5)] * 10


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_compressed_log_holds_the_same_pairs(graph: Graph, tmp_path: Path, scale: float) -> None:
    bag = harness.write_bag(tmp_path / "bag", frames=5, hz=20)
    stats = start(graph, tmp_path, name="log", log_images="compressed", log_scale=scale)
    play(graph, bag, stats, ("rgb", "depth", "camera_info"))
    with BagReader(tmp_path / "log") as reader:
        kinds = {name: topic.msgtype for name, topic in reader.topics.items() if topic.count}
    assert kinds == {
        f"{harness.RGB_TOPIC}/compressed": types.COMPRESSED_IMAGE,
        f"{harness.DEPTH_TOPIC}/compressedDepth": types.COMPRESSED_IMAGE,
        harness.INFO_TOPIC: types.CAMERA_INFO,
    }
    before, after = (list(read_pairs(path)) for path in (bag, tmp_path / "log"))
    assert [pair.stamp_ns for pair in after] == [pair.stamp_ns for pair in before]
    step = round(1 / scale)
    assert {pair.rgb.shape for pair in after} == {(48 // step, 64 // step, 3)}
    for one, other in zip(before, after):
        if scale == 1.0:
            np.testing.assert_array_equal(other.depth_m, one.depth_m)
        else:
            assert set(other.depth_m.ravel().tolist()) <= set(one.depth_m.ravel().tolist())


def test_a_log_of_depth_alone_holds_no_rgb_and_asks_for_none(graph: Graph, tmp_path: Path) -> None:
    bag = harness.write_bag(tmp_path / "bag", frames=6, hz=20, without_depth=range(2, 3))
    stats = start(graph, tmp_path, name="log", depth_only=True, truth_topic="truth")
    last = play(graph, bag, stats, ("depth", "truth"))
    assert graph.probe.count_subscribers(harness.RGB_TOPIC) == 0
    assert last["pairs_kept"] == "5"
    with BagReader(tmp_path / "log") as reader:
        assert {name: topic.count for name, topic in reader.topics.items() if topic.count} == {
            harness.DEPTH_TOPIC: 5,
            harness.TRUTH_TOPIC: 5,
        }
    with pytest.raises(UserError, match="no rgb image topic"):  # what an adaptation says of it
        read_pairs(tmp_path / "log")


def test_a_robot_that_stands_still_logs_nothing(graph: Graph, tmp_path: Path) -> None:
    bag = harness.write_bag(tmp_path / "bag", frames=20, hz=20)
    stats = start(graph, tmp_path, name="log", odometry_topic="odom", min_distance_m=0.5, camera_info_topic="")
    messages = []
    for k in range(20):  # stands for ten frames, then drives 0.2 m a frame
        message = Odometry()
        message.header.stamp = to_time(harness.START_NS + k * 50 * MS)
        message.pose.pose.position.x = 0.2 * max(0, k - 9)
        message.pose.pose.orientation.w = 1.0
        messages.append(message)
    send(graph, Odometry, "odom", messages, stats, "odometry")
    last = play(graph, bag, stats, ("rgb", "depth"))
    kept = [(pair.stamp_ns - harness.START_NS) // (50 * MS) for pair in read_pairs(tmp_path / "log")]
    assert kept == [0, 12, 15, 18]
    assert last["dropped not_moved"] == "16"


def test_kept_pairs_are_counted_by_scene(graph: Graph, tmp_path: Path) -> None:
    bag = harness.write_bag(tmp_path / "bag", frames=12, hz=20, size=(64, 48))
    status = graph.watch(LoggerStatus, "pair_logger/status")
    stats = start(graph, tmp_path, name="log", scene_topic="scene", camera_info_topic="")
    messages = []
    for k in range(0, 14, 3):  # the classifier answers every third frame
        message = SceneClass(label="kitchen" if k < 5 else "bathroom", known=k < 8)
        message.header.stamp = to_time(harness.START_NS + k * 50 * MS)
        messages.append(message)
    send(graph, SceneClass, "scene", messages, stats, "scene")
    last = play(graph, bag, stats, ("rgb", "depth"))
    counts = {key: int(value) for key, value in last.items() if key.startswith("scene_")}
    assert counts == {"scene_kitchen": 5, "scene_bathroom": 3, "scene_unknown": 4}
    graph.until(lambda: status() is not None and status().state == "stopped", "the last status")
    told = dict(zip(status().scenes, status().scene_counts, strict=True))
    assert told == {"kitchen": 5, "bathroom": 3, "unknown": 4}
    assert status().pairs_kept == 12


def write_old_log(directory: Path, name: str, age_h: int) -> Path:
    """3 MB of a log, marked as pair_logger marks it."""
    path = directory / name
    rgb = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    with BagWriter(path, min_free_bytes=0) as writer:
        writer.describe(MARK, {"log_scale": "1"})
        writer.add_topic(harness.RGB_TOPIC, types.IMAGE)
        message = types.image_msg(rgb, "rgb8", harness.START_NS, harness.FRAME_ID)
        writer.write(harness.RGB_TOPIC, types.serialize(message), harness.START_NS)
    for file in path.iterdir():
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 3600 * age_h))
    return path


def test_the_budget_holds_while_logs_come_and_go(graph: Graph, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    old = [write_old_log(logs, f"old_{age}", age) for age in (4, 3, 2)]
    harness.write_bag(logs / "mine", frames=2)  # no log of pair_logger's
    bag = harness.write_bag(tmp_path / "bag", frames=40, hz=20, size=(320, 240))  # 15 MB of noise
    stats = start(graph, logs, name="log", max_total_mb=12.0, max_segment_mb=1.0, camera_info_topic="")
    graph.until(lambda: stats().get("state") == "active", "the logger")
    assert not old[0].exists()  # at most 9 MB beside the segment to come
    assert old[1].exists()
    last = play(graph, bag, stats, ("rgb", "depth"))
    assert not any(path.exists() for path in old)
    assert (logs / "mine").exists()
    parts = {int(path.name.removeprefix("log").lstrip("_") or 1): path for path in logs.glob("log*")}
    assert sorted(parts) == list(range(min(parts), max(parts) + 1))  # the oldest parts have gone
    assert min(parts) > 1
    assert sum(file.stat().st_size for part in parts.values() for file in part.glob("*.mcap")) <= 12e6
    if last["pairs_kept"] == "0":  # the last part was begun after the last pair
        del parts[max(parts)]
    kept = [pair.stamp_ns for number in sorted(parts) for pair in read_pairs(parts[number])]
    assert kept == sorted(set(kept))
    assert max(kept) == harness.START_NS + 39 * 50 * MS  # the newest are there
    assert len(kept) >= 10
    assert int(last["removed_logs"]) >= 3
    assert float(last["removed_mb"]) > 8
    node = graph.nodes[0]
    assert node.output().count("removed ") == int(last["removed_logs"])
    assert "Traceback" not in node.output()


def test_what_contradicts_itself_is_refused(graph: Graph, tmp_path: Path) -> None:
    cases = [
        ({"depth_only": True, "min_sharpness": 30.0}, "min_sharpness = 30 judges RGB, depth_only leaves it out"),
        ({"min_distance_m": 0.2}, "min_distance_m = 0.2 needs a pose: set odometry_topic"),
        ({"max_total_mb": 100.0}, "max_total_mb = 100 is too small for max_segment_mb = 256: give at least 1032"),
        ({"depth_only": True, "depth_topic": ""}, "depth_topic is empty"),
        ({"name": "../elsewhere"}, "parameter name = '../elsewhere': accepted: the name of a folder inside directory"),
    ]
    nodes = [(graph.start("pair_logger", directory=str(tmp_path), **values), text) for values, text in cases]
    for node, text in nodes:
        assert node.wait() == 2, node.output()
        assert text in node.output()
        assert "Traceback" not in node.output()


def test_a_missing_nav_msgs_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nav_msgs.msg", None)
    with pytest.raises(UserError, match="odometry_topic = odom needs the package nav_msgs"):
        message_type("odometry", "odom")


def test_coverage_waits_for_the_answer_and_gives_up() -> None:
    coverage = Coverage(max_gap_s=1.0, horizon_s=10.0)
    for second in (0, 1, 2, 5):
        coverage.kept(second * 1000 * MS)
    assert not coverage.counts
    coverage.answered(1400 * MS, "hall")
    assert coverage.counts == {"hall": 1, "none": 1}
    coverage.answered(2500 * MS, "kitchen")
    assert coverage.counts == {"hall": 1, "none": 1, "kitchen": 1}
    coverage.kept(16_000 * MS)  # ten seconds after 5 s nobody answers any more
    assert coverage.counts["none"] == 2
    coverage.finish()
    assert coverage.counts["none"] == 3


def test_the_rate_is_over_the_window_and_begins_anew_with_a_log() -> None:
    rate = ByteRate(window=3)
    assert rate.mb_per_s() == 0
    for second, size in enumerate((0, 10_000_000, 12_000_000, 14_000_000)):
        rate.sample(second, size)
    assert rate.mb_per_s() == pytest.approx(2.0)
    rate.sample(4, 1000)
    assert rate.mb_per_s() == 0
