"""Frames come and poses do not, or none of their moment: room_mapper says so, for its map stays empty."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from edgevl.msg import Embedding
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import OccupancyGrid

from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_ros.node.qos import LATCHED, stream_qos
from edgevl_ros.node.stamps import to_time
from tests.core.room_map.homes import two_rooms
from tests.core.tiny import colour_bank, write_colour_bundle
from tests.ros import harness
from tests.ros.room_mapping import NODE, embedding_message, grid_message

pytestmark = pytest.mark.ros
STEP_NS = 100_000_000


def place(message: Any, stamp_ns: int) -> Any:
    """A message with a pose, in the left room."""
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), "map"
    pose = message.pose.pose if isinstance(message, PoseWithCovarianceStamped) else message.pose
    pose.position.x, pose.position.y, pose.orientation.w = 2.0, 1.7, 1.0
    return message


def drive(graph: harness.Graph, folder: Path, kind: type) -> Callable[[float | None], Callable[[], None]]:
    """A mapper with its map; ``looking(offset_s)`` makes what publishes a frame at each call.

    With each goes a pose, stamped so much later; None: none.
    """
    write_colour_bundle(folder / "bundle")
    bundle_id = load_bundle(folder / "bundle").manifest.bundle_id
    stats = graph.watch_stats(f"{NODE}/stats")
    given = {"directory": str(folder / "kept"), "depth_topic": "", "pose_type": kind.__name__, **harness.RELIABLE}
    graph.start(NODE, bundle=str(folder / "bundle"), **given)
    seen = graph.probe.create_publisher(Embedding, "scene_classifier/embedding", stream_qos("reliable", 100))
    poses = graph.probe.create_publisher(kind, "pose", stream_qos("reliable", 100))
    maps = graph.probe.create_publisher(OccupancyGrid, "map", LATCHED)
    maps.publish(grid_message(two_rooms()))
    for name, publisher in (("pose", poses), ("embedding", seen)):
        graph.wait_for_hearers(stats, f"publishers_{name}")
        graph.until(lambda each=publisher: each.get_subscription_count() == 1, f"{name} to be heard")
    graph.until(lambda: stats()["maps_received"] == "1", "the map")
    stamps_ns = count(harness.START_NS, STEP_NS)

    def looking(offset_s: float | None) -> Callable[[], None]:
        def look() -> None:
            stamp_ns = next(stamps_ns)
            if offset_s is not None:
                poses.publish(place(kind(), stamp_ns + round(offset_s * 1e9)))
            seen.publish(embedding_message(colour_bank().vectors[0], bundle_id, str(folder / "bundle"), stamp_ns))

        return look

    return looking


def until_said(graph: harness.Graph, look: Callable[[], None], level: bytes, said: str) -> None:
    """Frames come until the diagnostics are as they should be."""
    status = graph.watch(DiagnosticStatus, f"{NODE}/stats")

    def is_said() -> bool:
        look()
        return status() is not None and status().level == level and said in status().message

    graph.until(is_said, f"level {level!r}, {said!r}")


def test_poses_of_another_time_than_the_frames_are_told(graph, tmp_path):
    looking = drive(graph, tmp_path, PoseStamped)
    until_said(graph, looking(-100.0), DiagnosticStatus.WARN, "the newest pose is 100.0 s older than the newest frame")
    until_said(graph, looking(0.0), DiagnosticStatus.OK, "rooms from")


def test_localisation_that_dies_is_told(graph, tmp_path):
    stats = graph.watch_stats(f"{NODE}/stats")
    looking = drive(graph, tmp_path, PoseStamped)
    until_said(graph, looking(0.0), DiagnosticStatus.OK, "rooms from")
    until_said(graph, looking(None), DiagnosticStatus.WARN, "pose: no pose of any frame for ")
    assert int(stats()["dropped no pose"]) > 0
    until_said(graph, looking(0.0), DiagnosticStatus.OK, "rooms from")


def test_a_robot_that_stands_still_where_amcl_is_silent_is_well(graph, tmp_path):
    stats = graph.watch_stats(f"{NODE}/stats")
    looking = drive(graph, tmp_path, PoseWithCovarianceStamped)
    until_said(graph, looking(0.0), DiagnosticStatus.OK, "rooms from")
    status, look = graph.watch(DiagnosticStatus, f"{NODE}/stats"), looking(None)

    def long_silent() -> bool:
        look()
        return float(stats().get("age_pose_s", 0.0)) > 8.0

    graph.until(long_silent, "a long rest")
    assert int(stats()["dropped no pose"]) > 0
    assert (status().level, status().message[-7:]) == (DiagnosticStatus.OK, " frames")
