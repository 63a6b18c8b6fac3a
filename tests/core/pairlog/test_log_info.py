"""What a bag holds, and a healthy bag from a damaged one."""

import os
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.info import log_info, recover
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.retention import MARK
from edgevl_core.pairlog.types import IMAGE, image_msg, serialize
from edgevl_core.pairlog.writer import BagWriter
from tests.core.bags import DEPTH_TOPIC, RGB_TOPIC, START_NS, write_bag

pytestmark = pytest.mark.unit


def test_info_of_a_whole_bag(tmp_path: Path) -> None:
    info = log_info(write_bag(tmp_path / "bag", 20, depth_offset_ns=4_000_000, max_segment_s=1.0))
    assert (info.messages, info.segments, info.start_ns) == (61, 2, START_NS)
    assert info.duration_s == pytest.approx(1.904)
    assert info.bytes == sum(f.stat().st_size for f in (tmp_path / "bag").glob("*.mcap"))
    assert {t.name: t.messages for t in info.topics}[RGB_TOPIC] == 20
    assert info.pairing is not None
    assert (info.pairing.rgb, info.pairing.depth, info.pairing.pairs) == (RGB_TOPIC, DEPTH_TOPIC, 20)
    assert (info.pairing.skew_p50_s, info.pairing.skew_p95_s) == pytest.approx((0.004, 0.004))
    assert info.pairing.dropped == {}
    assert info.coverage == {"kitchen": 20}
    assert info.losses == []
    assert type(info).model_validate_json(info.model_dump_json()) == info


def test_what_a_log_says_of_itself(tmp_path: Path) -> None:
    """The last word holds; a segment without its index says nothing, a bag of somebody else neither."""
    with BagWriter(tmp_path / "log", min_free_bytes=0, max_segment_s=1.0) as bag:
        bag.describe(MARK, {"log_scale": "1", "registered": "unknown, no pair yet"})
        bag.add_topic("/rgb", IMAGE)
        message = serialize(image_msg(np.zeros((2, 2, 3), np.uint8), "rgb8", 5, ""))
        for second in range(12):
            bag.write("/rgb", message, START_NS + second * 1_000_000_000)
            if second == 10:
                bag.describe(MARK, {"registered": "no, sizes differ"})
    info = log_info(tmp_path / "log")
    assert (info.facts, info.registered) == ({"log_scale": "1"}, "no, sizes differ")
    last = tmp_path / "log/log_11.mcap"
    assert last.exists()
    os.truncate(last, last.stat().st_size - 20)
    os.truncate(tmp_path / "log/log_10.mcap", 40)
    info = log_info(tmp_path / "log")
    assert (info.facts, info.registered) == ({"log_scale": "1"}, "unknown, no pair yet")
    info = log_info(write_bag(tmp_path / "bag", 1))
    assert (info.facts, info.registered) == ({}, "unknown, no camera_info of depth")


def test_info_of_a_bag_without_depth(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/rgb", IMAGE)
        bag.write("/rgb", serialize(image_msg(np.zeros((2, 2, 3), np.uint8), "rgb8", 5, "")), 5)
    info = log_info(tmp_path / "bag" / "bag_0.mcap")
    assert info.pairing is None
    assert "no depth image topic" in info.not_paired_because
    assert info.segments == 1


def test_recover_makes_a_healthy_bag(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 30, max_segment_s=1.0, compression="none", chunk_bytes=10_000)
    file = bag / "bag_1.mcap"
    os.truncate(file, file.stat().st_size // 2)
    (bag / "metadata.yaml").unlink()
    with BagReader(bag) as reader:
        losses, found = list(reader.losses), list(reader.messages())
    summary = recover(bag, tmp_path / "saved")
    assert summary.losses == losses
    assert summary.messages == len(found)
    with BagReader(tmp_path / "saved") as reader:
        assert reader.losses == []
        assert list(reader.messages()) == found
    assert 20 < len(list(read_pairs(tmp_path / "saved"))) < 30


def test_recover_keeps_types_that_edgevl_does_not_know(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg("float64 level\n", "somebody_msgs/msg/Dust"))
    dust = store.types["somebody_msgs/msg/Dust"]
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/dust", "somebody_msgs/msg/Dust", typestore=store)
        writer.write(connection, 7, store.serialize_cdr(dust(0.5), "somebody_msgs/msg/Dust"))
    assert recover(tmp_path / "bag", tmp_path / "saved").messages == 1
    with BagReader(tmp_path / "saved") as reader:
        assert reader.topics["/dust"].schema == ("ros2msg", "float64 level\n")


def test_recover_writes_over_nothing(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 1)
    with pytest.raises(UserError, match="exists already"):
        recover(bag, bag)
    with pytest.raises(UserError, match="no such bag"):
        recover(tmp_path / "nowhere", tmp_path / "saved")
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]
