"""``edgevl map``: a simulated drive with its map and poses becomes a map with names."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.pairlog.pairs import find_streams, read_pairs
from edgevl_core.pairlog.place_messages import OCCUPANCY_GRID
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import deserialize, serialize
from edgevl_core.pairlog.writer import BagWriter
from edgevl_core.room_map.from_bags import _map_in, map_of_bags
from edgevl_core.room_map.track import read_track
from edgevl_sim import home_seed, write_bag
from edgevl_sim.home_map import home_map
from tests.cli.command import edgevl, refusal
from tests.core.tiny import write_colour_bundle

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "home"
    write_bag(path, seed=0, split="val", homes=1, frames_per_room=2)
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "colours"
    write_colour_bundle(path)
    return path


def test_poses_lie_in_the_true_rooms(drive: Path) -> None:
    found, track = home_map(home_seed(0, "val", 0)), read_track(drive, "/pose")
    assert (track.topic, track.frame_id) == ("pose", "map")
    for pair in read_pairs(drive):
        stand = track.at(pair.stamp_ns)
        assert stand is not None
        assert pair.truth is not None
        assert found.names[found.room[int(stand.y / 0.05), int(stand.x / 0.05)]] == pair.truth.room
    assert track.at(0) is None
    drifted = read_track(drive, "odom")
    way_m = np.hypot(*np.diff(track.poses[:, :2], axis=0).T).sum()
    apart_m = np.hypot(*np.diff(drifted.poses[:, :2], axis=0).T).sum()
    assert apart_m == pytest.approx(way_m, rel=0.03)
    assert apart_m != pytest.approx(way_m, rel=0.01)


def test_every_frame_is_put_onto_the_map_or_counted(drive: Path, bundle: Path) -> None:
    made = map_of_bags([drive], load_bundle(bundle))
    assert made.frames == 16 == len(made.way) + made.rooms.dropped.total()
    assert made.rooms.evidence.weight.sum() == pytest.approx(len(made.way), rel=0.01)
    assert 7 <= len(made.rooms.rooms()) <= 12


def test_the_newest_map_of_all_bags_holds_in_whichever_order_they_are_given(drive: Path, tmp_path: Path) -> None:
    """The bag of the day after has another box in the way."""
    with BagReader(drive) as reader, BagWriter(tmp_path / "day after", min_free_bytes=0) as writer:
        for topic in reader.topics.values():
            writer.add_topic(topic.name, topic.msgtype)
        for message in reader.messages(list(reader.topics)):
            data, stamp_ns = message.data, message.stamp_ns
            if message.msgtype == OCCUPANCY_GRID:
                charted = deserialize(data, message.msgtype)
                charted.data = np.where(charted.data == 0, 100, charted.data).astype(np.int8)
                data, stamp_ns = serialize(charted), stamp_ns + 86_400_000_000_000
            writer.write(message.topic, data, stamp_ns)
    for bags in ([drive, tmp_path / "day after"], [tmp_path / "day after", drive]):
        assert _map_in(bags).free.sum() == 0


def test_the_command(drive: Path, bundle: Path, tmp_path: Path) -> None:
    done = edgevl("map", drive, "--bundle", bundle, "--out", tmp_path / "out", "--json", tmp_path / "rooms.json")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "rooms.json").read_text())
    rooms = told["rooms"]
    assert told["frames"] == told["frames_used"] + sum(told["dropped"].values()) == 16
    assert rooms == json.loads((tmp_path / "out/nav2/rooms.json").read_text())
    picture = cv2.imread(str(tmp_path / "out/rooms.png"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > len(rooms)
    again = edgevl("map", drive, "--bundle", bundle, "--out", tmp_path / "out")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    twice = edgevl("map", drive, drive, "--bundle", bundle, "--out", tmp_path / "twice")
    assert (twice.returncode, "bags given twice" in twice.stderr) == (2, True)


def test_odometry_that_begins_at_a_told_place_is_set_right(drive: Path, bundle: Path, tmp_path: Path) -> None:
    start = ",".join(str(value) for value in read_track(drive, "pose").poses[0])
    command = ("map", drive, "--bundle", bundle, "--out", tmp_path / "out", "--pose", "odom", "--json", "-")
    done = edgevl(*command, "--start", start)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["dropped"]) <= {"nothing to see"}
    assert any(f"odom was set right by walls in {told['frames_used']} frames" in note for note in told["notes"])
    assert not any("--start" in note for note in told["notes"])
    x, y, yaw = read_track(drive, "pose").poses[0]
    astray = ("map", drive, "--bundle", bundle, "--out", tmp_path / "astray", "--pose", "odom", "--json", "-")
    told = json.loads(edgevl(*astray, "--start", f"{x + 9},{y + 9},{yaw + 1}").stdout)
    assert any("see that --start is where the drive begins" in note for note in told["notes"]), told["notes"]
    for starts, said in ((["1,2"], "1,2"), (["1,2,nan"], "nan"), (["1,2,3", "1,2,3"], "2 starts for 1 bags")):
        options = [part for each in starts for part in ("--start", each)]
        refused = edgevl("map", drive, "--bundle", bundle, "--out", tmp_path / "no", "--pose", "odom", *options)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert said in refused.stderr


def test_one_of_two_cameras_is_chosen(drive: Path, bundle: Path, tmp_path: Path) -> None:
    with BagReader(drive) as reader, BagWriter(tmp_path / "two", min_free_bytes=0) as writer:
        cameras = {name: f"back_{name}" for name in reader.topics if name.startswith("camera/")}
        for topic in reader.topics.values():
            for name in (topic.name, cameras.get(topic.name)):
                if name is not None:
                    writer.add_topic(name, topic.msgtype)
        for message in reader.messages(list(reader.topics)):
            for name in (message.topic, cameras.get(message.topic)):
                if name is not None:
                    writer.write(name, message.data, message.stamp_ns)
        streams = find_streams(reader, None, None)
    command = ("map", tmp_path / "two", "--bundle", bundle)
    assert "choose with --rgb TOPIC --depth TOPIC" in refusal(*command, "--out", tmp_path / "no")
    chosen = ("--rgb", f"back_{streams.rgb}", "--depth", f"back_{streams.depth}", "--max-skew-s", "0.05")
    done = edgevl(*command, "--out", tmp_path / "out", *chosen, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 16
    assert "--max-skew-s 0" in refusal(*command, "--out", tmp_path / "no", "--max-skew-s", "0")


def test_what_is_missing_is_said_in_one_line(drive: Path, bundle: Path, tmp_path: Path) -> None:
    write_bag(tmp_path / "two", seed=0, split="val", homes=2, frames_per_room=1)
    for arguments, said in (
        ((drive, "--pose", "nowhere"), "no pose topic nowhere in it"),
        ((drive, "--map", tmp_path / "none.yaml"), "cannot be read"),
        ((tmp_path / "two",), "bags of one home"),
    ):
        done = edgevl("map", *arguments, "--bundle", bundle, "--out", tmp_path / "out")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr
