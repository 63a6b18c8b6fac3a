"""An int8 student that does not work on this processor: the float one answers, and diagnostics say so."""

import shutil

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from edgevl.msg import SceneClass
from edgevl.srv import LoadBundle

from tests.core.tiny import reseal
from tests.ros import harness
from tests.ros.classifying import NODE, listening

pytestmark = pytest.mark.ros


def write_saturating_bundle(path):
    """The int8 student gives other embeddings than where it was made, as 8-bit weights do where products saturate."""
    harness.write_test_bundle(path, seed=0)
    shutil.copyfile(harness.write_student(path.with_suffix(".other"), 32, 16, 0, 1), path / "student.onnx")
    reseal(path)


def test_the_float_student_answers_where_the_int8_one_is_refused(graph, tmp_path):
    write_saturating_bundle(tmp_path / "saturating")
    harness.write_test_bundle(tmp_path / "whole", seed=2)
    bag = harness.write_bag(tmp_path / "bag", frames=20, hz=10)
    scenes, warned = [], []

    def collect(array):
        for status in array.status:
            if status.level == DiagnosticStatus.WARN and "the float student answers" in status.message:
                warned.append(status)

    graph.subscribe(SceneClass, f"{NODE}/scene", scenes.append)
    graph.subscribe(DiagnosticArray, "/diagnostics", collect)
    stats = graph.watch_stats(f"{NODE}/stats")
    graph.start(NODE, bundle=str(tmp_path / "whole"))
    graph.start_player(bag, loop=True, wait_rgb_subscribers=1, wait_depth_subscribers=1)
    graph.resume_player(*listening(stats))
    graph.until(lambda: scenes, "an answer")
    assert stats()["student"] == "student.onnx"

    loaded = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "saturating"))
    assert loaded.ok
    graph.until(lambda: scenes[-1].bundle_id == loaded.bundle_id, "an answer of the new bundle")
    graph.until(lambda: stats()["student"] == "student_fp32.onnx", "the float student in the statistics")
    graph.until(lambda: warned, "the warning")
    assert "cosine" in warned[0].message

    assert graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / "whole")).ok
    graph.until(lambda: stats()["student"] == "student.onnx", "the int8 student again")


def test_int8_alone_is_refused_with_the_reason(graph, tmp_path):
    write_saturating_bundle(tmp_path / "saturating")
    node = graph.start(NODE, bundle=str(tmp_path / "saturating"), precision="int8")
    assert node.wait() == 2
    assert "student.onnx gives other embeddings on this processor" in node.output()
    assert "Traceback" not in node.output()
