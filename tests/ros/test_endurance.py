"""The same thing very often: lifecycle cycles, label changes, bundle swaps. Neither memory nor descriptors grow.

``make faults`` runs 1,000, 1,000 and 100 (EDGEVL_FAULT_ROUNDS=200); otherwise a few.
"""

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from edgevl.msg import SceneClass
from edgevl.srv import LoadBundle, SetLabels
from lifecycle_msgs.msg import Transition
from std_srvs.srv import Trigger

from tests.ros import harness
from tests.ros.classifying import NODE, accounted, listening, unaccounted
from tests.ros.harness import Graph, NodeProcess
from tests.ros.test_inactive import change

pytestmark = [pytest.mark.ros, pytest.mark.faults]
ROUNDS = int(os.environ.get("EDGEVL_FAULT_ROUNDS", "1"))
CYCLES, CHANGES, SWAPS = max(20, 5 * ROUNDS), max(20, 5 * ROUNDS), max(4, ROUNDS // 2)
MOST_GROWTH_MB = 5.0
LIFE = (
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP,
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
)


class Held(NamedTuple):
    """What a process holds. ``memory_mb``: its own, without mapped files and memory shared with others."""

    memory_mb: float
    descriptors: int
    threads: int


def held(node: NodeProcess) -> Held:
    process = Path(f"/proc/{node.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    memory_kb, threads = (int(status[name].split()[0]) for name in ("RssAnon", "Threads"))
    return Held(memory_kb / 1024, sum(1 for _ in (process / "fd").iterdir()), threads)


class Growth:
    """Compares what a node holds at the end with what it held after a tenth of the rounds, and says both."""

    def __init__(self, node: NodeProcess, rounds: int) -> None:
        self._node, self._rounds, self._warm = node, rounds, max(3, rounds // 10)
        self._first: Held | None = None

    def done(self, number: int) -> None:
        """Round ``number``, from 0, is done."""
        if number + 1 == self._warm:
            self._first = held(self._node)
        elif number + 1 == self._rounds:
            last = held(self._node)
            print(f"{self._node.name}, {self._rounds} rounds, after {self._warm}: {self._first}, at the end: {last}")
            assert last.memory_mb - self._first.memory_mb < MOST_GROWTH_MB
            assert last.descriptors <= self._first.descriptors
            assert last.threads <= self._first.threads


@pytest.mark.parametrize("name", ["scene_classifier", "label_overlay", "pair_logger"])
def test_lifecycle_cycles(graph: Graph, tmp_path: Path, name: str) -> None:
    given = {"directory": str(tmp_path / "logs"), "log_on_activate": False} if name == "pair_logger" else {}
    node = graph.start(name, **given)
    growth = Growth(node, CYCLES)
    for number in range(CYCLES):
        for transition in LIFE:
            change(graph, name, transition)
        growth.done(number)
    assert "Traceback" not in node.output()
    assert node.stop() == 0


def at_work(graph: Graph, tmp_path: Path) -> tuple:
    """A classifier that answers at 15 Hz, its statistics, the player's, and the answers so far."""
    bag = harness.write_bag(tmp_path / "bag", frames=60, hz=15)
    answers: list[int] = []
    graph.subscribe(SceneClass, f"{NODE}/scene", lambda scene: answers.append(scene.label_set_version))
    stats = graph.watch_stats(f"{NODE}/stats")
    node = graph.start(NODE, bundle=str(tmp_path / "bundle0"), **harness.RELIABLE)
    player = graph.start_player(bag, loop=True, wait_rgb_subscribers=1, wait_depth_subscribers=1, qos_depth=100)
    graph.resume_player(*listening(stats))
    graph.until(lambda: answers, "an answer")
    return node, stats, player, answers


def ends_well(graph: Graph, node: NodeProcess, stats, player) -> None:
    """Every image that was sent has come and is accounted for; nothing was raised."""
    assert graph.call(Trigger, "bag_player/pause").success
    graph.until(lambda: stats().get("received_rgb") == player()["sent_rgb"], "every image sent to have come")
    graph.until(lambda: accounted(stats), "every frame to be dealt with")
    assert set(unaccounted(stats).values()) == {0}
    assert (stats()["errors"], stats()["failed"]) == ("0", "0")
    assert "Traceback" not in node.output()
    assert node.stop() == 0


def test_label_changes_under_load(graph: Graph, tmp_path: Path) -> None:
    harness.write_test_bundle(tmp_path / "bundle0")
    node, stats, player, answers = at_work(graph, tmp_path)
    growth = Growth(node, CHANGES)
    for number in range(CHANGES):
        words = harness.LABELS[: 2 + number % 3]
        changed = graph.call(SetLabels, f"{NODE}/set_labels", labels=words)
        assert (changed.ok, list(changed.labels)) == (True, list(words))
        growth.done(number)
    graph.until(lambda: answers[-1] == changed.version == CHANGES + 1, "an answer by the last words")
    ends_well(graph, node, stats, player)


def test_bundle_swaps_under_load(graph: Graph, tmp_path: Path) -> None:
    ids = [harness.write_test_bundle(tmp_path / f"bundle{seed}", seed=seed) for seed in range(2)]
    node, stats, player, answers = at_work(graph, tmp_path)
    growth = Growth(node, SWAPS)
    for number in range(SWAPS):
        seen, which = len(answers), (number + 1) % 2
        loaded = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(tmp_path / f"bundle{which}"))
        assert (loaded.ok, loaded.bundle_id) == (True, ids[which])
        graph.until(lambda before=seen: len(answers) > before, "answers to go on")
        growth.done(number)
    ends_well(graph, node, stats, player)
