"""room_mapper over DDS: rooms with names from a drive, asked for, renamed, kept over a restart; bad input dropped."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from edgevl.msg import Embedding, LabelSet, RoomMap
from edgevl.srv import FindRoom, RenameRoom, RoomAt, SetLabels
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.room_map.files import load
from edgevl_core.room_map.from_bags import map_of_bags
from edgevl_core.room_map.occupancy import Grid, OccupancyMap
from edgevl_core.room_map.track import read_track
from edgevl_core.room_map.view import Stand
from edgevl_ros.node.images import to_rgb
from edgevl_ros.node.qos import LATCHED, stream_qos
from edgevl_ros.node.stamps import to_time
from edgevl_ros.nodes.bag_player import place_type
from edgevl_sim import write_bag
from tests.core.room_map.homes import two_rooms, upstairs
from tests.core.tiny import colour_bank, write_colour_bundle
from tests.ros import harness
from tests.ros.room_mapping import NODE, balance, embedding_message, grid_message, play_to_the_end, write_home_bag
from tests.ros.test_inactive import change
from tests.ros.test_watch import COMMAND as WATCH

pytestmark = pytest.mark.ros


def start_mapper(graph: harness.Graph, directory: Any, **parameters: Any) -> Any:
    common = {"directory": str(directory), "publish_period_s": 0.2, **harness.RELIABLE}
    return graph.start(NODE, **{**common, **parameters})


def labels(message: RoomMap | None) -> list[str]:
    return [] if message is None else sorted(room.label for room in message.rooms)


def test_a_drive_becomes_a_map_with_names_that_stays(graph, tmp_path):
    write_colour_bundle(tmp_path / "bundle")
    frames = write_home_bag(tmp_path / "bag")
    rooms = graph.watch(RoomMap, f"{NODE}/rooms")
    markers, image = graph.watch(MarkerArray, f"{NODE}/markers"), graph.watch(Image, f"{NODE}/image")
    stats, classifier = graph.watch_stats(f"{NODE}/stats"), graph.watch_stats("scene_classifier/stats")
    embeddings = []
    graph.subscribe(Embedding, "scene_classifier/embedding", embeddings.append)
    # Depth would tell the tiny student of another colour.
    graph.start("scene_classifier", bundle=str(tmp_path / "bundle"), use_depth=False, **harness.RELIABLE)
    mapper = start_mapper(graph, tmp_path / "kept")
    player = graph.start_player(tmp_path / "bag")
    heard = [(stats, f"publishers_{name}", 1) for name in ("embedding", "pose", "depth", "camera_info")]
    heard.append((player, "subscribers_pose", 1))
    graph.resume_player((classifier, "embedding_subscribers", 2), (classifier, "publishers_rgb", 1), *heard)

    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    sent = player()
    assert (sent["sent_rgb"], sent["sent_pose"], sent["sent_map"]) == (str(frames), str(frames - 8), "1")
    graph.until(lambda: int(classifier()["answered"]) + int(classifier()["superseded"]) == frames, "all answers")
    graph.until(lambda: len(embeddings) == int(classifier()["answered"]), "all embeddings")
    graph.until(lambda: stats().get("received") == classifier()["answered"] and stats()["waiting"] == "0", "all frames")
    assert balance(stats()) == 0
    covered, lost = int(stats()["dropped nothing to see"]), int(stats()["dropped no pose"])
    assert 0 < covered <= 6
    assert 0 < lost <= 6  # of eight without a pose: the last one is good for half a second, which is two frames
    assert covered + lost + int(stats()["used"]) == len(embeddings)
    graph.until(lambda: rooms() is not None and rooms().frames_used == int(stats()["used"]), "the rooms of all frames")

    assert stats()["without_view"] == "0"
    sample = embeddings[0]
    assert (sample.modality, sample.known, sample.header.frame_id) == ("rgb", True, harness.FRAME_ID)
    assert (sample.bundle, sample.bundle_id) == (str(tmp_path / "bundle"), rooms().bundle_id)
    assert np.linalg.norm(sample.embedding) == pytest.approx(1.0, abs=1e-5)

    found = {room.label: room for room in rooms().rooms}
    assert set(found) == {"red", "blue"}
    assert found["red"].area_m2 == pytest.approx(12.0, abs=0.5)
    assert found["red"].inside.x < 4.2 < found["blue"].inside.x
    assert all(room.known and not room.named_by_owner and room.probability > 0.5 for room in rooms().rooms)
    assert max(point.x for point in found["red"].polygon.points) < 4.3
    assert (rooms().header.frame_id, rooms().bundle_id) == ("map", load_bundle(tmp_path / "bundle").manifest.bundle_id)
    graph.until(lambda: markers() and markers().markers[0].header == rooms().header, "the names of these rooms")
    graph.until(lambda: image() and image().header == rooms().header, "the picture of these rooms")
    texts = [marker.text for marker in markers().markers if marker.ns == "name"]
    assert sorted(text.split()[0] for text in texts) == ["blue", "red"]
    picture = to_rgb(image())
    assert picture.shape[0] == 4 * two_rooms().grid.shape[0]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 5

    # The last pose is that of a covered lens, back on the left.
    graph.until(lambda: stats()["room"] == "red", "the room where the camera was last known to be")
    seen = json.loads(subprocess.run([*WATCH, "--once", "--json"], capture_output=True, text=True, check=True).stdout)
    assert seen["rooms"] == {"names": [room.label for room in rooms().rooms], "here": "red"}

    best = graph.call(FindRoom, f"{NODE}/find_room", word="Crimson")
    assert best.ok, best.message
    assert [room.label for room in best.rooms] == ["red", "blue"]
    assert best.scores[0] > 0.9 > best.scores[1]
    unknown = graph.call(FindRoom, f"{NODE}/find_room", word="hangar")
    assert not unknown.ok
    assert "hangar" in unknown.message
    assert graph.call(RoomAt, f"{NODE}/room_at", x=7.0, y=1.0).room.label == "blue"
    assert not graph.call(RoomAt, f"{NODE}/room_at", x=70.0, y=1.0).ok
    assert not graph.call(RenameRoom, f"{NODE}/rename_room", id=77, name="x").ok
    renamed = graph.call(RenameRoom, f"{NODE}/rename_room", id=found["red"].id, name="Anna's lab")
    assert (renamed.ok, renamed.room.label, renamed.room.named_by_owner) == (True, "Anna's lab", True)
    graph.until(lambda: labels(rooms()) == ["Anna's lab", "blue"], "the new name")
    assert dict(zip(rooms().dropped_reasons, rooms().dropped_counts)) == {"nothing to see": covered, "no pose": lost}

    # New words name what was seen before, without a frame.
    assert graph.call(SetLabels, "scene_classifier/set_labels", labels=["green", "red"]).ok
    graph.until(lambda: labels(rooms())[0] == "Anna's lab" and labels(rooms())[1] != "blue", "the new words")
    assert rooms().label_set_version == 2

    # A restart: the map is there before any frame.
    assert mapper.stop() == 0, mapper.output()
    graph._client.forget(f"{NODE}/rooms")
    start_mapper(graph, tmp_path / "kept", bundle=str(tmp_path / "bundle"))
    graph.until(lambda: "Anna's lab" in labels(rooms()), "the rooms from before the restart")
    assert {room.id for room in rooms().rooms} == {room.id for room in found.values()}
    assert graph.call(RenameRoom, f"{NODE}/rename_room", id=found["red"].id, name="").ok
    graph.until(lambda: "Anna's lab" not in labels(rooms()), "the owner's word to be gone")
    assert graph.call(Trigger, f"{NODE}/save").success
    assert graph.call(RenameRoom, f"{NODE}/rename_room", id=found["blue"].id, name="den").room.label == "den"
    assert graph.call(Trigger, f"{NODE}/load").success
    assert graph.call(RoomAt, f"{NODE}/room_at", x=7.0, y=1.0).room.label == "den"  # a new name is saved at once


def test_what_cannot_be_placed_is_dropped_by_its_reason_and_a_new_map_moves_nothing(graph, tmp_path):
    write_colour_bundle(tmp_path / "bundle")
    bundle_id = load_bundle(tmp_path / "bundle").manifest.bundle_id
    red, _, blue = colour_bank().vectors
    rooms, stats = graph.watch(RoomMap, f"{NODE}/rooms"), graph.watch_stats(f"{NODE}/stats")
    image = graph.watch(Image, f"{NODE}/image")
    start_mapper(graph, tmp_path / "kept", bundle=str(tmp_path / "bundle"), depth_topic="", wait_s=2.0)
    poses = graph.probe.create_publisher(PoseStamped, "pose", stream_qos("reliable", 100))
    seen = graph.probe.create_publisher(Embedding, "scene_classifier/embedding", stream_qos("reliable", 100))
    maps = graph.probe.create_publisher(OccupancyGrid, "map", LATCHED)
    for name, publisher in (("pose", poses), ("embedding", seen)):
        graph.wait_for_hearers(stats, f"publishers_{name}")
        graph.until(lambda each=publisher: each.get_subscription_count() == 1, f"{name} to be heard")

    def pose(seconds: float, x: float, y: float) -> None:
        message = PoseStamped()
        message.header.stamp, message.header.frame_id = to_time(harness.START_NS + round(seconds * 1e9)), "map"
        message.pose.position.x, message.pose.position.y, message.pose.orientation.w = x, y, 1.0
        poses.publish(message)

    def look(seconds: float, vector: np.ndarray, **changes: Any) -> None:
        fields = {"bundle_id": bundle_id, **changes}
        stamp_ns = harness.START_NS + round(seconds * 1e9)
        seen.publish(embedding_message(vector, bundle=str(tmp_path / "bundle"), stamp_ns=stamp_ns, **fields))

    def settled(reason: str, count: int) -> None:
        graph.until(lambda: stats().get(reason) == str(count), f"{count} {reason}")
        assert balance(stats()) == 0

    pose(0.0, 2.0, 1.7)
    look(0.0, red)
    settled("dropped no map", 1)
    maps.publish(grid_message(two_rooms()))
    graph.until(lambda: stats()["maps_received"] == "1", "the map")
    for number in range(4):  # each at a place of its own
        pose(1 + number, 1.0 + 0.6 * number, 1.7)
        look(1 + number, red)
        pose(1.5 + number, 5.5 + 0.6 * number, 1.7)
        look(1.5 + number, blue)
    settled("used", 8)
    graph.until(lambda: labels(rooms()) == ["blue", "red"], "both rooms")
    ids = {room.label: room.id for room in rooms().rooms}

    # All of these would call the left room blue.
    for number in range(5):
        pose(10 + number, 2.0, 1.7)
        look(10 + number, blue, known=False)
        look(10 + number, blue, bundle_id="f" * 64)
        look(10 + number, np.full(3, np.nan, np.float32))
    settled("dropped nothing to see", 5)
    settled("dropped another bundle", 5)
    settled("dropped no embedding", 5)
    for number in range(5):
        pose(20 + number, 2.0, 1.7)
        pose(20.4 + number, 7.0, 1.7)  # the robot was carried, or its map was closed to a loop
        look(20.2 + number, blue)
    settled("dropped no pose", 5)
    for number in range(5):
        look(30 + number, blue)
    settled("dropped no pose", 10)
    pose(40.0, 50.0, 1.7)
    look(40.0, blue)
    settled("dropped off the map", 1)
    assert (stats()["used"], stats()["waiting"]) == ("8", "0")

    shifted = two_rooms()
    percent = np.full((shifted.grid.shape[0] + 40, shifted.grid.shape[1] + 60), -1, np.int8)
    percent[17:-23, 31:-29] = shifted.percent
    larger = OccupancyMap(Grid(percent.shape, 0.05, (-31 * 0.05, -17 * 0.05)), percent)
    for occupancy in (larger, two_rooms(resolution_m=0.1)):
        maps.publish(grid_message(occupancy))
        side = 4 * occupancy.grid.shape[0]
        graph.until(lambda high=side: image() is not None and image().height == high, "a picture of the next map")
        graph.until(lambda: rooms().header == image().header, "its rooms")
        assert {room.label: room.id for room in rooms().rooms} == ids

    # Carried to another floor and back: nothing is smeared over either.
    maps.publish(grid_message(upstairs()))
    graph.until(lambda: set(labels(rooms())) == {"unknown"}, "rooms of another floor, of which nothing is known")
    for number in range(4):
        pose(50 + number, 1.0 + 0.4 * number, 0.9)
        look(50 + number, blue)
    graph.until(lambda: "blue" in labels(rooms()), "what is seen there")
    assert "red" not in labels(rooms())
    maps.publish(grid_message(two_rooms()))
    graph.until(lambda: labels(rooms()) == ["blue", "red"], "the first floor's rooms")
    assert {room.label: room.id for room in rooms().rooms} == ids

    told = graph.probe.create_publisher(LabelSet, "scene_classifier/labels", LATCHED)
    told.publish(LabelSet(version=2, bundle_id=bundle_id, labels=["red", "blue", "Red"]))
    graph.until(lambda: "scene_classifier/labels: 'red' occurs more" in stats().get("last_error", ""), "the refusal")
    assert stats()["label_set_version"] == "0"

    # Configured anew, it knows of no map.
    assert int(stats()["maps_received"]) > 1
    for transition in ("DEACTIVATE", "CLEANUP", "CONFIGURE"):
        change(graph, NODE, getattr(Transition, f"TRANSITION_{transition}"))
    # "inactive" alone is also what it said when it was deactivated.
    anew = {"state": "inactive", "maps_received": "0", "maps_superseded": "0", "rooms": "0", "used": "0"}
    graph.until(lambda: anew.items() <= stats().items(), "the node to be configured, without a map")


def test_a_simulated_drive_gives_the_map_that_its_bag_gives(graph, tmp_path):
    """Live and from the bag the same evidence: every frame at its pose, with its own depth."""
    write_colour_bundle(tmp_path / "bundle", threshold=0.0)
    write_bag(tmp_path / "bag", seed=0, split="val", homes=1, frames_per_room=2, hz=2)
    stats, classifier = graph.watch_stats(f"{NODE}/stats"), graph.watch_stats("scene_classifier/stats")
    # Patience that a loaded machine cannot use up.
    graph.start("scene_classifier", bundle=str(tmp_path / "bundle"), fallback_after_s=10.0, **harness.RELIABLE)
    start_mapper(graph, tmp_path / "kept", wait_s=10.0)
    answered = play_to_the_end(graph, tmp_path / "bag", stats, classifier)
    recorded = map_of_bags([answered], load_bundle(tmp_path / "bundle"))
    assert (stats()["used"], stats()["without_view"]) == (str(recorded.frames - recorded.rooms.dropped.total()), "0")
    assert graph.call(Trigger, f"{NODE}/save").success
    live = load(tmp_path / "kept", recorded.rooms.words)
    live.set_map(recorded.occupancy)
    assert live.evidence.grid == recorded.rooms.evidence.grid
    np.testing.assert_allclose(live.evidence.total, recorded.rooms.evidence.total, atol=1e-4)
    assert [room.label for room in live.rooms()] == [room.label for room in recorded.rooms.rooms()]


def test_odometry_alone_gives_the_map_that_its_bag_gives(graph, tmp_path):
    """Odometry in a frame of its own: the start is told, walls set the rest right."""
    write_colour_bundle(tmp_path / "bundle", threshold=0.0)
    write_bag(tmp_path / "bag", seed=0, split="val", homes=1, frames_per_room=2, hz=2)
    start = read_track(tmp_path / "bag", "pose").poses[0]
    stats, classifier = graph.watch_stats(f"{NODE}/stats"), graph.watch_stats("scene_classifier/stats")
    graph.start("scene_classifier", bundle=str(tmp_path / "bundle"), fallback_after_s=10.0, **harness.RELIABLE)
    asked = {"pose_topic": "odom", "pose_type": "Odometry", "correct_poses": True, "wait_s": 10.0}
    start_mapper(graph, tmp_path / "kept", **asked)
    told = graph.probe.create_publisher(PoseWithCovarianceStamped, "initialpose", stream_qos("reliable", 1))
    graph.until(lambda: told.get_subscription_count() == 1, "room_mapper to listen for where it begins")
    pose = PoseWithCovarianceStamped()
    pose.pose.pose.position.x, pose.pose.pose.position.y = float(start[0]), float(start[1])
    pose.pose.pose.orientation.z, pose.pose.pose.orientation.w = np.sin(start[2] / 2), np.cos(start[2] / 2)
    told.publish(pose)
    answered = play_to_the_end(graph, tmp_path / "bag", stats, classifier, "odom")
    recorded = map_of_bags([answered], load_bundle(tmp_path / "bundle"), None, "odom", [Stand(*start)])
    assert int(stats()["poses_set_right"]) >= 4
    here = recorded.rooms.room_at(*recorded.way[-1])
    graph.until(lambda: stats()["room"] == here.label, "the room where the robot is by now")
    assert graph.call(Trigger, f"{NODE}/save").success
    live = load(tmp_path / "kept", recorded.rooms.words)
    live.set_map(recorded.occupancy)
    np.testing.assert_allclose(live.evidence.total, recorded.rooms.evidence.total, atol=1e-4)


def test_a_player_may_leave_poses_and_maps_out(graph, tmp_path):
    write_home_bag(tmp_path / "bag")
    player = graph.start_player(tmp_path / "bag", places=False, rate=100.0)
    graph.resume_player()
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    assert int(player()["sent_rgb"]) > 0
    assert not {key for key in player() if key.endswith(("pose", "map"))}


def test_a_missing_package_of_maps_is_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "nav_msgs.msg", None)
    with pytest.raises(UserError, match=r"package nav_msgs is not installed: .* or set places to false"):
        place_type("nav_msgs/msg/OccupancyGrid")


def test_a_log_knows_where_its_pairs_were_taken(graph, tmp_path):
    write_home_bag(tmp_path / "bag")
    stats = graph.watch_stats("pair_logger/stats")
    graph.start(
        "pair_logger",
        directory=str(tmp_path),
        name="log",
        pose_topic="pose",
        min_free_mb=0.0,
        min_brightness=1.0,
        **harness.RELIABLE,
    )
    player = graph.start_player(tmp_path / "bag", rate=2.0)
    streams = ("rgb", "depth", "pose")
    graph.resume_player((player, "subscribers_pose", 1), *((stats, f"publishers_{name}", 1) for name in streams))
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    graph.until(lambda: all(stats()[f"received_{name}"] == player()[f"sent_{name}"] for name in streams), "all of it")
    assert graph.call(Trigger, "pair_logger/stop").success
    true, logged, pairs = read_track(tmp_path / "bag"), read_track(tmp_path / "log"), list(read_pairs(tmp_path / "log"))
    assert len(pairs) == 24  # but for the covered lens
    assert sum(true.at(pair.stamp_ns) is not None for pair in pairs) == 18
    for pair in pairs:
        assert logged.at(pair.stamp_ns) == true.at(pair.stamp_ns)


def test_a_directory_that_is_a_file_is_refused_at_the_start(graph, tmp_path):
    (tmp_path / "kept").write_text("no folder")
    node = start_mapper(graph, tmp_path / "kept")
    assert node.wait() == 2
    assert "parameter directory = " in node.output()
    assert "Traceback" not in node.output()
