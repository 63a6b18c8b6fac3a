"""Nodes that know from transforms where the camera was: tf2's topics over DDS, of a robot that publishes no pose."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import Embedding, RoomMap
from edgevl.srv import RoomAt
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.room_map.track import read_track
from edgevl_ros.node.images import cv2_to_imgmsg
from edgevl_ros.node.qos import LATCHED, stream_qos
from edgevl_ros.node.stamps import to_time
from edgevl_ros.node.transforms import transform_type
from tests.core.room_map.homes import two_rooms
from tests.core.tiny import colour_bank, write_colour_bundle
from tests.paths import ROOT
from tests.ros import harness
from tests.ros.room_mapping import NODE, embedding_message, grid_message

pytestmark = pytest.mark.ros
OPTICAL = (-0.5, 0.5, -0.5, 0.5)  # x ahead, y left, z up -> z ahead, x right, y down (REP 103)
MOUNTED_M, CORRECTION_M = 0.2, (0.4, -0.3)  # of the camera ahead of the robot; of odom on the map
FROM_TRANSFORMS = {"pose_topic": "/tf", "pose_type": "TFMessage", **harness.RELIABLE}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package tf2_msgs."""
    folder = tmp_path_factory.mktemp("tf2")
    command = [sys.executable, str(ROOT / "tests/ros/tf2_messages.py"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # edgevl_build is no part of an installation
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Robot(NamedTuple):
    """Publishes what a robot's localisation and its description do."""

    moving: Any
    fixed: tuple[Any, ...]  # base, mast and camera are described by a publisher each
    kind: Callable[..., Any]

    def mount(self) -> None:
        level = (0.0, 0.0, 0.0, 1.0)
        steps = [
            ("base_link", "mast", (MOUNTED_M, 0), level),
            ("mast", "camera", (0, 0), level),
            ("camera", harness.FRAME_ID, (0, 0), OPTICAL),
        ]
        for publisher, (parent, child, at, turn) in zip(self.fixed, steps, strict=True):
            publisher.publish(self.kind(transforms=[_transform(parent, child, 0, at, turn)]))

    def stand(self, stamp_ns: int, x: float, y: float, *, located: bool = True) -> None:
        """The camera is at x, y and looks along x. The correction is dated ahead, as by AMCL, or left out."""
        at = (x - MOUNTED_M - CORRECTION_M[0], y - CORRECTION_M[1])
        level = (0.0, 0.0, 0.0, 1.0)
        correction = [_transform("map", "odom", stamp_ns + 300_000_000, CORRECTION_M, level)] if located else []
        driven = _transform("odom", "base_link", stamp_ns, at, level)
        self.moving.publish(self.kind(transforms=[*correction, driven]))


def _transform(
    parent: str, child: str, stamp_ns: int, at: tuple[float, float], turn: tuple[float, ...]
) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), parent
    message.transform.translation.x, message.transform.translation.y = map(float, at)
    rotation = message.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = turn
    return message


@pytest.fixture
def robot(graph: harness.Graph, built: Path, monkeypatch: pytest.MonkeyPatch) -> Robot:
    monkeypatch.syspath_prepend(str(built))
    monkeypatch.setenv("PYTHONPATH", f"{built}:{ROOT}")
    kind = transform_type("/tf")
    fixed = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    moving = graph.probe.create_publisher(kind, "/tf", stream_qos("reliable", 100))
    return Robot(moving, tuple(graph.probe.create_publisher(kind, "/tf_static", fixed) for _ in range(3)), kind)


def test_rooms_are_placed_by_the_transforms_to_the_camera(graph, robot, tmp_path):
    write_colour_bundle(tmp_path / "bundle")
    bundle_id = load_bundle(tmp_path / "bundle").manifest.bundle_id
    red, _, blue = colour_bank().vectors
    status, stats = graph.watch(DiagnosticStatus, f"{NODE}/stats"), graph.watch_stats(f"{NODE}/stats")
    rooms = graph.watch(RoomMap, f"{NODE}/rooms")
    kept = {"directory": str(tmp_path / "kept"), "publish_period_s": 0.2, "wait_s": 2.0}
    graph.start(NODE, bundle=str(tmp_path / "bundle"), depth_topic="", **kept, **FROM_TRANSFORMS)
    seen = graph.probe.create_publisher(Embedding, "scene_classifier/embedding", stream_qos("reliable", 100))
    maps = graph.probe.create_publisher(OccupancyGrid, "map", LATCHED)
    for name, publisher in (("pose", robot.moving), ("embedding", seen)):
        graph.wait_for_hearers(stats, f"publishers_{name}")
        graph.until(lambda each=publisher: each.get_subscription_count() == 1, f"{name} to be heard")
    maps.publish(grid_message(two_rooms()))
    graph.until(lambda: stats()["maps_received"] == "1", "the map")

    def look(number: int, vector: np.ndarray, x: float) -> None:
        stamp_ns = harness.START_NS + number * 500_000_000
        seen.publish(embedding_message(vector, bundle_id, str(tmp_path / "bundle"), stamp_ns))
        robot.stand(stamp_ns, x, 1.7)

    look(0, red, 2.0)
    graph.until(lambda: stats().get("dropped no pose") == "1", "the first frame to be given up")
    look(1, red, 2.0)
    reason = f"no transforms lead from map to the camera's frame {harness.FRAME_ID}"
    graph.until(lambda: reason in status().message, "the reason")
    graph.until(lambda: stats().get("dropped no pose") == "2", "the second frame to be given up")

    robot.mount()
    later_ns = count(harness.START_NS + 600_000_000, 1_000_000)  # a pose tells that the chain to the camera is known

    def chain_is_known() -> bool:
        robot.stand(next(later_ns), 2.0, 1.7)
        return reason not in status().message

    graph.until(chain_is_known, "the reason to be gone")
    for number in range(2, 12):
        look(number, (red, blue)[number % 2], (1.0, 5.5)[number % 2] + 0.2 * number)
    graph.until(lambda: int(stats()["used"]) >= 9, "the frames to be placed")  # the first may wait for its correction
    graph.until(lambda: sorted(room.label for room in rooms().rooms) == ["blue", "red"], "both rooms")
    assert graph.call(RoomAt, f"{NODE}/room_at", x=2.0, y=1.7).room.label == "red"
    assert graph.call(RoomAt, f"{NODE}/room_at", x=6.5, y=1.7).room.label == "blue"
    assert rooms().header.frame_id == "map"


def start_log(graph: harness.Graph, robot: Robot, folder: Path) -> Callable[[int, str], None]:
    """A logger that hears everything; what publishes a pair with this stamp and frame_id."""
    stats = graph.watch_stats("pair_logger/stats")
    robot.mount()  # what is described before the node starts reaches it all at once
    graph.start("pair_logger", directory=str(folder), name="log", min_free_mb=0.0, **FROM_TRANSFORMS)
    images = {
        topic: graph.probe.create_publisher(Image, topic, stream_qos("reliable", 100))
        for topic in (harness.RGB_TOPIC, harness.DEPTH_TOPIC)
    }
    for name in ("pose", "rgb", "depth"):
        graph.wait_for_hearers(stats, f"publishers_{name}")
    for publisher in (robot.moving, *robot.fixed, *images.values()):
        graph.until(lambda each=publisher: each.get_subscription_count() == 1, "everything to be heard")
    pixels = {
        harness.RGB_TOPIC: (np.full((48, 64, 3), 90, np.uint8), "rgb8"),
        harness.DEPTH_TOPIC: (np.full((48, 64), 1500, np.uint16), "16UC1"),
    }

    def take(stamp_ns: int, frame_id: str = harness.FRAME_ID) -> None:
        for topic, publisher in images.items():
            message = cv2_to_imgmsg(*pixels[topic])
            message.header.stamp, message.header.frame_id = to_time(stamp_ns), frame_id
            publisher.publish(message)

    return take


def test_a_log_keeps_the_cameras_pose_that_transforms_tell(graph, robot, tmp_path):
    stats = graph.watch_stats("pair_logger/stats")
    take = start_log(graph, robot, tmp_path)
    stamps = [harness.START_NS + number * 200_000_000 for number in range(10)]
    for number, stamp_ns in enumerate(stamps):
        take(stamp_ns)
        # Only who knows the camera's frame can follow the chain to it.
        graph.until(lambda count=number + 1: stats().get("received_rgb") == str(count), f"picture {number}")
        robot.stand(stamp_ns, 1.0 + 0.1 * number, 2.0)
    graph.until(lambda: stats()["received_pose"] == stats()["received_depth"] == "10", "all transforms and pictures")
    assert graph.call(Trigger, "pair_logger/stop").success
    track = read_track(tmp_path / "log")
    assert (track.topic, track.frame_id) == ("camera_pose", "map")
    for number, stamp_ns in list(enumerate(stamps))[2:]:  # the correction of the first two is not known on both sides
        stand = track.at(stamp_ns)
        assert stand is not None
        np.testing.assert_allclose([stand.x, stand.y], [1.0 + 0.1 * number, 2.0], atol=1e-6)
        assert math.isclose(stand.yaw, 0.0, abs_tol=1e-6)


@pytest.mark.parametrize(
    ("frame_id", "every", "said"),
    [
        ("", 1, "/tf: no pose of the camera: its images have no frame_id; set it in the camera's driver"),
        (harness.FRAME_ID, 15, "/tf: map -> odom comes only every 1.5 s: once a second is needed"),
        (harness.FRAME_ID, 0, "/tf: transforms come, but no pose of the camera for "),
    ],
)
def test_a_log_that_gets_no_pose_from_transforms_that_come_says_why(graph, robot, tmp_path, frame_id, every, said):
    """``every``: so many transforms come for one of map -> odom; 0: it came twice, and then never again."""
    status = graph.watch(DiagnosticStatus, "pair_logger/stats")
    take = start_log(graph, robot, tmp_path)
    numbers = count()

    def is_said() -> bool:
        number = next(numbers)
        stamp_ns = harness.START_NS + number * 100_000_000
        take(stamp_ns, frame_id)
        robot.stand(stamp_ns, 1.0, 2.0, located=number % every == 0 if every else number < 2)
        return said in status().message

    graph.until(is_said, said)
    assert status().level == DiagnosticStatus.WARN
    if not every:
        assert " s older than odom -> base_link" in status().message


def test_a_missing_package_of_transforms_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", None)
    with pytest.raises(UserError, match=r"needs the package tf2_msgs, which is not installed: apt install"):
        transform_type("/tf")
