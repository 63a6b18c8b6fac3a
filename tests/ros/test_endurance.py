"""The same thing very often: lifecycle cycles, label changes, bundle swaps. Neither memory nor descriptors grow.

``make faults`` runs 1,000, 1,000 and 100 (EDGEVL_FAULT_ROUNDS=200); otherwise a few.
"""

import os
import random
import shutil
import time
from itertools import pairwise
from pathlib import Path

import pytest
from edgevl.msg import SceneClass
from edgevl.srv import LoadBundle, SetLabels
from lifecycle_msgs.msg import Transition
from std_srvs.srv import Trigger

from tests.ros import harness
from tests.ros.classifying import NODE, accounted, listening, unaccounted
from tests.ros.harness import Graph, NodeProcess
from tests.ros.memory import Held, held
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


def test_bad_bundles_under_load(graph: Graph, tmp_path: Path) -> None:
    """Refused, and answers go on by the last good one without a pause; how long both take is printed."""
    good = harness.write_test_bundle(tmp_path / "bundle0")
    node, stats, player, answers = at_work(graph, tmp_path)
    answered_s: list[float] = []
    graph.subscribe(SceneClass, f"{NODE}/scene", lambda _scene: answered_s.append(time.monotonic()))
    draw, refused_s = random.Random(ROUNDS), []
    for number in range(SWAPS):
        bad = Path(shutil.copytree(tmp_path / "bundle0", tmp_path / f"bad{number}"))
        file = draw.choice(sorted(path for path in bad.iterdir() if path.is_file()))
        content = bytearray(file.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        file.write_bytes(content)
        begun_s = time.monotonic()
        loaded = graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(bad))
        refused_s.append(time.monotonic() - begun_s)
        assert not loaded.ok, file
        seen = len(answers)
        graph.until(lambda before=seen: len(answers) > before, "answers to go on")
    assert stats()["bundle_id"] == good
    pauses_s = [after - before for before, after in pairwise(answered_s)]
    print(
        f"{SWAPS} bad bundles at 15 Hz: refused after at most {max(refused_s):.2f} s; between two answers at most "
        f"{max(pauses_s):.2f} s, {sorted(pauses_s)[len(pauses_s) // 2]:.3f} s in the middle"
    )
    ends_well(graph, node, stats, player)
