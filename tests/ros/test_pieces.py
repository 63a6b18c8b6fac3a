"""The nodes' pieces that need no graph: stamps, pacing, the child's command, counts, images."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from edgevl_core.adaptation import child, records
from edgevl_core.base.counters import StreamCount
from edgevl_core.base.errors import UserError
from edgevl_core.base.recent import Recent
from edgevl_core.camera.encodings import layout
from edgevl_core.pairlog import cdr_header
from edgevl_core.pairlog.pair_log import Companions
from edgevl_core.pairlog.playback import Pace, play
from edgevl_ros.node.images import cv2_to_imgmsg, cv_bridge, imgmsg_to_cv2, to_depth, to_rgb
from edgevl_ros.node.streams import view
from edgevl_ros.nodes.label_overlay import Waiting

pytestmark = pytest.mark.unit
MS = 1_000_000


# -- stamps ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["", "camera_optical_frame", "café"])
@pytest.mark.parametrize("kind", [Image, CompressedImage])
def test_stamp_and_frame_are_read_from_the_bytes(kind, frame):
    message = kind()
    message.header.stamp.sec, message.header.stamp.nanosec = 1_700_000_000, 987_654_321
    message.header.frame_id = frame
    cdr = serialize_message(message)
    assert cdr_header.stamp_ns(cdr) == 1_700_000_000_987_654_321
    assert cdr_header.frame_id(cdr) == frame


def test_with_stamp_changes_the_stamp_only():
    message = cv2_to_imgmsg(np.arange(60, dtype=np.uint8).reshape(4, 5, 3), "rgb8")
    message.header.frame_id = "camera"
    changed = deserialize_message(cdr_header.with_stamp(serialize_message(message), 12_000_000_345), Image)
    assert (changed.header.stamp.sec, changed.header.stamp.nanosec) == (12, 345)
    changed.header.stamp = message.header.stamp
    assert changed == message


def test_a_message_too_short_for_a_header_is_refused():
    with pytest.raises(ValueError, match="too short"):
        cdr_header.stamp_ns(b"\0\1\0\0")


def test_big_endian_bytes_are_understood():
    cdr = bytes([0, 0, 0, 0]) + (5).to_bytes(4, "big") + (7).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"a\0"
    assert cdr_header.stamp_ns(cdr) == 5_000_000_007
    assert cdr_header.frame_id(cdr) == "a"
    assert cdr_header.stamp_ns(cdr_header.with_stamp(cdr, 6_000_000_008)) == 6_000_000_008


# -- playback --------------------------------------------------------------------------------------------


class Message:
    def __init__(self, stamp_ns):
        self.stamp_ns = stamp_ns


def test_play_keeps_the_recorded_times():
    messages = [Message(5_000_000_000 + 20 * MS * k) for k in range(10)]
    times = []
    start = time.monotonic()
    assert play(messages, lambda m: times.append(time.monotonic() - start), Pace(2.0), threading.Event())
    # Never early; late only by what the machine's load costs.
    assert all(actual >= 0.010 * k - 1e-4 for k, actual in enumerate(times))
    assert len(times) == 10


def test_play_stops_at_once():
    stop = threading.Event()
    sent = []

    def publish(message):
        sent.append(message)
        stop.set()

    assert not play([Message(0), Message(10**12)], publish, Pace(1.0), stop)
    assert len(sent) == 1


def test_pause_holds_messages_and_shifts_the_rest():
    pace, stop, sent = Pace(1.0, paused=True), threading.Event(), []
    player = threading.Thread(target=play, args=([Message(0), Message(50 * MS)], sent.append, pace, stop))
    player.start()
    assert not sent
    assert pace.paused
    pace.resume()
    player.join(5)
    assert len(sent) == 2


# -- companions and waiting ------------------------------------------------------------------------------


def test_companions_meet_kept_stamps_in_either_order():
    written = []
    companions = Companions(lambda cdr, stamp: written.append((stamp, cdr)))
    companions.arrived(1, b"one")
    companions.kept(1)
    companions.kept(2)
    companions.arrived(2, b"two")
    companions.arrived(3, b"never asked for")
    assert written == [(1, b"one"), (2, b"two")]


def test_companions_forget():
    companions = Companions(lambda cdr, stamp: None)
    for k in range(1000):
        companions.arrived(k * 100 * MS, b"")
        companions.kept(k * 100 * MS + 1)
    assert len(companions._arrived) < 30
    assert len(companions._wanted) < 30


def test_waiting_gives_up_the_oldest_and_finds_the_nearest():
    waiting = Waiting(2)
    for stamp in (10, 20, 30):
        waiting.put(stamp, stamp)
    assert list(waiting) == [20, 30]
    assert waiting.given_up == 1
    assert waiting.nearest(27, 3) == 30
    assert waiting.nearest(24, 3) is None


# -- the adaptation's child ------------------------------------------------------------------------------


def test_environment_loses_what_the_ros_wheels_added():
    own = f"{sys.prefix}/lib"
    path = os.pathsep.join([own, "/opt/cuda/lib", f"{sys.prefix}/lib/python3/site-packages/ros_x.libs"])
    environment = {"LD_LIBRARY_PATH": path, child.BOOTSTRAP_GUARD: "1", "HOME": "/home/robot"}
    assert child.clean_environment(environment) == {"LD_LIBRARY_PATH": "/opt/cuda/lib", "HOME": "/home/robot"}
    assert child.clean_environment({"LD_LIBRARY_PATH": own}) == {}


def test_adapt_arguments():
    arguments = records.adapt_arguments(["a", "b"], "T", "l.yaml", "run", "r.yaml", ["seed=1", "student=x"])
    assert arguments == [
        *("adapt", "--teacher", "T", "--labels", "l.yaml", "--out", "run"),
        *("--recipe", "r.yaml", "--set", "seed=1", "--set", "student=x", "--", "a", "b"),
    ]
    assert "--recipe" not in records.adapt_arguments(["a"], "T", "l", "run", "", [])


def test_an_executable_that_is_none_is_refused():
    with pytest.raises(UserError, match="no_such_program"):
        child.edgevl_command("no_such_program")


def test_progress_file(tmp_path):
    file = tmp_path / "status.json"
    assert records.read(records.Progress, file) is None
    file.write_text('{"state": "running", "stage": "distil", "progress": 0.5, "eta_s": 3}')
    progress = records.read(records.Progress, file)
    assert (progress.state, progress.stage, progress.progress, progress.eta_s) == (
        "running",
        "distil",
        0.5,
        3,
    )
    file.write_text('{"state": "confused"}')
    with pytest.raises(UserError, match=r"status\.json: not a progress record"):
        records.read(records.Progress, file)


# -- counts ----------------------------------------------------------------------------------------------


def test_stream_count_rates():
    count = StreamCount()
    assert count.age_s(0.0) == float("inf")
    for k in range(11):
        count.add(10, 0.1 * k)
    assert count.rate_hz(1.0) == pytest.approx(10.0)
    assert count.rate_hz(11.0) < 1.0
    assert count.age_s(2.0) == pytest.approx(1.0)
    assert (count.received, count.bytes) == (11, 110)


def test_recent_quantiles():
    recent = Recent(100)
    assert np.isnan(recent.quantile(0.5))
    for value in range(1000):
        recent.add(value)
    assert recent.quantile(0.0) == 900
    assert recent.quantile(1.0) == 999


# -- the cv_bridge seam ----------------------------------------------------------------------------------


def test_images_survive_the_way_to_a_message_and_back():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    assert np.array_equal(to_rgb(cv2_to_imgmsg(rgb, "rgb8")), rgb)
    assert np.array_equal(imgmsg_to_cv2(cv2_to_imgmsg(rgb[:, :, ::-1], "bgr8"), "rgb8"), rgb)
    depth_mm = rng.integers(1, 5000, (12, 16), dtype=np.uint16)
    depth_mm[3, 4] = 0
    assert np.array_equal(to_depth(cv2_to_imgmsg(depth_mm, "16UC1")), depth_mm)
    depth_m = to_depth(cv2_to_imgmsg(np.array([[0, np.nan, 1.5]], np.float32), "32FC1"))
    assert np.array_equal(depth_m, [[np.nan, np.nan, 1.5]], equal_nan=True)


@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", np.arange(180, dtype=np.uint8).reshape(6, 10, 3)),
        ("bgr8", np.arange(180, dtype=np.uint8).reshape(6, 10, 3)),
        ("16UC1", np.arange(60, dtype=np.uint16).reshape(6, 10)),
        ("32FC1", np.arange(60, dtype=np.float32).reshape(6, 10)),
    ],
)
def test_the_usual_encodings_are_not_copied(encoding, pixels):
    cdr = serialize_message(cv2_to_imgmsg(pixels, encoding))
    seen = imgmsg_to_cv2(view(cdr, "camera/image_raw"))
    np.testing.assert_array_equal(seen, pixels)
    assert np.shares_memory(seen, np.frombuffer(cdr, np.uint8))


class RowsOfWholePixels:
    """Reads an Image as cv_bridge of Humble, Jazzy and Rolling does: a row is int(step / pixel) pixels."""

    def imgmsg_to_cv2(self, message, desired_encoding):
        assert desired_encoding in ("passthrough", message.encoding)
        dtype, channels = layout(message.encoding)
        shape = (message.height, message.step // (dtype.itemsize * channels), channels)
        return np.ndarray(shape, dtype, message.data)[:, : message.width].squeeze()


@pytest.mark.parametrize("padding", [1, 2, 3, 16])
@pytest.mark.parametrize(("encoding", "decode"), [("rgb8", to_rgb), ("16UC1", to_depth)])
def test_padded_rows_are_read_right_with_a_cv_bridge_too(monkeypatch, encoding, decode, padding):
    monkeypatch.setattr("edgevl_ros.node.images.cv_bridge", RowsOfWholePixels)
    message, pixels = padded(encoding, padding)
    np.testing.assert_array_equal(decode(message), pixels)


def padded(encoding, padding):
    """An Image with ``padding`` bytes behind each row, and its pixels."""
    dtype, channels = layout(encoding)
    shape = (6, 10, channels) if channels > 1 else (6, 10)
    pixels = np.random.default_rng(0).integers(1, 200, shape).astype(dtype)
    rows = np.pad(pixels.view(np.uint8).reshape(6, -1), ((0, 0), (0, padding)))
    message = cv2_to_imgmsg(rows, "8UC1")
    message.encoding, message.width = encoding, 10
    return message, pixels


def test_the_ros1_leftover_is_refused(monkeypatch, tmp_path):
    installed = tmp_path / "cv_bridge-1.13.0.post0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: cv_bridge\nVersion: 1.13.0.post0\n")
    monkeypatch.syspath_prepend(tmp_path)
    cv_bridge.cache_clear()
    try:
        with pytest.raises(UserError, match="pip uninstall cv-bridge"):
            cv_bridge()
    finally:
        cv_bridge.cache_clear()


def test_the_exit_guard_needs_no_python_to_run():
    # PyDLL keeps the interpreter lock while C sleeps, as a stuck destructor does.
    stuck = (
        "import ctypes; from edgevl_ros.node.exit_guard import exit_within; "
        "exit_within(1, 7); ctypes.PyDLL(None).sleep(60)"
    )
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", stuck], check=False).returncode == 7
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("node", ["pair_logger", "adaptation_manager"])
def test_a_signal_while_a_node_is_loaded_ends_it_without_a_word(node, number):
    program = f"""
import importlib, signal
from edgevl_ros.nodes import programs
importlib.import_module = lambda name: signal.raise_signal({int(number)})
programs.{node}()
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
