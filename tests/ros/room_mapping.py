"""What the tests of room_mapper share: a home drawn by hand, driven through in a bag, and what it should be called."""

import array
import math
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from edgevl.msg import Embedding
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray

from edgevl_core.pairlog import types
from edgevl_core.pairlog.cdr_header import stamp_ns
from edgevl_core.pairlog.place_messages import OCCUPANCY_GRID, POSE, occupancy_msg, pose_msg
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.writer import BagWriter
from edgevl_core.room_map.occupancy import OccupancyMap
from edgevl_ros.node.stamps import from_time, to_time
from tests.core.room_map.homes import CAMERA, two_rooms
from tests.core.tiny import colour_image
from tests.ros import harness

HZ = 5.0
NODE = "room_mapper"
Stats = Callable[[], dict[str, str]]


class Look(NamedTuple):
    """One frame: the colour that is seen ("": a covered lens), from where, and whether the pose is known."""

    colour: str
    x: float
    y: float
    yaw: float
    posed: bool = True


def drive() -> Iterator[Look]:
    """Red on the left, blue on the right; a covered lens on the way, and blue in the left room while no pose comes."""
    for colour, x in (("red", 2.0), ("blue", 6.5)):
        yield from (Look(colour, x, 1.7, number * math.pi / 4) for number in range(8))
        yield from (Look("", 3.0, 1.7, 0.0) for _ in range(3))
    yield from (Look("blue", 2.0, 1.7, 0.0, posed=False) for _ in range(8))


def write_home_bag(path: Path) -> int:
    """The drive as a bag with RGB, depth, camera_info, pose and map; its number of frames."""
    occupancy, size = two_rooms(), (80, 60)
    depth_mm = np.full(size[::-1], 1200, np.uint16)
    looks = list(drive())
    with BagWriter(path, min_free_bytes=0) as writer:
        for topic, kind in (
            (harness.RGB_TOPIC, types.IMAGE),
            (harness.DEPTH_TOPIC, types.IMAGE),
            (harness.INFO_TOPIC, types.CAMERA_INFO),
            ("pose", POSE),
            ("map", OCCUPANCY_GRID),
        ):
            writer.add_topic(topic, kind)
        # A robot has its map before it drives.
        before, grid = harness.START_NS - 2_000_000_000, occupancy.grid
        charted = occupancy_msg(occupancy.percent, grid.resolution_m, grid.origin_m, before)
        writer.write("map", types.serialize(charted), before)
        for number, look in enumerate(looks):
            stamp = harness.START_NS + round(number * 1e9 / HZ)
            rgb = colour_image(look.colour, *size[::-1]) if look.colour else np.zeros((*size[::-1], 3), np.uint8)
            messages = [
                (harness.INFO_TOPIC, harness.camera_info(CAMERA.fx / 4, size, stamp)),
                (harness.DEPTH_TOPIC, types.image_msg(depth_mm, "16UC1", stamp, harness.FRAME_ID)),
                (harness.RGB_TOPIC, types.image_msg(rgb, "rgb8", stamp, harness.FRAME_ID)),
            ]
            if look.posed:
                messages.append(("pose", pose_msg(look.x, look.y, 0.5, look.yaw, stamp, "map")))
            for topic, message in messages:
                writer.write(topic, types.serialize(message), stamp)
    return len(looks)


def with_poses(bag: Path, out: Path) -> Path:
    """``out``: the same bag with a map, and at each RGB image the pose of a robot that turns round in one room."""
    occupancy = two_rooms()
    grid = occupancy.grid
    with BagReader(bag) as reader, BagWriter(out, min_free_bytes=0) as writer:
        for topic in reader.topics.values():
            writer.add_topic(topic.name, topic.msgtype)
        writer.add_topic("pose", POSE)
        writer.add_topic("map", OCCUPANCY_GRID)
        charted = occupancy_msg(occupancy.percent, grid.resolution_m, grid.origin_m, harness.START_NS)
        writer.write("map", types.serialize(charted), harness.START_NS)
        for number, message in enumerate(reader.messages(list(reader.topics))):
            writer.write(message.topic, message.data, message.stamp_ns)
            if message.topic.strip("/") == harness.RGB_TOPIC:
                pose = pose_msg(2.0, 1.7, 0.5, 0.1 * number, message.stamp_ns, "map")
                writer.write("pose", types.serialize(pose), message.stamp_ns)
    return out


def play_to_the_end(graph: harness.Graph, bag: Path, stats: Stats, classifier: Stats, pose: str = "pose") -> Path:
    """Play a drive until room_mapper has dealt with each answer; a bag of the frames that were answered.

    Those are all, unless the machine is so busy that a frame comes while the classifier still has the one before.
    """
    answers: list[Embedding] = []
    graph.subscribe(Embedding, "scene_classifier/embedding", answers.append)
    player = graph.start_player(bag)
    heard = [(stats, f"publishers_{name}", 1) for name in ("embedding", "pose", "depth", "camera_info")]
    heard += [(classifier, name, 1) for name in ("publishers_rgb", "publishers_depth")]
    heard.append((player, f"subscribers_{pose}", 1))
    graph.resume_player((classifier, "embedding_subscribers", 2), *heard)
    graph.until(lambda: player().get("finished") == "true", "the end of the bag")
    frames = int(player()["sent_rgb"])
    graph.until(lambda: int(classifier()["answered"]) + int(classifier()["superseded"]) == frames, "all answers")
    graph.until(lambda: len(answers) == int(classifier()["answered"]) > 2, "all embeddings")
    graph.until(lambda: stats().get("received") == classifier()["answered"] and stats()["waiting"] == "0", "all frames")
    return with_images(bag, bag.with_name("answered"), {from_time(answer.header.stamp) for answer in answers})


def with_images(bag: Path, out: Path, stamps_ns: Container[int]) -> Path:
    """``out``: the same bag with the images of these stamps alone, and everything else."""
    with BagReader(bag) as reader, BagWriter(out, min_free_bytes=0) as writer:
        for topic in reader.topics.values():
            writer.add_topic(topic.name, topic.msgtype)
        for message in reader.messages(list(reader.topics)):
            if message.msgtype != types.IMAGE or stamp_ns(message.data) in stamps_ns:
                writer.write(message.topic, message.data, message.stamp_ns)
    return out


def balance(stats: dict[str, str]) -> int:
    """Frames that the statistics do not explain."""
    dropped = sum(int(value) for key, value in stats.items() if key.startswith("dropped "))
    return int(stats["received"]) - int(stats["used"]) - dropped - int(stats["waiting"])


def grid_message(occupancy: OccupancyMap) -> OccupancyGrid:
    message = OccupancyGrid()
    message.header.frame_id = "map"
    message.info.height, message.info.width = occupancy.percent.shape
    message.info.resolution = occupancy.grid.resolution_m
    message.info.origin.position.x, message.info.origin.position.y = occupancy.grid.origin_m
    message.info.origin.orientation.w = 1.0
    message.data = array.array("b", occupancy.percent.tobytes())
    return message


def embedding_message(
    vector: NDArray[np.float32], bundle_id: str, bundle: str, stamp_ns: int, known: bool = True
) -> Embedding:
    """As scene_classifier publishes it."""
    fields: dict[str, Any] = {"bundle_id": bundle_id, "bundle": bundle, "known": known, "temperature": 1.0}
    message = Embedding(embedding=array.array("f", vector.tobytes()), **fields)
    message.header.stamp, message.header.frame_id = to_time(stamp_ns), harness.FRAME_ID
    return message
