"""A depth camera that sees more than RGB: what is logged and learned from is what the robot classifies."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import SceneClass
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.classify.classifier import Classifier
from edgevl_core.pairlog.pairs import RgbdPair, read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_ros.node.qos import stream_qos
from edgevl_ros.node.stamps import to_time
from tests.ros import harness
from tests.ros.classifying import NODE, accounted, listening, stamp_ns
from tests.ros.harness import Graph

pytestmark = pytest.mark.ros
SIZE, FRAMES = (64, 48), 8
INFOS = {"camera_info_topic": harness.INFO_TOPIC, "depth_camera_info_topic": harness.DEPTH_INFO_TOPIC}


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return harness.write_bag(tmp_path / "bag", frames=FRAMES, hz=20, size=SIZE, depth_focal_px=30.0)


def tell_cameras(graph: Graph, stats: Callable[[], dict[str, str]]) -> str:
    """Publish both camera_info until the node knows them; its verdict."""
    told = []
    for topic, focal_px in ((harness.INFO_TOPIC, 60.0), (harness.DEPTH_INFO_TOPIC, 30.0)):
        centre = [(side - 1) / 2 for side in SIZE]
        info = CameraInfo(width=SIZE[0], height=SIZE[1])
        info.k = [focal_px, 0.0, centre[0], 0.0, focal_px, centre[1], 0.0, 0.0, 1.0]
        info.header.stamp, info.header.frame_id = to_time(harness.START_NS), harness.FRAME_ID
        told.append((graph.probe.create_publisher(CameraInfo, topic, stream_qos("reliable", 5)), info))

    def known() -> str:
        for publisher, info in told:
            publisher.publish(info)
        verdict = stats().get("registered", "unknown")
        return "" if verdict.startswith("unknown") else verdict

    return str(graph.until(known, "the word about registration"))


def test_a_log_holds_what_registers_its_depth(graph: Graph, tmp_path: Path, bag: Path) -> None:
    stats = graph.watch_stats("pair_logger/stats")
    graph.start("pair_logger", directory=str(tmp_path), name="log", min_free_mb=0.0, **harness.RELIABLE, **INFOS)
    streams = ("rgb", "depth", "camera_info", "depth_camera_info")
    player = graph.start_player(bag, **{f"wait_{stream}_subscribers": 1 for stream in streams})
    graph.resume_player(*((stats, f"publishers_{stream}", 1) for stream in streams))
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    graph.until(lambda: {stats().get(f"received_{stream}") for stream in streams} == {str(FRAMES)}, "all received")
    assert player()["sent_depth_camera_info"] == str(FRAMES)
    assert graph.call(Trigger, "pair_logger/stop").success
    verdict = "by camera_info, columns 25% to 75% and rows 25% to 75% of depth are what RGB sees"
    graph.until(lambda: stats().get("registered") == verdict, "the logger's word about registration")
    with BagReader(tmp_path / "log") as log:
        assert log.topics[harness.DEPTH_INFO_TOPIC].count == FRAMES
    played, logged = read_pairs(bag), read_pairs(tmp_path / "log")
    assert str(played.registration) == str(logged.registration) == verdict
    for before, after in zip(played, logged, strict=True):
        assert after.depth_m.shape == (24, 32)
        np.testing.assert_array_equal(after.depth_m, before.depth_m)


@pytest.mark.parametrize(("learned", "cut"), [("yes", True), ("no, frames differ (RGB a, depth b)", False)])
def test_the_classifier_registers_as_its_student_learned(
    graph: Graph, tmp_path: Path, bag: Path, learned: str, cut: bool
) -> None:
    harness.write_test_bundle(tmp_path / "bundle", registered=learned)
    scenes: dict[int, SceneClass] = {}
    graph.subscribe(SceneClass, f"{NODE}/scene", lambda m: scenes.__setitem__(stamp_ns(m), m))
    stats = graph.watch_stats(f"{NODE}/stats")
    report = graph.watch(DiagnosticStatus, f"{NODE}/stats")
    graph.start(NODE, bundle=str(tmp_path / "bundle"), fallback_after_s=10.0, **harness.RELIABLE, **INFOS)
    assert tell_cameras(graph, stats).startswith("by camera_info, columns 25% to 75%")
    player = graph.start_player(bag, wait_rgb_subscribers=1, wait_depth_subscribers=1)
    graph.resume_player(*listening(stats))
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    graph.until(lambda: stats().get("pairs") == str(FRAMES) and accounted(stats), "all pairs to be dealt with")
    graph.until(lambda: len(scenes) == int(stats()["answered"]) > 0, "the answers")

    classifier = Classifier(load_bundle(tmp_path / "bundle"))
    whole = harness.write_bag(tmp_path / "whole", frames=FRAMES, hz=20, size=SIZE)  # the same images
    offline = {True: list(read_pairs(bag)), False: list(read_pairs(whole))}

    def scores(pair: RgbdPair) -> tuple[float, ...]:
        return classifier.classify(pair.rgb, pair.depth_m).scores

    for as_cut, as_whole in zip(offline[True], offline[False], strict=True):
        if as_cut.stamp_ns in scenes:
            right, wrong = (as_cut, as_whole) if cut else (as_whole, as_cut)
            live = scenes[as_cut.stamp_ns].scores
            assert live == pytest.approx(scores(right), abs=1e-5)
            assert live != pytest.approx(scores(wrong), abs=1e-5)
    said = report().message
    assert ("the student did not learn so (no, frames differ" in said) == (not cut), said
