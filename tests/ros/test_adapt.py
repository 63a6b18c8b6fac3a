"""adaptation_manager with real child processes: started, watched, cancelled, its bundle handed on."""

import json
import os
import shutil
import signal
import sys
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
from edgevl.msg import AdaptationStatus, LoggerStatus
from edgevl.srv import LoadBundle
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import BatteryState
from std_srvs.srv import Trigger

from edgevl_core.adaptation.child import born
from edgevl_ros.node.qos import LATCHED
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
    return born(pid) == ""


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
    assert final.bundle_path == str(tmp_path / "runs/run/bundle")
    graph.until(lambda: stats().get("bundle_id") == bundle_id, "the bundle in the classifier")

    seen = json.loads((tmp_path / "runs/run/seen.json").read_text())
    assert seen["arguments"] == [
        *("adapt", "--teacher", "open_clip:tiny", "--labels", "home.yaml"),
        *("--out", str(tmp_path / "runs/run"), "--recipe", "demo.yaml"),
        *("--set", "mode=succeed", "--set", f"bundle={tmp_path / 'bundle'}", "--", str(tmp_path / "bag")),
    ]
    assert seen["nice"] == min(19, os.nice(0) + 10)
    assert seen["disk"] == ("idle" if shutil.which("ionice") else "")
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
    (tmp_path / "no_bundle").mkdir()
    _, status = start(
        graph,
        tmp_path,
        "succeed",
        f"bundle={tmp_path / 'no_bundle'}",
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


def test_an_adaptation_that_succeeded_just_before_the_node_stops_is_kept(graph, tmp_path, program):
    """Told at once; its bundle goes to the classifier in the node's next life."""
    bundle_id = harness.write_test_bundle(tmp_path / "bundle")
    service, go_on, run = "scene_classifier/load_bundle", tmp_path / "go_on", tmp_path / "runs/run"
    given = (f"bundle={tmp_path / 'bundle'}", f"until={go_on}")
    # So rarely that nobody looks between its end and the node's.
    node, status = start(
        graph, tmp_path, "succeed", *given, executable=program, classifier_service=service, status_period_s=60.0
    )
    assert graph.call(Trigger, f"{NODE}/adapt").success
    graph.until(state(status, "running"), "the start to be told")
    go_on.touch()
    pid = json.loads((tmp_path / "runs/manager.json").read_text())["job"]["pid"]
    graph.until(lambda: is_gone(pid), "the end of the job")
    assert status().state == "running"
    transition = Transition(id=Transition.TRANSITION_DEACTIVATE)
    assert graph.call(ChangeState, f"{NODE}/change_state", transition=transition).success
    told = graph.until(state(status, "succeeded", "failed", "cancelled"), "the end to be told")
    assert (told.state, told.bundle_path, told.bundle_id) == ("succeeded", str(run / "bundle"), bundle_id)
    assert told.message == "bundle not loaded yet: adaptation_manager was stopped"
    assert node.stop(signal.SIGTERM) == 0
    stats = graph.watch_stats("scene_classifier/stats")
    graph.start("scene_classifier")
    graph.until(lambda: stats().get("state") == "active", "the classifier, which is looked for once")
    start(graph, tmp_path, "succeed", executable=program, classifier_service=service)
    graph.until(lambda: stats().get("bundle_id") == bundle_id, "the bundle in the classifier")


def test_the_real_edgevl_adapt_refuses_in_one_line(graph, tmp_path):
    """A missing bag; on a robot, where nothing that trains is installed, that."""
    _, status = start(graph, tmp_path, "", overrides=[], labels=str(harness.ROOT / "config/labels/home.yaml"))
    assert graph.call(Trigger, f"{NODE}/adapt").success
    final = graph.until(state(status, "failed"), "the refusal")
    assert final.exit_code == 2
    assert (str(tmp_path / "bag") if find_spec("torch") else "pip install '.[train]'") in final.message


def test_what_is_missing_is_said(graph, tmp_path):
    _, status = start(graph, tmp_path, "fail", teacher="")
    answer = graph.call(Trigger, f"{NODE}/adapt")
    assert not answer.success
    assert "teacher" in answer.message
    graph.until(state(status, "idle"), "the status to say that nothing runs")
    bad = graph.start(NODE, executable=str(tmp_path / "no_such_program"), out_dir=str(tmp_path / "bad"))
    assert bad.wait() == 2
    assert "no_such_program" in bad.output()


def test_wrong_parameters_end_the_node_with_one_line(graph, tmp_path):
    node, _ = start(graph, tmp_path, "fail", trigger_time="25:00-26:00", remote_host="-oProxyCommand=x")
    assert node.wait() == 2
    told = [line for line in node.output().splitlines() if "25:00-26:00" in line]
    assert len(told) == 1
    assert "HH:MM-HH:MM" in told[0]
    assert "Traceback" not in node.output()


def test_an_adaptation_that_outlives_the_node_is_found_by_the_next(graph, tmp_path, program):
    harness.write_test_bundle(tmp_path / "bundle")
    go_on = tmp_path / "go_on"
    given = (f"bundle={tmp_path / 'bundle'}", f"until={go_on}")
    first, status = start(graph, tmp_path, "succeed", *given, executable=program, end_child_on_stop=False)

    def at_work():
        return state(status, "running")() and status().stage == "distil" and status()

    try:
        assert graph.call(Trigger, f"{NODE}/adapt").success
        graph.until(at_work, "the child at work")
        assert first.stop() == 0
        start(graph, tmp_path, "succeed", *given, executable=program)
        assert graph.until(at_work, "to be found").message == "epoch 1 of 4"
        assert "runs already" in graph.call(Trigger, f"{NODE}/adapt").message
    finally:
        go_on.touch()  # nobody else would end a child that outlives its node
    final = graph.until(state(status, "succeeded", "failed"), "the end of the adaptation")
    assert (final.state, final.exit_code, final.bundle_path) == ("succeeded", 0, str(tmp_path / "runs/run/bundle"))


def test_only_a_better_bundle_is_loaded_and_a_rollback_undoes_it(graph, tmp_path, program):
    old, new = (harness.write_test_bundle(tmp_path / name, seed=seed) for seed, name in enumerate(["old", "new"]))
    stats = graph.watch_stats("scene_classifier/stats")
    graph.start("scene_classifier", bundle=str(tmp_path / "old"))
    graph.until(lambda: stats().get("bundle_id") == old, "the classifier with its bundle")
    held_back = tmp_path / "april"
    held_back.mkdir()

    def adapt(name: str, agreement: float):
        (held_back / "agreement.json").write_text(json.dumps({old: (0.8, 0.8), new: (agreement, agreement)}))
        node, status = start(
            graph,
            tmp_path,
            "succeed",
            f"bundle={tmp_path / 'new'}",
            executable=program,
            run_name=name,
            held_back=[str(held_back)],
            classifier_service="scene_classifier/load_bundle",
        )
        manager = graph.watch_stats(f"{NODE}/stats")
        # "idle": a last word of the manager before this one, which had succeeded, may still come in.
        known = ("idle", str(tmp_path / "old"))
        graph.until(
            lambda: (manager().get("adaptation"), manager().get("current_bundle")) == known, "the bundle to be known"
        )
        assert graph.call(Trigger, f"{NODE}/adapt").success
        return node, graph.until(state(status, "succeeded", "failed"), "the end of the adaptation")

    node, final = adapt("worse", 0.79)
    assert final.state == "succeeded"
    assert final.message.startswith("bundle not loaded: agreement with the teacher on")
    assert (tmp_path / "runs/worse/bundle").is_dir()
    nothing = graph.call(Trigger, f"{NODE}/rollback")
    assert not nothing.success
    assert "nothing to roll back to" in nothing.message
    assert stats()["bundle_id"] == old
    assert node.stop() == 0

    _, final = adapt("better", 0.81)
    assert (final.state, final.message) == ("succeeded", f"loaded {tmp_path / 'runs/better/bundle'}")
    graph.until(lambda: stats()["bundle_id"] == new, "the new bundle in the classifier")
    manager, better = graph.watch_stats(f"{NODE}/stats"), str(tmp_path / "runs/better/bundle")
    graph.until(lambda: manager().get("current_bundle") == better, "the manager to know it")
    status = graph.watch(AdaptationStatus, f"{NODE}/status")
    (tmp_path / "old").rename(tmp_path / "aside")
    other = harness.write_test_bundle(tmp_path / "old", seed=2)
    refused = graph.call(Trigger, f"{NODE}/rollback")
    assert not refused.success
    at = tmp_path / "old"  # whatever is exchanged, and when: the classifier looks at what it has read
    assert refused.message.startswith(f"not rolled back to {at}: {at} holds bundle {other}, not {old}, which was asked")
    assert stats()["bundle_id"] == new
    (tmp_path / "old").rename(tmp_path / "other")
    (tmp_path / "aside").rename(tmp_path / "old")
    back = graph.call(Trigger, f"{NODE}/rollback")
    assert (back.success, back.message) == (True, f"rolled back to {tmp_path / 'old'}")
    graph.until(lambda: stats()["bundle_id"] == old, "the old bundle in the classifier")
    told = graph.until(lambda: status() and status().bundle_id == old and status(), "the status to tell")
    assert told.message == back.message


def test_new_pairs_start_an_adaptation_to_the_closed_logs(graph, tmp_path, program):
    harness.write_bag(tmp_path / "logs/pairs_1", frames=2)
    harness.write_bag(tmp_path / "logs/pairs_2", frames=2)
    publisher = graph.probe.create_publisher(LoggerStatus, "pair_logger/status", LATCHED)
    publisher.publish(LoggerStatus(state="logging", path=str(tmp_path / "logs/pairs_1"), pairs_kept=30))
    stats = graph.watch_stats(f"{NODE}/stats")
    _, status = start(
        graph,
        tmp_path,
        "fail",
        executable=program,
        bags=[],
        log_directory=str(tmp_path / "logs"),
        trigger_new_pairs=30,
    )
    graph.until(lambda: stats().get("open_log") == str(tmp_path / "logs/pairs_1"), "the manager to know the open log")
    graph.until(state(status, "idle"), "the status to say that nothing runs")
    assert stats()["new_pairs"] == "0"
    publisher.publish(LoggerStatus(state="logging", path=str(tmp_path / "logs/pairs_2"), pairs_kept=1))
    final = graph.until(state(status, "failed"), "the adaptation")
    assert final.message == f"error: {tmp_path / 'logs/pairs_1'} has no depth topic"
    seen = json.loads((tmp_path / "runs/run/seen.json").read_text())
    assert seen["arguments"][-2:] == ["--", str(tmp_path / "logs/pairs_1")]
    graph.until(lambda: stats().get("reason") == "30 new pairs", "the reason")


def test_the_dock_starts_an_adaptation_and_the_status_says_why(graph, tmp_path, program):
    _, status = start(graph, tmp_path, "hang", executable=program, trigger_battery_topic="battery")
    publisher = graph.probe.create_publisher(BatteryState, "battery", 1)
    docked = BatteryState(power_supply_status=BatteryState.POWER_SUPPLY_STATUS_CHARGING, percentage=0.9)

    def told():
        publisher.publish(docked)
        return state(status, "running")() and status().stage == "distil" and status()

    running = graph.until(told, "the adaptation")
    assert running.message == "epoch 1 of 4; started: on the dock, battery at 90%"


def test_the_time_of_day_starts_an_adaptation_once(graph, tmp_path, program):
    around_now = [datetime.now() + timedelta(hours=hours) for hours in (-1, 1)]
    window = f"{around_now[0]:%H:%M}-{around_now[1]:%H:%M}"
    _, status = start(graph, tmp_path, "fail", executable=program, trigger_time=window)
    graph.until(state(status, "failed"), "the adaptation")
    stats = graph.watch_stats(f"{NODE}/stats")
    assert window in graph.until(lambda: stats().get("reason"), "the reason")
    # Its interval holds across a restart: the next manager lets the window be.
    graph.nodes[-1].stop()
    start(graph, tmp_path, "fail", executable=program, trigger_time=window, run_name="second")
    graph.until(state(status, "idle"), "the second manager")
    assert graph.call(Trigger, f"{NODE}/cancel").message == "no adaptation is running: nothing to cancel"
    assert not (tmp_path / "runs/second.plan.json").exists()


def test_a_bundle_in_use_is_told_also_where_that_cannot_be_remembered(graph, tmp_path, program):
    """The directory of runs is lost while the classifier tests the bundle, as on a disk that is full by then."""
    bundle_id = harness.write_test_bundle(tmp_path / "bundle")

    async def load(request: LoadBundle.Request, response: LoadBundle.Response) -> LoadBundle.Response:
        shutil.rmtree(tmp_path / "runs")
        (tmp_path / "runs").write_text("no folder")
        response.ok, response.bundle_id, response.message = True, bundle_id, "loaded"
        return response

    graph.probe.create_service(LoadBundle, "scene_classifier/load_bundle", load)
    given = {"executable": program, "classifier_service": "scene_classifier/load_bundle"}
    node, status = start(graph, tmp_path, "succeed", f"bundle={tmp_path / 'bundle'}", **given)
    assert graph.call(Trigger, f"{NODE}/adapt").success
    ended = graph.until(state(status, "succeeded", "failed"), "the end")
    assert (ended.state, ended.bundle_id) == ("succeeded", bundle_id)
    assert "a restart will not know of it: " in ended.message
    assert "set another out_dir" in ended.message
    assert "Traceback" not in node.output()
    assert node.stop() == 0
