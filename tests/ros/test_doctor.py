"""``edgevl doctor --live``: what is wrong with a running graph is found, named and given a fix."""

import os
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from sensor_msgs.msg import Image

from edgevl_core.pairlog import types
from edgevl_core.pairlog.writer import BagWriter
from edgevl_ros.node.qos import stream_qos
from tests.ros import harness

pytestmark = pytest.mark.ros


def doctor(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "edgevl_cli.main", "doctor", "--live", "--seconds", "2", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=os.environ)


def without_fix(output: str) -> list[str]:
    """Faults that no fix follows."""
    lines = output.splitlines()
    return [line for line, after in pairwise([*lines, ""]) if line.startswith("BAD") and "fix: " not in after]


def state_of(graph, node: str, wanted: int) -> None:
    graph.until(
        lambda: graph.call(GetState, f"{node}/get_state").current_state.id == wanted, f"{node} to be in state {wanted}"
    )


def test_a_graph_that_works_has_no_faults(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=20, hz=20)
    stats = graph.watch_stats("scene_classifier/stats")
    graph.start("scene_classifier", bundle=str(tmp_path / "bundle"))
    player = graph.start_player(bag, loop=True, start_paused=False)
    graph.until(lambda: int(stats().get("received_rgb", 0)) > 5, "the classifier to hear the camera")
    assert player
    result = doctor("--bundle", str(tmp_path / "bundle"))
    assert result.returncode == 0, result.stdout + result.stderr
    for text in ("/scene_classifier is active", "golden inputs agree", "colour, 64x48", "depth, 64x48", "skew of"):
        assert text in result.stdout
    assert "20.0 Hz" in result.stdout


def test_what_is_wrong_is_named_with_its_fix(graph, tmp_path):
    # Metres written as if they were millimetres, depth smaller than RGB; a best-effort camera and a reliable listener.
    with BagWriter(tmp_path / "bag", min_free_bytes=0) as writer:
        writer.add_topic(harness.RGB_TOPIC, types.IMAGE)
        writer.add_topic(harness.DEPTH_TOPIC, types.IMAGE)
        for k in range(20):
            stamp = harness.START_NS + k * 50_000_000
            rgb = types.image_msg(np.full((48, 64, 3), 90, np.uint8), "rgb8", stamp, harness.FRAME_ID)
            depth = types.image_msg(np.full((24, 32), 2, np.uint16), "16UC1", stamp, harness.FRAME_ID)
            writer.write(harness.RGB_TOPIC, types.serialize(rgb), stamp)
            writer.write(harness.DEPTH_TOPIC, types.serialize(depth), stamp)
    graph.probe.create_publisher(Image, harness.RGB_TOPIC, stream_qos("best_effort", 5))
    logger = graph.watch_stats("pair_logger/stats")
    graph.start("pair_logger", directory=str(tmp_path), min_free_mb=0.0, qos_reliability="reliable")
    graph.start("scene_classifier", autostart=False)
    graph.start("label_overlay", rgb_topic="nobody/publishes/this")
    graph.start_player(tmp_path / "bag", loop=True, start_paused=False)
    state_of(graph, "pair_logger", State.PRIMARY_STATE_ACTIVE)
    state_of(graph, "label_overlay", State.PRIMARY_STATE_ACTIVE)
    state_of(graph, "scene_classifier", State.PRIMARY_STATE_UNCONFIGURED)
    state_of(graph, "bag_player", State.PRIMARY_STATE_ACTIVE)
    graph.until(lambda: logger().get("registered", "").startswith("no"), "the logger's word about registration")
    result = doctor()
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    for text in (
        "/scene_classifier is unconfigured",
        "ros2 lifecycle set /scene_classifier configure, then activate",
        "/label_overlay listens to /nobody/publishes/this: nobody publishes it",
        "the QoS of /probe and /pair_logger do not match",
        "set qos_reliability of /pair_logger to best_effort",
        "metres stood where millimetres should",
        "16UC1 holds millimetres",
        "depth is not registered to RGB: sizes differ (RGB 64x48, depth 32x24)",
        "let the driver align depth to colour",
    ):
        assert text in result.stdout, result.stdout + result.stderr
    assert without_fix(result.stdout) == []


def test_lost_images_and_skew_are_measured(graph, tmp_path):
    # At 20 Hz every fifth depth image is lost, and depth is stamped 24 ms after RGB.
    lost = range(4, 40, 5)
    bag = harness.write_bag(tmp_path / "bag", frames=40, hz=20, depth_offset_ms=24.0, without_depth=lost)
    graph.start("pair_logger", directory=str(tmp_path), min_free_mb=0.0)
    player = graph.start_player(bag, loop=True, start_paused=False)
    graph.until(lambda: int(player().get("sent", 0)) > 0, "the camera")
    state_of(graph, "pair_logger", State.PRIMARY_STATE_ACTIVE)
    result = doctor()
    assert result.returncode == 2, result.stdout + result.stderr
    found = re.search(r"BAD /camera/depth/image_raw: 20.0 Hz, (\d+) images received, (\d+) missing", result.stdout)
    assert found, result.stdout
    received, missing = map(int, found.groups())
    assert missing / (received + missing) == pytest.approx(0.2, abs=0.1)
    assert "ok  /camera/rgb/image_raw: 20.0 Hz" in result.stdout
    assert "config/fastdds.xml" in result.stdout
    assert re.search(r"BAD skew of .*: median 24\.\d ms", result.stdout), result.stdout
    assert "synchronise the streams in the driver, or raise max_skew_s" in result.stdout
    assert without_fix(result.stdout) == []


def test_depth_is_known_by_its_encoding_where_its_topic_does_not_say_so(graph, tmp_path):
    """As OAK-D cameras name it."""
    rgb, depth = "/oak/rgb/image_raw", "/oak/stereo/image_raw"
    bag = harness.write_bag(tmp_path / "bag", frames=20, hz=20)
    stats, sent = graph.watch_stats("scene_classifier/stats"), graph.watch_stats("bag_player/status")
    graph.start("scene_classifier", rgb_topic=rgb, depth_topic=depth)
    names = [f"{harness.RGB_TOPIC}:={rgb}", f"{harness.DEPTH_TOPIC}:={depth}"]
    graph.start("bag_player", *(part for name in names for part in ("-r", name)), bag=str(bag), loop=True)
    graph.until(lambda: int(sent().get("sent", 0)) > 0 and int(stats().get("received_depth", 0)) > 5, "the camera")
    for given in ((), ("--rgb", rgb, "--depth", depth)):
        done = doctor(*given)
        said = done.stdout
        for text in (f"ok  {rgb}: colour, 64x48", f"ok  {depth}: depth, 64x48", f"skew of {rgb} and {depth}: median"):
            assert text in said, said + done.stderr
        assert not [line for line in said.splitlines() if line.startswith("BAD") and "/oak" in line], said
