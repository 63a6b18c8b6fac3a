"""When a base station is asked, when it is no longer, and which answers are taken."""

import struct
import time
from collections.abc import Callable

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.offload.link import Link
from edgevl_core.offload.manifest import SplitManifest, sealed
from edgevl_core.offload.tensor import Header, pack, unpack

pytestmark = pytest.mark.unit
MANIFEST = sealed(
    SplitManifest(
        split_id="0" * 12,
        student="student.onnx",
        student_sha256="0" * 64,
        tensor="t",
        after=1,
        of=2,
        shape=(2, 3),
        dtype="uint8",
        size_px=32,
        embedding_dim=2,
        cosine=1.0,
        files={},
    )
)
FEATURES = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
RIGHT = np.array([[1, 0], [0, 1]], np.float32)
OWN = RIGHT.copy()
WRONG = RIGHT[::-1].copy()  # of length 1, and another place
HERE = Header(1, "camera")


class Robot:
    """A link, what was sent over it and said of it, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s, self.sent, self.said = 0.0, [], []
        self.base: Callable[[int], bytes | None] = lambda number: None
        self.listens, self.base_takes_s, self.checks = True, 0.01, False
        self.link = Link(MANIFEST, self._send, 1.0, self.said.append, lambda: self.now_s, lambda: self.checks)

    def _send(self, number: int, features: np.ndarray) -> bool:
        assert features is FEATURES
        self.sent.append(number)
        answer = self.base(number)
        if answer is not None:
            self.now_s += self.base_takes_s
            self.link.receive(answer)
        return self.listens

    def ask(self) -> np.ndarray | None:
        """The base station's answer; None where the robot computed it itself."""
        found = self.link.ask(FEATURES, 0.02, lambda features: OWN)
        return None if found is OWN else found

    def later(self) -> "Robot":
        self.now_s += 1.0
        return self


def answer_with(embeddings: np.ndarray, split_id: str = MANIFEST.split_id) -> Callable[[int], bytes]:
    return lambda number: pack(HERE, split_id, number, embeddings)


@pytest.fixture
def robot() -> Robot:
    """One whose base station answers rightly, and is used."""
    robot = Robot()
    robot.base = answer_with(RIGHT)
    assert robot.ask() is None  # the probe: the robot computed this frame
    assert robot.link.using
    return robot


def test_answers_are_taken_once_a_probe_was_answered(robot):
    np.testing.assert_array_equal(robot.ask(), RIGHT)
    assert robot.said == ["the base station computes the rest: it answered in 10 ms"]
    assert (robot.link.counts["asked"], robot.link.counts["answered"], robot.link.counts["probes"]) == (1, 1, 1)


def test_two_silences_in_a_row_end_it_and_probes_that_nobody_waits_for_find_it_again(robot):
    robot.base = lambda number: None
    assert [robot.ask(), robot.ask()] == [None, None]
    assert robot.said[1:] == ["the robot computes alone: no answer within 20 ms, 2 times in a row"]
    sent = len(robot.sent)
    assert [robot.ask() for _ in range(5)] == [None] * 5
    assert len(robot.sent) == sent  # nothing is even sent
    assert not robot.link.asks()
    for _ in range(3):
        assert robot.later().ask() is None
    assert len(robot.sent) == sent + 3
    assert len(robot.said) == 2  # once for a change, not once a probe
    robot.base = answer_with(RIGHT)
    assert robot.later().ask() is None
    np.testing.assert_array_equal(robot.ask(), RIGHT)
    assert len(robot.said) == 3


def test_one_silence_is_no_reason(robot):
    robot.base = lambda number: None
    assert robot.ask() is None
    robot.base = answer_with(RIGHT)
    np.testing.assert_array_equal(robot.ask(), RIGHT)
    assert robot.link.counts["missed"] == 1


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (answer_with(RIGHT, "f" * 12), "it has the cut student ffffffffffff"),
        (answer_with(RIGHT[:1]), "a tensor of float32 1x2, expected float32 2x2"),
        (answer_with(np.zeros((0, 2), np.float32), "f" * 12), "it has the cut student"),
        (answer_with(RIGHT * np.float32("nan")), "not of length 1"),
        (answer_with(RIGHT * 1e30), "not of length 1"),
        (answer_with(RIGHT.astype(np.uint8)), "a tensor of uint8 2x2"),
    ],
    ids=["other student", "one image", "base refuses", "NaN", "huge", "integers"],
)
def test_a_wrong_answer_is_refused_at_once_and_said_once(robot, base, reason):
    robot.base = base
    assert robot.ask() is None
    assert not robot.link.using
    assert robot.link.counts["refused"] == 1
    assert reason in robot.said[1]
    assert robot.later().ask() is None  # and as an answer to a probe
    assert robot.link.counts["refused"] == 2
    assert len(robot.said) == 2


def test_late_and_repeated_answers_are_dropped(robot):
    robot.base = lambda number: None
    assert robot.ask() is None
    robot.link.receive(answer_with(RIGHT)(robot.sent[-1]))
    right, wrong = answer_with(RIGHT), answer_with(WRONG)
    robot.base = lambda number: robot.link.receive(right(number)) or wrong(number)
    np.testing.assert_array_equal(robot.ask(), RIGHT)
    assert robot.link.counts["late"] == 2


def test_what_is_no_answer_changes_nothing_and_is_said_once(robot):
    for cdr in (b"", b"\0\1\0\0", pack(HERE, MANIFEST.split_id, 1, RIGHT)[:40], pack(HERE, "zz", 1, RIGHT)):
        robot.link.receive(cdr)
    np.testing.assert_array_equal(robot.ask(), RIGHT)
    assert robot.link.counts["refused"] == 4
    assert len(robot.said) == 2


def test_a_base_station_that_computes_otherwise_than_the_robot_is_never_used():
    robot = Robot()
    robot.base = answer_with(WRONG)
    for _ in range(3):
        assert robot.later().ask() is None
    assert not robot.link.using
    assert robot.link.counts["refused"] == 3
    assert robot.said == [
        "the robot computes alone: the base station is refused: it answers otherwise than the robot (cosine 0.0000, at "
        "least 0.999 is needed)"
    ]


def test_one_that_begins_to_compute_otherwise_is_found_out_by_a_probe(robot):
    robot.base, robot.checks = answer_with(WRONG), True
    assert robot.ask() is None  # the robot's own answer counts
    assert not robot.link.using
    assert "it answers otherwise than the robot" in robot.said[1]


def test_probes_while_it_is_used_change_nothing_where_it_is_right_or_silent(robot):
    robot.checks = True
    assert [robot.ask(), robot.ask()] == [None, None]
    robot.base = lambda number: None
    assert [robot.ask(), robot.ask()] == [None, None]
    robot.base, robot.checks = answer_with(RIGHT), False
    np.testing.assert_array_equal(robot.ask(), RIGHT)
    assert len(robot.said) == 1
    assert robot.link.counts["missed"] == 0


def test_an_answer_to_a_probe_that_comes_after_the_robots_own_counts_as_well():
    robot = Robot()
    assert robot.ask() is None
    robot.link.receive(answer_with(RIGHT)(robot.sent[-1]))
    assert robot.link.using


def test_a_wait_ends_at_once_when_someone_hurries_and_that_is_no_reason_to_go_on_alone(robot):
    for _ in range(3):
        robot.base = lambda number: robot.link.hurry()
        begun_s = time.monotonic()
        assert robot.link.ask(FEATURES, 10.0, lambda features: OWN) is OWN
        assert time.monotonic() - begun_s < 5.0
    assert robot.link.using
    assert robot.link.counts["missed"] == 3


def test_at_rest_nobody_is_waited_for_until_a_probe_is_answered_again(robot):
    robot.base = lambda number: robot.link.rest()
    assert robot.link.ask(FEATURES, 10.0, lambda features: OWN) is OWN
    assert not robot.link.using
    assert "no answer from the base station yet" in robot.link.state
    robot.base = answer_with(RIGHT)
    assert robot.later().ask() is None
    np.testing.assert_array_equal(robot.ask(), RIGHT)


def test_robots_do_not_share_numbers_even_where_their_clocks_agree():
    numbers = set()
    for robot in [Robot() for _ in range(8)]:
        robot.ask()
        numbers |= set(range(robot.sent[0] - 1000, robot.sent[0] + 1000))
    assert len(numbers) == 16_000


def test_the_state_tells_the_newest_reason_though_it_is_said_once(robot):
    for base, reason in ((answer_with(RIGHT, "f" * 12), "it has the cut student"), (answer_with(WRONG), "otherwise")):
        robot.base = base
        assert robot.later().ask() is None
        assert reason in robot.link.state
    assert len(robot.said) == 2


def test_a_base_station_that_answers_too_late_is_not_waited_for():
    robot = Robot()
    robot.base, robot.base_takes_s = answer_with(RIGHT), 0.05
    for _ in range(3):
        assert robot.later().ask() is None
    assert not robot.link.using
    assert robot.said == ["the robot computes alone: it answers after 50 ms, 20 ms are allowed"]


def test_one_that_leaves_is_not_waited_for(robot):
    robot.listens, robot.base = False, lambda number: None
    assert robot.ask() is None
    assert not robot.link.using
    assert robot.link.counts["missed"] == 0
    assert robot.said[1:] == ["the robot computes alone: no base station listens"]


def test_every_header_that_is_read_can_be_sent_back(robot):
    cdr = bytearray(pack(HERE, MANIFEST.split_id, 1, RIGHT))
    struct.pack_into("<iI", cdr, 4, 2**31 - 1, 10**9 - 1)  # the latest stamp that there is
    header, label, _ = unpack(bytes(cdr))
    assert unpack(pack(header, MANIFEST.split_id, label.number, RIGHT))[:2] == (header, label)
    struct.pack_into("<I", cdr, 8, 2**32 - 1)
    with pytest.raises(UserError, match="a stamp of 4294967295 ns beside its seconds"):
        unpack(bytes(cdr))
