"""The classifier's pieces that need no graph: the gate, the worker's account, the messages."""

import importlib
import json
import sys
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from edgevl.msg import SceneClass
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from edgevl_core.classify.classifier import Scene
from edgevl_core.classify.gate import Gate, RateLimit
from edgevl_core.pairing.frames import Frame, Received
from edgevl_ros.classify.messages import heading_of, to_classification, to_scene_class, vision_types
from edgevl_ros.node.worker import NewestWorker, QueueWorker

pytestmark = pytest.mark.unit

# -- the gate --------------------------------------------------------------------------------------------


@given(st.floats(0.1, 100), st.lists(st.floats(0, 1), max_size=200))
def test_no_rate_is_exceeded(max_rate_hz, gaps_s):
    limit = RateLimit(max_rate_hz)
    times = np.cumsum(gaps_s)
    admitted = [time for time in times if limit.admits(time)]
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first <= (admitted[last] - admitted[first]) * max_rate_hz + 1 + 1e-6


@given(st.integers(1, 60), st.lists(st.floats(-0.45, 0.45), min_size=2, max_size=100))
def test_a_stream_as_fast_as_the_limit_passes_whole_though_it_jitters(rate_hz, jitter):
    jitter[0] = 0.0
    limit = RateLimit(rate_hz)
    assert all(limit.admits((number + offset) / rate_hz) for number, offset in enumerate(jitter))


def test_a_faster_stream_is_thinned_to_the_limit():
    limit = RateLimit(5.0)
    assert sum(limit.admits(number / 30) for number in range(300)) in (50, 51)


def test_no_limit_lets_all_through():
    limit = RateLimit(0.0)
    assert all(limit.admits(1.0) for _ in range(100))


def test_the_gate_counts_what_it_turns_away():
    gate = Gate(1.0)
    assert not gate.admits(0.0, wanted=False)
    assert gate.admits(0.1, wanted=True)  # what nobody wanted has not used up the rate
    assert not gate.admits(0.2, wanted=True)
    assert gate.counts == {"idle": 1, "rate_limited": 1}


# -- the worker ------------------------------------------------------------------------------------------


def test_the_worker_accounts_for_every_item_at_any_moment():
    entered, go_on, errors = threading.Event(), threading.Event(), []

    def process(item):
        entered.set()
        go_on.wait(10)
        if item == 4:
            raise RuntimeError("four")
        return "answered"

    worker = NewestWorker(process, errors.append, ("answered",))
    worker.offer(0)
    entered.wait(10)
    for item in range(1, 5):
        worker.offer(item)
        counts = worker.counts()
        assert sum(counts.values()) == item + 1
        assert counts["in_progress"] == 2
    go_on.set()
    worker.close()
    assert worker.counts() == {"answered": 1, "superseded": 3, "failed": 1, "in_progress": 0}
    assert [str(error) for error in errors] == ["four"]


def test_a_queue_holds_no_more_than_its_bytes():
    go_on, done = threading.Event(), []

    def job(number):
        go_on.wait(10)
        done.append(number)

    worker = QueueWorker(None, done.append, max_pending=100, max_bytes=10)
    sizes = (4, 4, 4, 0, 2, 1)
    taken = [worker.offer(partial(job, number), size) for number, size in enumerate(sizes)]
    assert taken == [True, True, False, True, True, False]
    go_on.set()
    worker.close()
    assert done == [0, 1, 3, 4]


def test_a_message_larger_than_the_queue_may_wait_alone():
    go_on = threading.Event()
    worker = QueueWorker(None, lambda error: None, max_pending=100, max_bytes=10)
    assert worker.offer(partial(go_on.wait, 10), 50)
    assert not worker.offer(partial(go_on.wait, 10), 1)
    go_on.set()
    worker.close()


# -- messages --------------------------------------------------------------------------------------------


@pytest.fixture
def answer() -> SceneClass:
    scores = (0.6, 0.3, 0.1)
    scene = Scene("hall", 0.3, True, ("Küche", "hall", "bath"), scores, "rgbd", np.zeros(2, np.float32))
    image = Image()
    image.header.frame_id, image.header.stamp.sec = "camera", 7
    return to_scene_class(scene, heading_of(Frame(Received(12_000_000_034, serialize_message(image), 0.0), None)), 2)


def test_an_answer_carries_its_image_stamp_and_the_best_labels(answer):
    assert (answer.header.stamp.sec, answer.header.stamp.nanosec) == (12, 34)
    assert answer.header.frame_id == "camera"
    assert (answer.label, answer.known, answer.modality) == ("hall", True, "rgbd")
    assert list(answer.labels) == ["Küche", "hall"]
    assert list(answer.scores) == pytest.approx([0.6, 0.3])
    assert answer.confidence == pytest.approx(0.3)


# ROS 2's own definitions, ros-perception/vision_msgs 4.x.
VISION = {
    "ObjectHypothesis": "string class_id\nfloat64 score\n",
    "Classification": "std_msgs/Header header\nObjectHypothesis[] results\n",
}


@pytest.fixture(scope="module")
def vision_msgs(tmp_path_factory: pytest.TempPathFactory):
    """The classes that rosidl makes of vision_msgs, their checks of fields included, where it is not installed."""
    if vision_types() is not None:
        return vision_types()
    from rosidl_adapter.msg import convert_msg_to_idl
    from rosidl_generator_py import generate_py
    from rosidl_generator_type_description import generate_type_hash

    root = tmp_path_factory.mktemp("vision")
    idl, python = root / "idl/vision_msgs", root / "python/vision_msgs"
    (root / "msg").mkdir()
    (idl / "msg").mkdir(parents=True)
    (python / "msg").mkdir(parents=True)
    for name, text in VISION.items():
        (root / f"msg/{name}.msg").write_text(text)
        convert_msg_to_idl(root, "vision_msgs", Path(f"msg/{name}.msg"), idl / "msg")
    prefix = Path(sys.prefix) / "share"
    names = [f"msg/{name}.idl" for name in VISION]
    arguments = {
        "package_name": "vision_msgs",
        "idl_tuples": [f"{idl}:{name}" for name in names],
        "ros_interface_dependencies": [],
        "target_dependencies": [],
        "ros_interface_files": [str(root / f"msg/{name}.msg") for name in VISION],
        "type_description_tuples": [f"{name}:{(idl / name).with_suffix('.json')}" for name in names],
        "include_paths": [f"{package}:{prefix / package}" for package in ("std_msgs", "builtin_interfaces")],
    }

    def argument_file(output: Path, generator: str) -> str:
        path = root / f"{generator}.json"
        template_dir = str(prefix / generator / "resource")
        path.write_text(json.dumps({**arguments, "output_dir": str(output), "template_dir": template_dir}))
        return str(path)

    generate_type_hash(argument_file(idl, "rosidl_generator_type_description"))
    generate_py(argument_file(python, "rosidl_generator_py"), ["rosidl_typesupport_c"])
    (python / "__init__.py").touch()
    sys.path.insert(0, str(root / "python"))
    try:
        module = importlib.import_module("vision_msgs.msg")
    finally:
        sys.path.remove(str(root / "python"))
    yield module.Classification, module.ObjectHypothesis
    for name in [name for name in sys.modules if name.split(".")[0] == "vision_msgs"]:
        del sys.modules[name]


def test_vision_msgs_get_the_same_labels_and_scores(vision_msgs, answer, monkeypatch):
    monkeypatch.setenv("ROS_PYTHON_CHECK_FIELDS", "1")
    message = to_classification(answer, *vision_msgs)
    assert type(message) is vision_msgs[0]
    assert message.header == answer.header
    assert Counter((result.class_id, result.score) for result in message.results) == Counter(
        zip(answer.labels, map(float, answer.scores))
    )
    with pytest.raises((AssertionError, AttributeError)):
        vision_msgs[1](label="hall")  # the fields are checked: a wrong one would not have passed above
