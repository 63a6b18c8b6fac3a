"""A bag as `ros2 bag record` leaves it: SQLite, compressed image topics, other topics, stamps apart from log times."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from edgevl_core.pairlog.info import log_info
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.types import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    camera_info_msg,
    compressed_image_msg,
    serialize,
    typestore,
)
from tests.core.bags import stamp

pytestmark = pytest.mark.unit
RGB, DEPTH = "/camera/color/image_raw/compressed", "/camera/aligned_depth_to_color/image_raw/compressedDepth"
INFO, ROSOUT = "/camera/color/camera_info", "/chatter"
PIXELS = np.full((12, 16, 3), (10, 100, 200), np.uint8)


def record(path: Path, plugin: StoragePlugin, frames: int) -> Path:
    """RGB is received 20 ms after its stamp, depth 45 ms, in the order of arrival."""
    jpeg = cv2.imencode(".jpg", PIXELS[..., ::-1])[1].tobytes()
    text = typestore().types["std_msgs/msg/String"]
    messages = []
    for number in range(frames):
        at = stamp(number)
        depth = bytes(12) + cv2.imencode(".png", np.full((12, 16), 1000 + number, np.uint16))[1].tobytes()
        messages += [
            (at + 20_000_000, RGB, compressed_image_msg(jpeg, "rgb8; jpeg compressed bgr8", at, "c")),
            (at + 21_000_000, INFO, camera_info_msg(16, 12, 20, 20, 8, 6, at, "c")),
            (at + 45_000_000, DEPTH, compressed_image_msg(depth, "16UC1; compressedDepth png", at + 3_000_000, "c")),
            (at + 50_000_000, ROSOUT, text(data="hello")),
        ]
    types = {RGB: COMPRESSED_IMAGE, DEPTH: COMPRESSED_IMAGE, INFO: CAMERA_INFO, ROSOUT: "std_msgs/msg/String"}
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {name: writer.add_connection(name, kind, typestore=typestore()) for name, kind in types.items()}
        for at, topic, message in messages:
            writer.write(connections[topic], at, serialize(message))
    return path


@pytest.mark.parametrize("plugin", [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_a_recorded_bag_gives_pairs(tmp_path: Path, plugin: StoragePlugin) -> None:
    bag = record(tmp_path / "bag", plugin, 8)
    reader = read_pairs(bag)
    assert (reader.streams.rgb, reader.streams.depth, reader.streams.camera_info) == (RGB, DEPTH, INFO)
    pairs = list(reader)
    assert reader.losses == []
    assert [pair.stamp_ns for pair in pairs] == [stamp(number) for number in range(8)]  # headers, not log times
    assert {round(pair.skew_s, 6) for pair in pairs} == {0.003}
    assert [float(pair.depth_m[0, 0]) for pair in pairs] == pytest.approx([1.0 + k / 1000 for k in range(8)])
    assert np.abs(pairs[0].rgb.astype(int) - PIXELS).max() < 12
    assert log_info(bag).pairing.pairs == 8
