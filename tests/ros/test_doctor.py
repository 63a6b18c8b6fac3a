"""``edgevl doctor --live``: what is wrong with a running graph is found, named and given a fix."""

import os
import subprocess
import sys

import numpy as np
import pytest
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from sensor_msgs.msg import Image

from edgevl_core.pairlog import types
from edgevl_core.pairlog.writer import BagWriter
from edgevl_ros.qos import stream_qos
from tests.ros import harness

pytestmark = pytest.mark.ros


def doctor(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "edgevl_cli.main", "doctor", "--live", "--seconds", "2", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ)


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
    # Metres written as if they were millimetres; a best-effort camera and a reliable listener.
    with BagWriter(tmp_path / "bag", min_free_bytes=0) as writer:
        writer.add_topic(harness.RGB_TOPIC, types.IMAGE)
        writer.add_topic(harness.DEPTH_TOPIC, types.IMAGE)
        for k in range(20):
            stamp = harness.START_NS + k * 50_000_000
            rgb = types.image_msg(np.full((48, 64, 3), 90, np.uint8), "rgb8", stamp, harness.FRAME_ID)
            depth = types.image_msg(np.full((48, 64), 2, np.uint16), "16UC1", stamp, harness.FRAME_ID)
            writer.write(harness.RGB_TOPIC, types.serialize(rgb), stamp)
            writer.write(harness.DEPTH_TOPIC, types.serialize(depth), stamp)
    graph.probe.create_publisher(Image, harness.RGB_TOPIC, stream_qos("best_effort", 5))
    graph.start("pair_logger", directory=str(tmp_path), min_free_mb=0.0, qos_reliability="reliable")
    graph.start("scene_classifier", autostart=False)
    graph.start("label_overlay", rgb_topic="nobody/publishes/this")
    graph.start_player(tmp_path / "bag", loop=True, start_paused=False)
    state_of(graph, "pair_logger", State.PRIMARY_STATE_ACTIVE)
    state_of(graph, "label_overlay", State.PRIMARY_STATE_ACTIVE)
    state_of(graph, "scene_classifier", State.PRIMARY_STATE_UNCONFIGURED)
    state_of(graph, "bag_player", State.PRIMARY_STATE_ACTIVE)
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
    ):
        assert text in result.stdout, result.stdout
