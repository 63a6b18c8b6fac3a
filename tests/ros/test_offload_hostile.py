"""A base station that falls silent or lies, and a robot that sends nonsense: nobody waits, crashes or believes."""

import struct
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import SceneClass
from edgevl.srv import SetLabels
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import CompressedImage

from edgevl_core.offload.halves import load_back
from edgevl_core.offload.tensor import Header, array_of, pack, unpack
from edgevl_ros.node.qos import NEWEST
from tests.core.offload.cut_student import BUNDLE, write_cut
from tests.ros import harness

pytestmark = pytest.mark.ros
ROBOT, BASE = "scene_classifier", "base_station"
LONG_S = 10.0  # what the robot would wait for an answer


class FakeBase:
    """A base station in the test's own process: "right", "silent", or "lies", with embeddings of another place."""

    def __init__(self, graph, cut):
        self.half, self.does, self.asked = load_back(cut), "right", 0
        self._answers = graph.probe.create_publisher(CompressedImage, f"{BASE}/answers", NEWEST)
        graph.probe.create_subscription(CompressedImage, f"{ROBOT}/features", self._answer, NEWEST, raw=True)

    def _answer(self, cdr):
        self.asked += 1
        header, label, data = unpack(cdr)
        manifest = self.half.manifest
        embeddings = self.half.back(array_of(label, data, manifest.dtype, (label.shape[0], *manifest.shape)))
        if self.does != "silent":
            said = np.roll(embeddings, 1, axis=1) if self.does == "lies" else embeddings
            self._answers.publish(pack(header, manifest.split_id, label.number, said))


@pytest.fixture
def cut(tmp_path):
    return write_cut(tmp_path / "cut")


def test_nothing_waits_for_a_silent_base_station_and_one_that_lies_is_found_out(graph, cut, tmp_path):
    base, scenes = FakeBase(graph, cut), []
    graph.subscribe(SceneClass, f"{ROBOT}/scene", scenes.append)
    stats, message = graph.watch_stats(f"{ROBOT}/stats"), graph.watch(DiagnosticStatus, f"{ROBOT}/stats")
    robot = graph.start(
        ROBOT, bundle=str(BUNDLE), offload=str(cut), offload_wait_s=LONG_S, offload_retry_s=0.2, use_depth=False
    )
    bag = harness.write_bag(tmp_path / "bag", frames=100, hz=10.0)
    graph.start_player(bag, loop=True, wait_rgb_subscribers=1)
    graph.resume_player((stats, "scene_subscribers", 1), (stats, "publishers_rgb", 1))

    def is_used() -> None:
        base.does = "right"
        answered = int(stats().get("offload_answered", 0))
        graph.until(lambda: int(stats().get("offload_answered", 0)) > answered + 3, "answers of the base station")

    def a_frame_waits() -> None:
        """The number of questions stands still: the last one's answer is waited for."""
        base.does = "silent"
        seen = [(0.0, -1)]

        def still() -> bool:
            if seen[0][1] != base.asked:
                seen[0] = (time.monotonic(), base.asked)
            return time.monotonic() - seen[0][0] > 1.0

        graph.until(still, "a frame that waits")

    def change_state(transition: int) -> bool:
        return graph.call(ChangeState, f"{ROBOT}/change_state", transition=Transition(id=transition)).success

    is_used()
    a_frame_waits()
    begun_s = time.monotonic()
    assert graph.call(SetLabels, f"{ROBOT}/set_labels", labels=["kitchen"]).ok
    assert time.monotonic() - begun_s < 0.8 * LONG_S  # a busy machine is slow
    graph.until(lambda: scenes[-1].labels == ["kitchen"], "an answer by the new words")

    is_used()
    a_frame_waits()
    begun_s = time.monotonic()
    assert change_state(Transition.TRANSITION_DEACTIVATE)
    assert time.monotonic() - begun_s < 0.8 * LONG_S  # a busy machine is slow
    base.does = "right"
    assert change_state(Transition.TRANSITION_ACTIVATE)

    is_used()
    base.does = "lies"
    graph.until(lambda: "it answers otherwise than the robot" in message().message, "the lie to be found out")
    graph.until(lambda: stats()["offload"] == "alone", "the robot to go on alone")
    assert "Traceback" not in robot.output()


def test_a_base_station_answers_its_robot_while_another_sends_nonsense(graph, cut):
    manifest = load_back(cut).manifest
    features = np.zeros((1, *manifest.shape), np.uint8)
    late = bytearray(pack(Header(0, "c"), manifest.split_id, 1, features))
    struct.pack_into("<iI", late, 4, 2**31 - 1, 2**32 - 1)  # a stamp that no message can hold when it is added up
    nonsense = [bytes(late), bytes(late[:60]), pack(Header(1, "c"), manifest.split_id, 1, features.astype(np.float32))]
    nonsense += [pack(Header(1, "c"), "f" * 12, number, features[:, :number]) for number in range(1, 5)]
    answers = {}
    node = graph.start(BASE, offload=str(cut), **harness.RELIABLE)
    stats = graph.watch_stats(f"{BASE}/stats")
    sender = graph.probe.create_publisher(CompressedImage, f"{ROBOT}/features", NEWEST)
    graph.subscribe(CompressedImage, f"{BASE}/answers", lambda m: answers.update({m.format.split()[2]: m.format}))
    for key in ("answers_subscribers", "publishers_features"):
        graph.wait_for_hearers(stats, key)
    graph.until(lambda: sender.get_subscription_count() == 1, "it to be found")
    for number in range(100, 121):
        sender.publish(nonsense[number % len(nonsense)])
        graph.until(lambda n=number: int(stats()["received_features"]) >= 2 * (n - 100) + 1, "nonsense to arrive")
        sender.publish(pack(Header(number, "c"), manifest.split_id, number, features))
        graph.until(lambda n=number: str(n) in answers, "an answer")
    assert {answers[str(number)].rsplit(maxsplit=1)[1] for number in range(100, 121)} == {"1x128"}

    def counts() -> dict[str, int]:
        names = ("received_features", "answered", "refused", "superseded", "failed", "in_progress")
        return {name: int(stats()[name]) for name in names}

    graph.until(lambda: counts()["answered"] == 21 and not counts()["in_progress"], "the counts")
    received, *fates = counts().values()
    assert received == sum(fates) == 42
    assert "Traceback" not in node.output()
    assert len(node.output().splitlines()) < 10  # once in a while, not for every message
