"""Two live cameras whose stamps never fit: both nodes say so, and the classifier answers from RGB."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import SceneClass

from tests.ros import harness
from tests.ros.classifying import NODE, listening, unaccounted

pytestmark = pytest.mark.ros


def test_a_classifier_answers_from_rgb_and_says_why(graph, tmp_path):
    harness.write_test_bundle(tmp_path / "bundle")
    bag = harness.write_bag(tmp_path / "bag", frames=100, depth_offset_ms=30)
    scenes = []
    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    stats, report = graph.watch_stats(f"{NODE}/stats"), graph.watch(DiagnosticStatus, f"{NODE}/stats")
    # Patience that a loaded machine does not use up: one camera's images late are no silent camera.
    graph.start(NODE, bundle=str(tmp_path / "bundle"), fallback_after_s=2.0, **harness.RELIABLE)
    player = graph.start_player(bag, rate=2.0, qos_depth=100)
    graph.resume_player(*listening(stats))
    said = "max_skew_s = 0.02 s of each other: depth is always 30.0 ms later: set max_skew_s to 0.04"
    graph.until(lambda: said in report().message, "the reason")
    assert report().level == DiagnosticStatus.WARN
    graph.until(
        lambda: stats().get("received_rgb") == stats().get("received_depth") == player().get("sent_rgb") == "100",
        "all images",
    )
    graph.until(lambda: len(scenes) == int(stats()["answered"]) > 0, "all answers")
    assert {scene.modality for scene in scenes} == {"rgb"}
    assert (int(stats()["pairs"]), set(unaccounted(stats).values())) == (0, {0})


def test_a_logger_that_keeps_nothing_says_why(graph, tmp_path):
    bag = harness.write_bag(tmp_path / "bag", frames=100, depth_offset_ms=-30)
    stats, report = graph.watch_stats("pair_logger/stats"), graph.watch(DiagnosticStatus, "pair_logger/stats")
    graph.start("pair_logger", directory=str(tmp_path / "logs"), min_free_mb=0.0, **harness.RELIABLE)
    graph.start_player(bag, rate=2.0, qos_depth=100)
    graph.resume_player((stats, "publishers_rgb", 1), (stats, "publishers_depth", 1))
    graph.until(lambda: "no pairs" in report().message, "the reason")
    assert report().level == DiagnosticStatus.WARN
    assert "logging, 0 pairs kept" in report().message
    assert "depth is always 30.0 ms earlier: set max_skew_s to 0.04" in report().message
