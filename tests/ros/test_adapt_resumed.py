"""What was learned or chosen stays in use when the classifier, the manager or the robot begins anew."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import AdaptationStatus
from edgevl.srv import LoadBundle
from std_srvs.srv import Trigger

from edgevl_core.adaptation import state
from edgevl_core.adaptation.records import BundleRef
from edgevl_core.adaptation.state import AdaptationState, Life, after_load, after_resume, heard
from edgevl_core.base.errors import UserError
from tests.ros import harness
from tests.ros.harness import Graph

NODE, SERVICE = "adaptation_manager", "scene_classifier/load_bundle"
A, B, C, D = (BundleRef(path=f"/bundles/{name}", id=name) for name in "abcd")
NOW_S = 1e9


def lived(*history: BundleRef, began_with: str | None = "a", last: str = "b") -> AdaptationState:
    """The memory of a classifier's life with the publisher "1"."""
    return AdaptationState(history=history, life=Life(publishers=("1",), began_with=began_with, bundle=last))


@pytest.mark.unit
@pytest.mark.parametrize(
    ("memory", "bundle", "history", "resume"),
    [
        (lived(A, B), A, (A, B), B),  # as it began before: it has forgotten B
        (lived(A, B), None, (A, B), B),  # bundle:= empty
        (lived(A, B), B, (A, B), None),
        (lived(A, B), D, (A, B, D), None),  # another bundle:= is a choice
        (lived(A, B, C, began_with="b"), A, (A, B, C, A), None),  # also where it is an old one
        (lived(A, B, C, began_with="d"), D, (A, B, C), C),  # so long ago that the history has lost it
        (lived(B, began_with="a"), A, (B,), B),
        (lived(A, B, began_with=None), A, (A, B), B),  # it is not known what it began with
        (lived(A, B, began_with=None), D, (A, B, D), None),
        (AdaptationState(history=(A, B)), A, (A, B), B),  # a memory of an earlier release
        (AdaptationState(history=(A, B)), D, (A, B, D), None),
        (AdaptationState(history=(B,)), None, (B,), B),
        (AdaptationState(), A, (), None),  # the first life of all
        (AdaptationState(), None, (), None),
    ],
)
def test_a_new_life_of_the_classifier_has_forgotten_or_was_given_a_choice(memory, bundle, history, resume):
    found = heard(memory, ["2"], bundle, NOW_S)
    assert (found.history, found.resume, found.life.publishers) == (history, resume, ("2",))


@pytest.mark.unit
def test_what_a_person_loads_in_a_life_of_the_classifier_is_a_choice():
    assert heard(lived(A, B), ["1"], B, NOW_S) is None  # only its words are others
    for bundle, history in ((D, (A, B, D)), (A, (A, B, A))):
        found = heard(lived(A, B), ["1"], bundle, NOW_S)
        assert (found.history, found.resume) == (history, None)
        assert (found.life.began_with, found.life.bundle) == ("a", bundle.id)
    # The adaptation's own, which stands in the history already; the publisher of an earlier life is not forgotten yet.
    found = heard(lived(A, B, last="a"), ["1"], B, NOW_S)
    assert (found.history, found.resume) == ((A, B), None)
    both = heard(lived(A, B), ["1", "2"], A, NOW_S)
    assert both.resume == B
    assert heard(AdaptationState(history=(A, B), life=both.life), ["2"], B, NOW_S).history == (A, B)


def handed_over(began_with: BundleRef | None, apart_s: float) -> tuple[int, AdaptationState, str]:
    """28 lives of a classifier that B ends: how often it is handed over, what is remembered, and what was said."""
    memory, times, said = lived(A, B), 0, ""
    for life in range(2, 30):
        now_s = NOW_S + life * apart_s
        found = heard(memory, [str(life)], began_with, now_s)
        changes: dict[str, object] = {"life": found.life, "history": found.history}
        if found.resume is not None:
            times += 1
            changes["resumed_s"] = after_resume(memory.resumed_s, now_s)
        memory, said = memory.model_copy(update=changes), said or found.given_up
    return times, memory, said


@pytest.mark.unit
def test_a_bundle_that_ends_the_classifier_each_time_is_given_up():
    for apart_s in (20.0, 0.0, -20.0):  # also where each start of the robot sets its clock back
        times, memory, said = handed_over(A, apart_s)
        assert (times, memory.history) == (3, (A, B, A))
        assert said == (
            "/bundles/b was handed to the classifier 3 times in 10 minutes, which began anew each time, "
            "and is given up: ~/rollback loads it again"
        )
    assert handed_over(None, 10.0)[0] == 3  # bundle:= empty
    assert handed_over(A, 301.0)[0] == 28  # a robot that is switched off and on


@pytest.mark.unit
def test_a_bundle_loaded_before_the_manager_has_ever_run_counts_as_the_parameter():
    first = heard(AdaptationState(), ["1"], C, NOW_S)  # the parameter names A, a person has loaded C
    assert first.life.began_with == "c"
    memory = AdaptationState(history=after_load(first.history, C, B), life=first.life)
    again = heard(memory, ["2"], A, NOW_S)
    assert (again.history, again.resume) == ((C, B, A), None)


@pytest.mark.unit
def test_a_rollback_goes_to_the_one_before_the_current_one_and_never_forward(tmp_path):
    first, second, third = (BundleRef(path=str(tmp_path / name), id=name) for name in "123")
    for each in (first, second, third):
        Path(each.path).mkdir()
    assert state.previous((first, second, third), second) == first
    assert state.previous((first, second), None) == second  # the classifier has none
    with pytest.raises(UserError, match="nothing to roll back to"):
        state.previous((first, second), first)


class Robot(NamedTuple):
    """A classifier and a manager that are started anew, with two bundles; each id as the classifier tells it."""

    graph: Graph
    folder: Path
    shipped: BundleRef
    learned: BundleRef

    def start(self, bundle: str) -> None:
        """Both, with this parameter ``bundle``; waits until the manager has judged what the classifier has."""
        before = self.memory().life
        self.start_classifier(bundle)
        self.graph.start(
            NODE,
            out_dir=str(self.folder / "runs"),
            classifier_service=SERVICE,
            executable="false",
            status_period_s=0.1,
            bags=[str(self.folder / "bag")],
            teacher="open_clip:tiny",
            labels="home.yaml",
        )
        self.graph.until(lambda: self.memory().life not in (None, before), "the classifier to be heard of")

    def start_classifier(self, bundle: str) -> None:
        self.graph.start("scene_classifier", bundle=bundle)

    def stop(self) -> None:
        for node in self.graph.nodes:
            if node.process.poll() is None:
                assert node.stop() == 0

    def memory(self) -> AdaptationState:
        return state.load(self.folder / "runs")

    def remember(self, *history: BundleRef) -> None:
        state.save(self.folder / "runs", AdaptationState(history=history))


@pytest.fixture
def robot(graph: Graph, tmp_path: Path) -> Robot:
    (tmp_path / "runs").mkdir()
    bundles = [
        BundleRef(path=str(tmp_path / name), id=harness.write_test_bundle(tmp_path / name, seed=seed))
        for seed, name in enumerate(("shipped", "learned"))
    ]
    return Robot(graph, tmp_path, *bundles)


@pytest.mark.ros
def test_what_was_learned_is_in_use_again_after_the_robot_or_the_classifier_has_begun_anew(graph, robot):
    shipped, learned = robot.shipped, robot.learned
    stats = graph.watch_stats("scene_classifier/stats")
    robot.remember(shipped, learned)
    robot.start(shipped.path)
    graph.until(lambda: stats().get("bundle_id") == learned.id, "what was learned")
    graph.until(lambda: robot.memory().life.bundle == learned.id, "the manager to know it")
    assert robot.memory().history == (shipped, learned)
    # The classifier alone: its process dies and is started again.
    graph.nodes[0].process.kill()
    graph.nodes[0].wait()
    robot.start_classifier(shipped.path)
    graph.until(lambda: stats().get("bundle_id") == shipped.id, "the new process")
    graph.until(lambda: stats().get("bundle_id") == learned.id, "what was learned, once more")
    graph.until(lambda: robot.memory().life.bundle == learned.id, "the manager to know it")
    # bundle:= empty waits for the first adaptation, and this is not the first.
    robot.stop()
    robot.start("")
    graph.until(lambda: stats().get("state") == "active" and stats().get("bundle_id") == learned.id, "what was learned")
    back = graph.call(Trigger, f"{NODE}/rollback")
    assert (back.success, back.message) == (True, f"rolled back to {shipped.path}")


@pytest.mark.ros
def test_what_is_in_use_again_leaves_how_the_last_adaptation_ended_and_a_fourth_time_is_refused(graph, robot):
    shipped, learned = robot.shipped, robot.learned
    status = graph.watch(AdaptationStatus, f"{NODE}/status")
    diagnostics = graph.watch(DiagnosticStatus, f"{NODE}/stats")
    robot.remember(shipped, learned)
    robot.start(shipped.path)
    graph.until(lambda: robot.memory().life.bundle == learned.id, "what was learned")
    assert graph.call(Trigger, f"{NODE}/adapt").success
    ended = graph.until(lambda: status() and status().state == "failed" and status(), "the failure")
    for classifier, resumed in ((0, True), (-1, True), (-1, False)):
        before = robot.memory().life
        graph.nodes[classifier].process.kill()
        graph.nodes[classifier].wait()
        robot.start_classifier(shipped.path)
        graph.until(lambda before=before: robot.memory().life.publishers != before.publishers, "the new process")
        if resumed:
            graph.until(lambda: robot.memory().life.bundle == learned.id, "what was learned, once more")
    graph.until(lambda: f"{learned.path} was handed to the classifier 3 times" in diagnostics().message, "the reason")
    assert robot.memory().history == (shipped, learned, shipped)
    now = status()
    for name in ("state", "message", "bundle_path", "bundle_id", "exit_code"):
        assert getattr(now, name) == getattr(ended, name)
    assert graph.call(Trigger, f"{NODE}/rollback").message == f"rolled back to {learned.path}"


@pytest.mark.ros
def test_no_restart_undoes_a_rollback_or_what_a_person_has_loaded(graph, robot):
    shipped, learned = robot.shipped, robot.learned
    stats, manager = graph.watch_stats("scene_classifier/stats"), graph.watch_stats(f"{NODE}/stats")
    robot.remember(shipped, learned)
    robot.start(shipped.path)
    graph.until(lambda: manager().get("current_bundle") == learned.path, "what was learned")
    assert graph.call(Trigger, f"{NODE}/rollback").success
    robot.stop()
    robot.start(shipped.path)
    assert robot.memory().history == (shipped,)
    graph.until(lambda: manager().get("current_bundle") == shipped.path, "the manager to know what is in use")
    refused = graph.call(Trigger, f"{NODE}/rollback")
    assert refused.message == "no earlier bundle is known: nothing to roll back to"
    graph.until(lambda: stats().get("bundle_id") == shipped.id, "the classifier to have it")
    # Loaded by hand, once while the manager is away, and once while it is there.
    assert graph.nodes[-1].stop() == 0
    assert graph.call(LoadBundle, SERVICE, path=learned.path).ok
    graph.start(NODE, out_dir=str(robot.folder / "runs"), classifier_service=SERVICE, executable="true")
    graph.until(lambda: robot.memory().history == (shipped, learned), "the manager to know of it")
    assert graph.call(LoadBundle, SERVICE, path=shipped.path).ok
    graph.until(lambda: robot.memory().history == (shipped, learned, shipped), "the manager to know of it")
    robot.stop()
    robot.start(learned.path)  # and now by the parameter
    assert robot.memory().history == (shipped, learned, shipped, learned)
    graph.until(lambda: stats().get("bundle_id") == learned.id, "the classifier to have it")


@pytest.mark.ros
def test_a_bundle_that_cannot_be_taken_up_again_is_told_in_the_diagnostics(graph, robot):
    diagnostics, stats = graph.watch(DiagnosticStatus, f"{NODE}/stats"), graph.watch_stats("scene_classifier/stats")
    robot.remember(robot.shipped, robot.learned)
    manifest = Path(robot.learned.path) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"bundle_id": "f" * 12}))
    robot.start(robot.shipped.path)
    said = f"{robot.learned.path}, which was in use last, is not taken up again: "
    graph.until(lambda: diagnostics() and said in diagnostics().message, "the reason")
    assert diagnostics().level == DiagnosticStatus.WARN
    graph.until(lambda: stats().get("bundle_id") == robot.shipped.id, "the classifier to keep what it began with")
    refused = graph.call(Trigger, f"{NODE}/rollback")
    assert refused.message == "no earlier bundle is known: nothing to roll back to"
