"""adaptation_manager with real child processes: started, watched, cancelled, its bundle handed on."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from edgevl.msg import AdaptationStatus
from std_srvs.srv import Trigger

from tests.ros import harness
from tests.ros.harness import Graph

pytestmark = pytest.mark.ros
NODE = "adaptation_manager"


@pytest.fixture
def program(tmp_path: Path) -> str:
    """An executable that keeps the contract of ``edgevl adapt``."""
    path = tmp_path / "edgevl_stand_in"
    script = Path(__file__).with_name("adapt_child.py")
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    path.chmod(0o755)
    return str(path)


def start(graph: Graph, tmp_path: Path, mode: str, *overrides: str, **parameters):
    """A manager and its latest status."""
    status = graph.watch(AdaptationStatus, f"{NODE}/status")
    given = {
        "bags": [str(tmp_path / "bag")],
        "teacher": "open_clip:tiny",
        "labels": "home.yaml",
        "out_dir": str(tmp_path / "runs"),
        "run_name": "run",
        "overrides": [f"mode={mode}", *overrides],
        "classifier_service": "",
        "cancel_grace_s": 1.0,
    }
    node = graph.start(NODE, **{**given, **parameters})
    return node, status


def state(status, *names):
    """A condition: the status is in one of these states."""
    return lambda: status() is not None and status().state in names and status()


def grandchild_of(graph: Graph, run: Path) -> int:
    """Process id of the child's own child, once it runs."""
    file = run / "grandchild"
    return int(graph.until(lambda: file.exists() and file.read_text(), "the child to be at work"))


def is_gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that nobody reaps counts)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_an_adaptation_ends_with_its_bundle_in_the_classifier(graph, tmp_path, program):
    bundle_id = harness.write_test_bundle(tmp_path / "bundle")
    stats = graph.watch_stats("scene_classifier/stats")
    graph.start("scene_classifier")
    node, status = start(
        graph,
        tmp_path,
        "succeed",
        f"bundle={tmp_path / 'bundle'}",
        executable=program,
        recipe="demo.yaml",
        classifier_service="scene_classifier/load_bundle",
    )
    graph.until(lambda: stats(), "the classifier")
    assert graph.until(state(status, "idle"), "the idle status").exit_code == -1
    answer = graph.call(Trigger, f"{NODE}/adapt")
    assert answer.success, answer.message
    assert answer.message == str(tmp_path / "runs/run")
    final = graph.until(state(status, "succeeded", "failed"), "the end of the adaptation")
    assert (final.state, final.exit_code, final.progress) == ("succeeded", 0, 1.0)
    assert final.bundle_path == str(tmp_path / "bundle")
    graph.until(lambda: stats().get("bundle_id") == bundle_id, "the bundle in the classifier")

    seen = json.loads((tmp_path / "runs/run/seen.json").read_text())
    assert seen["arguments"] == [
        *("adapt", str(tmp_path / "bag"), "--teacher", "open_clip:tiny", "--labels", "home.yaml"),
        *("--out", str(tmp_path / "runs/run"), "--recipe", "demo.yaml"),
        *("--set", "mode=succeed", "--set", f"bundle={tmp_path / 'bundle'}"),
    ]
    assert seen["nice"] == min(19, os.nice(0) + 10)
    assert "training" in (tmp_path / "runs/run.log").read_text()
    # The run directory is there now: a second adaptation under its name is refused, nothing is written over.
    again = graph.call(Trigger, f"{NODE}/adapt")
    assert not again.success
    assert "exists already" in again.message
    assert node.stop() == 0


def test_a_failure_tells_the_childs_reason(graph, tmp_path, program):
    _, status = start(graph, tmp_path, "fail", executable=program)
    assert graph.call(Trigger, f"{NODE}/adapt").success
    final = graph.until(state(status, "failed"), "the failure")
    assert final.exit_code == 2
    assert final.message == f"error: {tmp_path / 'bag'} has no depth topic"


def test_a_bundle_that_the_classifier_refuses_is_a_failure(graph, tmp_path, program):
    graph.start("scene_classifier")
    _, status = start(
        graph,
        tmp_path,
        "succeed",
        f"bundle={tmp_path}",
        executable=program,
        classifier_service="scene_classifier/load_bundle",
    )
    graph.until(lambda: graph.probe.count_services("scene_classifier/load_bundle"), "the classifier")
    assert graph.call(Trigger, f"{NODE}/adapt").success
    final = graph.until(state(status, "failed", "succeeded"), "the end")
    assert final.state == "failed"
    assert "is not a student bundle" in final.message


@pytest.mark.parametrize("mode", ["hang", "stubborn"])
def test_cancel_ends_the_child_and_what_it_started(graph, tmp_path, program, mode):
    node, status = start(graph, tmp_path, mode, executable=program)
    assert not graph.call(Trigger, f"{NODE}/cancel").success  # nothing runs yet
    assert graph.call(Trigger, f"{NODE}/adapt").success
    second = graph.call(Trigger, f"{NODE}/adapt")
    assert not second.success
    assert "runs already" in second.message
    running = graph.until(
        lambda: state(status, "running")() and status().stage == "distil" and status(), "progress to be told"
    )
    assert (running.progress, running.eta_s, running.message) == (0.25, 12.5, "epoch 1 of 4")
    grandchild = grandchild_of(graph, tmp_path / "runs/run")
    assert graph.call(Trigger, f"{NODE}/cancel").success
    graph.until(state(status, "cancelled"), "the cancelled status")
    graph.until(lambda: is_gone(grandchild), "the end of the grandchild")
    assert node.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_the_node_ends_the_child(graph, tmp_path, program, number):
    node, _ = start(graph, tmp_path, "hang", executable=program)
    assert graph.call(Trigger, f"{NODE}/adapt").success
    grandchild = grandchild_of(graph, tmp_path / "runs/run")
    assert node.stop(number) == 0
    graph.until(lambda: is_gone(grandchild), "the end of the grandchild")


def test_the_real_edgevl_adapt_refuses_a_missing_bag_in_one_line(graph, tmp_path):
    _, status = start(graph, tmp_path, "", overrides=[], labels=str(harness.ROOT / "config/labels/home.yaml"))
    assert graph.call(Trigger, f"{NODE}/adapt").success
    final = graph.until(state(status, "failed"), "the refusal")
    assert final.exit_code == 2
    assert str(tmp_path / "bag") in final.message


def test_what_is_missing_is_said(graph, tmp_path):
    _, status = start(graph, tmp_path, "fail", teacher="")
    answer = graph.call(Trigger, f"{NODE}/adapt")
    assert not answer.success
    assert "teacher" in answer.message
    graph.until(state(status, "idle"), "the status to say that nothing runs")
    bad = graph.start(NODE, executable=str(tmp_path / "no_such_program"))
    assert bad.wait() == 2
    assert "no_such_program" in bad.output()
