"""The disk under a log: too small, taken away, renamed; and stamps that no bag can hold."""

import shutil
import subprocess
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import LoggerStatus
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from edgevl_core.pairlog import types
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_ros.node.qos import stream_qos
from tests.ros import harness
from tests.ros.harness import Graph

pytestmark = pytest.mark.ros
PERIOD_NS = 50_000_000
SIZE = (160, 120)


class Camera:
    """Publishes pairs of noise to pair_logger and waits until it has them."""

    def __init__(self, graph: Graph, directory: Path, **parameters: object) -> None:
        self.graph = graph
        self.stats = graph.watch(DiagnosticStatus, "pair_logger/stats")
        self.status = graph.watch(LoggerStatus, "pair_logger/status")
        common = {"directory": str(directory), "min_free_mb": 0.0, **harness.RELIABLE}
        self.node = graph.start("pair_logger", **{**common, "camera_info_topic": "", **parameters})
        qos = stream_qos("reliable", 100)
        topics = (harness.RGB_TOPIC, harness.DEPTH_TOPIC)
        self.publishers = [graph.probe.create_publisher(Image, topic, qos) for topic in topics]
        self.sent = 0
        self.stamps: list[int] = []
        graph.until(lambda: self.values().get("publishers_depth") == "1", "the logger to hear")
        graph.until(lambda: all(p.get_subscription_count() == 1 for p in self.publishers), "the logger to be found")

    def values(self) -> dict[str, str]:
        return {} if self.stats() is None else {pair.key: pair.value for pair in self.stats().values}

    def drive(self, pairs: int, first_ns: int | None = None) -> None:
        """Send so many pairs, and wait until the logger has received them."""
        rng = np.random.default_rng(self.sent)
        for k in range(pairs):
            stamp_ns = harness.START_NS + self.sent * PERIOD_NS if first_ns is None else first_ns + k * PERIOD_NS
            rgb = types.image_msg(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8), "rgb8", stamp_ns, "c")
            depth = types.image_msg(rng.integers(300, 6000, SIZE[::-1], np.uint16), "16UC1", stamp_ns, "c")
            for publisher, message in zip(self.publishers, (rgb, depth)):
                publisher.publish(bytes(types.serialize(message)))
            self.sent += 1
            self.graph.until(lambda: True, "a moment")
        self.graph.until(lambda: self.values()["received_rgb"] == str(self.sent), "all RGB")
        self.graph.until(lambda: self.values()["received_depth"] == str(self.sent), "all depth")

    def stop(self) -> None:
        assert self.graph.call(Trigger, "pair_logger/stop").success
        self.graph.until(lambda: self.status().state == "stopped", "the log to be stopped")
        self.graph.until(lambda: self.values()["logger"] == "stopped", "the diagnostics to say it")

    def accounted(self) -> int:
        """Pairs that were kept or dropped for a reason."""
        dropped = dict(zip(self.status().dropped_reasons, self.status().dropped_counts))
        return self.status().pairs_kept + sum(dropped.values())


def readable(log: Path) -> int:
    return sum(1 for _ in read_pairs(log))


def until_failed(camera: Camera) -> None:
    camera.graph.until(lambda: camera.status() and camera.status().state == "failed", "the log to fail")
    camera.graph.until(lambda: camera.values().get("logger") == "failed", "the diagnostics to say it")
    camera.graph.until(lambda: "last_error" in camera.values(), "the diagnostics to say why")


def still_warns(camera: Camera) -> None:
    """After the ten seconds that any error is shown."""
    camera.graph.until(lambda: camera.stats().level == DiagnosticStatus.WARN, "the warning that stays")
    assert "writing failed" in camera.stats().message


@pytest.fixture
def small_files(files_of_at_most):
    """No file of the nodes may exceed 1.5 MB."""
    with files_of_at_most(1_500_000):
        yield


def test_a_write_that_fails_ends_the_log_where_it_is_whole(graph, tmp_path, small_files):
    camera = Camera(graph, tmp_path, name="log", compression="none")
    camera.drive(40)
    until_failed(camera)
    kept = camera.status().pairs_kept
    assert 5 < kept == readable(tmp_path / "log")
    with BagReader(tmp_path / "log") as reader:
        assert reader.losses == []
    assert "File too large" in camera.values()["last_error"]
    still_warns(camera)
    # What came afterwards belongs to no log.
    dropped = dict(zip(camera.status().dropped_reasons, camera.status().dropped_counts))
    assert dropped["not written"] > 0
    assert graph.call(Trigger, "pair_logger/stop").message == "was not logging"
    assert not graph.call(Trigger, "pair_logger/start").success  # the name is taken
    assert camera.node.stop() == 0
    assert "Traceback" not in camera.node.output()


def test_the_next_start_begins_a_whole_log_again(graph, tmp_path, small_files):
    camera = Camera(graph, tmp_path, compression="none")
    camera.drive(30)
    until_failed(camera)
    failed = Path(camera.status().path)
    assert graph.call(Trigger, "pair_logger/start").success
    camera.drive(5)
    camera.stop()
    assert camera.status().pairs_kept == 5 == readable(Path(camera.status().path))
    assert Path(camera.status().path) != failed
    graph.until(lambda: "failed" not in camera.stats().message, "the diagnostics to forget it")
    assert camera.values()["logger"] == "stopped"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 6 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "edgevl-test", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a disk of its own")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk(graph, small_disk):
    # The writer leaves two chunks free, and looks every few megabytes: meanwhile somebody else fills the disk.
    camera = Camera(graph, small_disk, name="log", compression="none", max_segment_mb=1.0)
    camera.drive(3)
    graph.until(lambda: camera.status() and camera.status().pairs_kept == 3, "the first pairs to be on the disk")
    with (small_disk / "other").open("wb", buffering=0) as other:
        written = 0
        try:
            while True:
                written += other.write(bytes(4096))
        except OSError:
            assert written > 0
    camera.drive(30)
    graph.until(lambda: camera.status() and camera.status().state in ("failed", "stopped"), "the log to end")
    graph.until(lambda: camera.values().get("logger") == camera.status().state, "the diagnostics")
    assert camera.status().pairs_kept == readable(small_disk / "log") >= 3
    graph.until(lambda: camera.stats().level == DiagnosticStatus.WARN, "the warning that stays")
    # Not even a log can be begun now; nothing of the try stays behind.
    (small_disk / "log").rename(small_disk / "kept")
    assert not graph.call(Trigger, "pair_logger/start").success
    assert not (small_disk / "log").exists()
    (small_disk / "other").unlink()
    shutil.rmtree(small_disk / "kept")
    assert graph.call(Trigger, "pair_logger/start").success
    graph.until(lambda: "failed" not in camera.stats().message, "the diagnostics to forget it")
    assert "Traceback" not in camera.node.output()


def test_started_on_a_full_disk_the_node_lives_and_says_so(graph, small_disk):
    (small_disk / "other").write_bytes(bytes((6 << 20) - 8192))
    stats = graph.watch(DiagnosticStatus, "pair_logger/stats")
    node = graph.start("pair_logger", directory=str(small_disk), name="log", min_free_mb=0.0)
    graph.until(lambda: stats() and stats().level == DiagnosticStatus.WARN, "a warning that stays")
    assert "free" in stats().message
    assert not (small_disk / "log").exists()
    (small_disk / "other").unlink()
    assert graph.call(Trigger, "pair_logger/start").success
    assert node.stop() == 0
    assert "Traceback" not in node.output()


def test_wrong_stamps_cost_no_other_pair(graph, tmp_path):
    """Negative ones, a first pair from 2038, and a clock that is set back by 0.525 s."""
    camera = Camera(graph, tmp_path, name="log")
    camera.drive(3, first_ns=-5_000_000_000)
    camera.drive(1, first_ns=(2**31 - 1) * 1_000_000_000)
    camera.drive(20, first_ns=harness.START_NS)
    camera.drive(20, first_ns=harness.START_NS + 20 * PERIOD_NS - 525_000_000)
    camera.stop()
    assert camera.status().pairs_kept == 40 == readable(tmp_path / "log")
    dropped = dict(zip(camera.status().dropped_reasons, camera.status().dropped_counts))
    assert dropped == {
        f"{name} {why}": n for name in ("rgb", "depth") for why, n in (("negative stamp", 3), ("outlier", 1))
    }
    assert (camera.values()["errors"], camera.values()["clock_jumps"]) == ("0", "1")
    assert camera.values()["last_clock_jump"].startswith("the stamps go back by 0.5 s")


def test_a_log_that_is_renamed_while_it_is_written_goes_on(graph, tmp_path):
    camera = Camera(graph, tmp_path, name="log", sync_interval_s=0.2, max_segment_mb=1.0, compression="none")
    camera.drive(10)
    (tmp_path / "log").rename(tmp_path / "holiday")
    camera.drive(30)
    graph.until(lambda: camera.status() and camera.status().path.endswith("/holiday"), "the new name")
    camera.stop()
    assert camera.status().pairs_kept == 40 == readable(tmp_path / "holiday")
    with BagReader(tmp_path / "holiday") as reader:
        assert reader.losses == []
    assert len(list((tmp_path / "holiday").glob("log_*.mcap"))) > 1
    assert not (tmp_path / "log").exists()
    assert camera.values()["errors"] == "0"


@pytest.mark.parametrize("what", ["logs", "logs/log"])
def test_a_directory_that_is_removed_is_said_and_the_node_goes_on(graph, tmp_path, what):
    camera = Camera(graph, tmp_path / "logs", name="log", sync_interval_s=0.2)
    camera.drive(10)
    # Until the next picture no file comes or goes, which rmtree would stumble over.
    assert graph.call(Trigger, "pair_logger/flush").success
    shutil.rmtree(tmp_path / what)
    camera.drive(10)
    until_failed(camera)
    assert camera.status().pairs_kept == 0
    assert "removed" in camera.values()["last_error"]
    still_warns(camera)
    seen = deque(maxlen=2)
    graph.subscribe(LoggerStatus, "pair_logger/status", lambda status: seen.append(status))
    graph.until(lambda: len(seen) == 2, "the status to go on")
    assert graph.call(Trigger, "pair_logger/start").success
    camera.drive(5)
    camera.stop()
    assert camera.status().pairs_kept == 5 == readable(tmp_path / "logs/log")
    assert "Traceback" not in camera.node.output()
