"""The whole graph at 15 Hz with a random fault every so often: every image accounted for, nothing raised, a clean stop.

20 seconds here; ``make faults`` soaks for EDGEVL_FAULT_ROUNDS * 1.5 s, 5 minutes, with several faults a minute;
``make soak MINUTES=60`` for so long, with a fault every half minute.
"""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgevl.msg import LoggerStatus, RoomMap, SceneClass
from edgevl.srv import LoadBundle, SetLabels
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from edgevl_ros.node.qos import stream_qos
from tests.ros import harness, room_mapping
from tests.ros.classifying import NODE, accounted, unaccounted
from tests.ros.harness import Graph, NodeProcess
from tests.ros.memory import Course
from tests.ros.test_inactive import activate, deactivate
from tests.ros.test_log_faults import readable

pytestmark = [pytest.mark.ros, pytest.mark.faults]
ROUNDS = int(os.environ.get("EDGEVL_FAULT_ROUNDS", "1"))
SOAK_S = 60 * float(os.environ.get("EDGEVL_SOAK_MINUTES", "0")) or max(20.0, 1.5 * ROUNDS)
BETWEEN_S = min(60.0, SOAK_S / 10)
MOST_GROWTH_MB = 5.0


NODES = (NODE, "label_overlay", "pair_logger", room_mapping.NODE)


@pytest.fixture
def graph(ros_domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    """Over UDP alone: in shared memory a node that was killed and started again was not heard by one that ran on, once.

    Fast DDS has that reported (issues 5053, 5469), and it is nothing that a node could mend: docs/reliability.md.
    """
    for name in harness.profile_variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
    with harness.graph(tmp_path) as opened:
        yield opened


class Robot:
    """Player, classifier, logger, overlay and room_mapper; what is done to them, one method for each fault."""

    def __init__(self, graph: Graph, tmp_path: Path) -> None:
        self.graph, self.tmp = graph, tmp_path
        self.ids = [harness.write_test_bundle(tmp_path / f"bundle{seed}", seed=seed) for seed in range(2)]
        self.damaged = Path(shutil.copytree(tmp_path / "bundle0", tmp_path / "damaged"))
        (self.damaged / "student.onnx").write_bytes(b"damaged")
        self.logs = tmp_path / "logs"
        self.answers = 0
        graph.subscribe(SceneClass, f"{NODE}/scene", self._count)
        graph.subscribe(Image, "label_overlay/image", lambda _picture: None)
        self.stats = {name: graph.watch_stats(f"{name}/stats") for name in NODES}
        self.status = graph.watch(LoggerStatus, "pair_logger/status")
        self.started: list[NodeProcess] = []
        self.classifier = self._start(NODE, bundle=str(tmp_path / "bundle0"), **harness.RELIABLE)
        self.overlay, self.logger = self._start_overlay(), self._start_logger()
        self.rooms = graph.watch(RoomMap, f"{room_mapping.NODE}/rooms")
        self.mapper = self._start(
            room_mapping.NODE, directory=str(tmp_path / "rooms"), save_period_s=5.0, **harness.RELIABLE
        )
        drive = harness.write_bag(tmp_path / "drive", frames=90, hz=15, size=(320, 240))
        bag = room_mapping.with_poses(drive, tmp_path / "bag")
        self.player = graph.start_player(
            bag, loop=True, wait_rgb_subscribers=3, wait_depth_subscribers=3, qos_depth=100
        )
        self.courses = [Course(node) for node in (self.classifier, self.mapper, graph.nodes[-1])]
        self.foreign = graph.probe.create_publisher(Image, harness.RGB_TOPIC, stream_qos("reliable", 100))
        self.sent_by_probe = 0
        graph.until(lambda: self.foreign.get_subscription_count() == 3, "all to hear the probe")
        classifier, mapper = self.stats[NODE], self.stats[room_mapping.NODE]
        hearers = [(classifier, f"publishers_{name}", number) for name, number in (("rgb", 2), ("depth", 1))]
        hearers += [(mapper, f"publishers_{name}", 1) for name in ("embedding", "pose", "depth", "camera_info")]
        graph.resume_player(*hearers, (classifier, "scene_subscribers", 2))

    def _count(self, _scene: SceneClass) -> None:
        self.answers += 1

    def _start(self, name: str, **parameters: object) -> NodeProcess:
        """Start a node and hear its own first word, not its predecessor's last."""
        self.started.append(self.graph.start(name, **parameters))
        self.graph.until(lambda: "]: active" in self.started[-1].output(), f"{name} to begin")
        self.graph.forget(f"{name}/stats")  # by now the predecessor's has come, also what was on its way
        self.graph.until(lambda: self.stats[name]().get("state") == "active", f"{name} to be active")
        return self.started[-1]

    def _start_overlay(self) -> NodeProcess:
        return self._start("label_overlay", **harness.RELIABLE)

    def _start_logger(self) -> NodeProcess:
        return self._start("pair_logger", directory=str(self.logs), min_free_mb=0.0, **harness.RELIABLE)

    def answers_go_on(self) -> None:
        before = self.answers
        self.graph.until(lambda: self.answers > before + 2, "answers to go on")

    def drives(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        self.graph.until(lambda: time.monotonic() > end_s, "time to pass", seconds + harness.TIMEOUT_S)
        for course in self.courses:
            course.sample()

    # -- faults -------------------------------------------------------------------------------------------

    def damaged_bundle(self, _draw: random.Random) -> None:
        refused = self.graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(self.damaged))
        assert not refused.ok
        assert "SHA-256" in refused.message

    def other_bundle(self, draw: random.Random) -> None:
        which = draw.randrange(2)
        loaded = self.graph.call(LoadBundle, f"{NODE}/load_bundle", path=str(self.tmp / f"bundle{which}"))
        assert (loaded.ok, loaded.bundle_id) == (True, self.ids[which])

    def unknown_word(self, _draw: random.Random) -> None:
        assert not self.graph.call(SetLabels, f"{NODE}/set_labels", labels=["spaceship"]).ok

    def other_words(self, draw: random.Random) -> None:
        assert self.graph.call(SetLabels, f"{NODE}/set_labels", labels=harness.LABELS[: draw.randrange(2, 5)]).ok

    def garbage_for_images(self, draw: random.Random) -> None:
        for _ in range(5):
            self.foreign.publish(draw.randbytes(draw.randrange(4, 2000)))
            self.sent_by_probe += 1

    def overlay_killed(self, _draw: random.Random) -> None:
        self.overlay.stop(signal.SIGKILL)
        self.overlay = self._start_overlay()

    def logger_killed(self, _draw: random.Random) -> None:
        status = self.graph.until(lambda: self.status() and self.status().pairs_kept and self.status(), "kept pairs")
        self.logger.stop(signal.SIGKILL)
        assert readable(Path(status.path)) >= status.pairs_kept
        self.graph.forget("pair_logger/status")
        self.logger = self._start_logger()

    def overlay_rests(self, draw: random.Random) -> None:
        self._rests("label_overlay", draw)

    def logger_rests(self, draw: random.Random) -> None:
        self._rests("pair_logger", draw)

    def _rests(self, name: str, draw: random.Random) -> None:
        deactivate(self.graph, name)
        self.drives(draw.uniform(0.0, 2.0))
        activate(self.graph, name)

    def camera_silent(self, draw: random.Random) -> None:
        assert self.graph.call(Trigger, "bag_player/pause").success
        self.drives(draw.uniform(0.0, 3.0))
        assert self.graph.call(Trigger, "bag_player/resume").success

    # -- the end ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Every image sent has come to the classifier, and each node accounts for all that it received."""
        graph, stats = self.graph, self.stats[NODE]
        assert graph.call(Trigger, "bag_player/pause").success
        graph.until(
            lambda: int(stats()["received_rgb"]) == int(self.player()["sent_rgb"]) + self.sent_by_probe,
            "every image sent to have come",
        )
        graph.until(lambda: stats()["received_depth"] == self.player()["sent_depth"], "every depth image")
        graph.until(lambda: accounted(stats), "every frame to be dealt with")
        assert set(unaccounted(stats).values()) == {0}
        fates = ("drawn", "idle", "without_answer", "waiting", "failed", "rgb_unreadable")
        graph.until(lambda: self._balance("label_overlay", fates) == 0, "the overlay's images to add up")
        mapper = self.stats[room_mapping.NODE]
        graph.until(lambda: mapper()["waiting"] == "0" and room_mapping.balance(mapper()) == 0, "the frames on the map")
        assert int(mapper()["used"]) > 0
        assert self.rooms() is not None
        assert graph.call(Trigger, "pair_logger/stop").success
        graph.until(lambda: self.status().state == "stopped", "the log to be closed")
        assert readable(Path(self.status().path)) == self.status().pairs_kept

    def _balance(self, name: str, fates: tuple[str, ...]) -> int:
        counts = self.stats[name]()
        return int(counts["received_rgb"]) - sum(int(counts.get(fate, 0)) for fate in fates)

    def table(self) -> str:
        """What was sent, what has come, and how memory went on."""
        player, classifier, mapper = self.player(), self.stats[NODE](), self.stats[room_mapping.NODE]()
        sent = {"rgb": int(player["sent_rgb"]) + self.sent_by_probe, "depth": int(player["sent_depth"])}
        lost = {name: count - int(classifier[f"received_{name}"]) for name, count in sent.items()}
        lines = [
            f"{SOAK_S:g} s; sent: {sent}; lost on the way to the classifier: {lost}; answers: {self.answers}; "
            f"frames on the map: {mapper['used']} of {mapper['received']}",
            "| node | MB at a fifth | MB at the end | MB an hour | most MB, with libraries |",
            "|---|---|---|---|---|",
        ]
        return "\n".join(lines + [course.row() for course in self.courses])

    def stop(self) -> None:
        for node in (self.overlay, self.logger, self.classifier, self.mapper):
            assert node.stop() == 0, node.output()
        assert not [node.log for node in self.started if "Traceback" in node.output()]


FAULTS = (
    Robot.damaged_bundle,
    Robot.other_bundle,
    Robot.unknown_word,
    Robot.other_words,
    Robot.garbage_for_images,
    Robot.overlay_killed,
    Robot.logger_killed,
    Robot.overlay_rests,
    Robot.logger_rests,
    Robot.camera_silent,
)


def test_faults_at_random(graph: Graph, tmp_path: Path) -> None:
    draw, done = random.Random(ROUNDS), Counter()
    robot = Robot(graph, tmp_path)
    end_s = time.monotonic() + SOAK_S
    order = draw.sample(FAULTS, len(FAULTS))
    while time.monotonic() < end_s:
        fault = order[sum(done.values()) % len(order)]
        fault(robot, draw)
        done[fault.__name__] += 1
        robot.answers_go_on()
        robot.drives(draw.uniform(0.0, BETWEEN_S))
    robot.check()
    print(robot.table(), f"faults: {dict(done)}", sep="\n")
    if SOAK_S >= 300:  # before that, a node still loads what it needs
        # The player, not a robot's node, keeps 100 images (38 MB) for a reader that was killed until that is noticed.
        assert max(course.growth_mb() for course in robot.courses[:2]) < MOST_GROWTH_MB
    robot.stop()
