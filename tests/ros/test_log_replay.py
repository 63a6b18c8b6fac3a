"""What pair_logger logs live is what reading the played bag offline gives, however ragged or compressed it is."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from std_srvs.srv import Trigger

from edgevl_core.pairlog import types
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.writer import BagWriter
from tests.ros import harness
from tests.ros.harness import Graph

pytestmark = pytest.mark.ros
MS = 1_000_000


def play(graph: Graph, bag: Path, **parameters: object) -> dict[str, str]:
    """Play RGB and depth to a pair_logger started with these parameters, and stop it; its last statistics."""
    logger = graph.watch_stats("pair_logger/stats")
    graph.start("pair_logger", min_free_mb=0.0, camera_info_topic="", **harness.RELIABLE, **parameters)
    player = graph.start_player(bag, wait_rgb_subscribers=1, wait_depth_subscribers=1, qos_depth=100)
    graph.resume_player((logger, "publishers_rgb", 1), (logger, "publishers_depth", 1))
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    sent = player()
    graph.until(lambda: all(logger()[f"received_{s}"] == sent[f"sent_{s}"] for s in ("rgb", "depth")), "all received")
    assert graph.call(Trigger, "pair_logger/stop").success
    return graph.until(lambda: logger().get("logger") == "stopped" and logger(), "the last statistics")


def stamps(path: Path) -> list[tuple[int, float]]:
    return [(pair.stamp_ns, pair.skew_s) for pair in read_pairs(path)]


def write_ragged_bag(path: Path, frames: int) -> Path:
    """30 Hz with jitter in both stamps, lost images in both streams, and latencies that mix the order of arrival."""
    rng = np.random.default_rng(5)
    rgb = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    depth = rng.integers(300, 6000, (48, 64), dtype=np.uint16)
    messages = []
    for topic, pixels, encoding, offset_ms in (
        (harness.RGB_TOPIC, rgb, "rgb8", 0.0),
        (harness.DEPTH_TOPIC, depth, "16UC1", 8.0),
    ):
        jitter_ms = rng.uniform(-9, 9, frames)
        stamps_ns = [harness.START_NS + round((k / 0.03 + offset_ms + jitter_ms[k]) * MS) for k in range(frames)]
        arrivals_ns = np.maximum.accumulate([s + rng.integers(0, 40 * MS) for s in stamps_ns])
        lost = rng.random(frames) < 0.15
        for k in np.flatnonzero(~lost):
            message = types.image_msg(pixels, encoding, stamps_ns[k], harness.FRAME_ID)
            messages.append((int(arrivals_ns[k]), topic, types.serialize(message)))
    with BagWriter(path, min_free_bytes=0) as writer:
        for topic in (harness.RGB_TOPIC, harness.DEPTH_TOPIC):
            writer.add_topic(topic, types.IMAGE)
        for at, topic, data in sorted(messages, key=lambda message: message[0]):
            writer.write(topic, data, at)
    return path


def test_ragged_streams_give_the_same_pairs_live_and_offline(graph: Graph, tmp_path: Path) -> None:
    bag = write_ragged_bag(tmp_path / "bag", frames=100)
    offline = read_pairs(bag)
    expected = [(pair.stamp_ns, pair.skew_s) for pair in offline]
    assert 50 < len(expected) < 90
    stats = play(graph, bag, directory=str(tmp_path), name="log")
    assert stamps(tmp_path / "log") == expected
    assert int(stats["pairs_kept"]) == len(expected)
    # The same messages are left over, too.
    assert offline.stats["rgb unmatched"] > 0
    assert offline.stats["depth unmatched"] > 0
    for reason in ("rgb unmatched", "depth unmatched"):
        assert int(stats[f"dropped {reason}"]) == offline.stats[reason]
    assert float(stats["receive_to_written_p50_ms"]) > 0
    assert float(stats["receive_to_written_p99_ms"]) >= float(stats["receive_to_written_p50_ms"])


def test_compressed_topics_are_logged_as_they_are(graph: Graph, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgb = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (64, 48))
    depth_mm = rng.integers(0, 6000, (48, 64), dtype=np.uint16)
    topics = {
        f"{harness.RGB_TOPIC}/compressed": ("rgb8; jpeg compressed bgr8", cv2.imencode(".jpg", rgb)[1].tobytes()),
        f"{harness.DEPTH_TOPIC}/compressedDepth": (
            "16UC1; compressedDepth png",
            bytes(12) + cv2.imencode(".png", depth_mm)[1].tobytes(),
        ),
    }
    bag = tmp_path / "bag"
    with BagWriter(bag, min_free_bytes=0) as writer:
        for topic in topics:
            writer.add_topic(topic, types.COMPRESSED_IMAGE)
        for k in range(10):
            at = harness.START_NS + k * 100 * MS
            for topic, (name, data) in topics.items():
                message = types.compressed_image_msg(data, name, at, harness.FRAME_ID)
                writer.write(topic, types.serialize(message), at)
    rgb_topic, depth_topic = topics
    play(graph, bag, directory=str(tmp_path), name="log", rgb_topic=rgb_topic, depth_topic=depth_topic)
    logged, played = (list(read_pairs(path)) for path in (tmp_path / "log", bag))
    assert [pair.stamp_ns for pair in logged] == [pair.stamp_ns for pair in played]
    assert len(logged) == 10
    for one, other in zip(logged, played):
        np.testing.assert_array_equal(one.rgb, other.rgb)
        np.testing.assert_array_equal(one.depth_m, other.depth_m)
    assert float(np.nanmax(logged[0].depth_m)) == pytest.approx(depth_mm.max() / 1000)
