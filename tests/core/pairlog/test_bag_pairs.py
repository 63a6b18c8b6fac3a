"""From a bag to decoded pairs, streams found by type."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.cdr_header import stamp_ns_or_none
from edgevl_core.pairlog.pairs import Streams, Truth, UnreadableImage, find_streams, read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import (
    COMPRESSED_IMAGE,
    IMAGE,
    compressed_image_msg,
    image_msg,
    serialize,
    truth_msg,
)
from edgevl_core.pairlog.writer import BagWriter
from tests.core.bags import (
    DEPTH_TOPIC,
    INFO_TOPIC,
    RGB_TOPIC,
    START_NS,
    add_pair,
    add_topics,
    depth_image,
    rgb_image,
    stamp,
    write_bag,
)

pytestmark = pytest.mark.unit

MS = 1_000_000


def test_pairs_are_decoded_with_their_truth(tmp_path: Path) -> None:
    pairs = read_pairs(write_bag(tmp_path / "bag", 5, depth_offset_ns=3 * MS))
    found = list(pairs)
    assert [p.stamp_ns for p in found] == [stamp(i) for i in range(5)]
    for number, pair in enumerate(found):
        np.testing.assert_array_equal(pair.rgb, rgb_image(number))
        assert pair.depth_m.dtype == np.float32
        assert np.isnan(pair.depth_m[:, 0]).all()
        np.testing.assert_allclose(pair.depth_m[:, 1:], depth_image(number)[:, 1:] / 1000, rtol=1e-6)
        assert pair.skew_s == pytest.approx(0.003)
        assert pair.truth == Truth("kitchen", "home 1", 0.5)
    assert pairs.stats == {"pairs": 5}
    assert pairs.losses == []
    assert pairs.streams == Streams(RGB_TOPIC, DEPTH_TOPIC, INFO_TOPIC, "truth")


def test_what_is_not_paired_is_counted(tmp_path: Path) -> None:
    pairs = read_pairs(write_bag(tmp_path / "bag", 5, depth_offset_ns=3 * MS), max_skew_s=0.002)
    assert list(pairs) == []
    assert pairs.stats == {"rgb unmatched": 5, "depth unmatched": 5}


def test_a_broken_image_costs_its_pair_only(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        add_topics(bag)
        add_pair(bag, 0)
        message = image_msg(rgb_image(1), "rgb8", stamp(1), "c")
        message.step = 1
        bag.write(RGB_TOPIC, serialize(message), stamp(1))
        depth = serialize(image_msg(depth_image(1), "16UC1", stamp(1), "c"))
        bag.write(DEPTH_TOPIC, depth, stamp(1))
        bag.write(RGB_TOPIC, serialize(image_msg(rgb_image(2), "rgb8", stamp(2), "c")), stamp(2))
        bag.write(DEPTH_TOPIC, serialize(image_msg(depth_image(2), "16UC1", stamp(2), "c"))[:60], stamp(2))
        add_pair(bag, 3)
    pairs = read_pairs(tmp_path / "bag")
    assert [p.stamp_ns for p in pairs] == [stamp(0), stamp(3)]
    assert pairs.stats == {"pairs": 2, "rgb unreadable": 1, "depth unreadable": 1}


def test_pairs_can_be_had_undecoded_and_say_what_is_wrong(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", 3)
    decoded = list(read_pairs(bag))
    recorded = list(read_pairs(bag).recorded())
    assert [pair.truth for pair in recorded] == [pair.truth for pair in decoded]
    assert all((a.decode().rgb == b.rgb).all() for a, b in zip(recorded, decoded, strict=True))
    topics = {"/rgb": raw(COLOUR[:0], "rgb8"), "/depth": raw(DEPTH, "16UC1")}
    for pair, reason in (
        (next(read_pairs(write_images(tmp_path / "empty", topics)).recorded()), r"rgb: .*empty"),
        (replace(recorded[0], depth=replace(recorded[0].depth, data=recorded[0].depth.data[:60])), r"depth: "),
    ):
        with pytest.raises(UnreadableImage, match=reason):
            pair.decode()


def test_truth_belongs_to_its_moment(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        add_topics(bag)
        for number, room in ((1, "office"), (0, "kitchen"), (2, "bedroom")):
            at = stamp(number) + 5 * MS
            bag.write("truth", serialize(truth_msg(room, "h", 1.0, at, "c")), at)
        for number in range(4):
            at = stamp(number)
            bag.write(RGB_TOPIC, serialize(image_msg(rgb_image(number), "rgb8", at, "c")), at)
            bag.write(DEPTH_TOPIC, serialize(image_msg(depth_image(number), "16UC1", at, "c")), at)
    rooms = [p.truth.room if p.truth else None for p in read_pairs(tmp_path / "bag")]
    assert rooms == ["kitchen", "office", "bedroom", None]


def test_a_truth_that_stops_holds_nothing_up(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        add_topics(bag)
        add_pair(bag, 0)
        for number in range(1, 60):
            at = stamp(number)
            bag.write(RGB_TOPIC, serialize(image_msg(rgb_image(number), "rgb8", at, "c")), at)
            bag.write(DEPTH_TOPIC, serialize(image_msg(depth_image(number), "16UC1", at, "c")), at)
    found = list(read_pairs(tmp_path / "bag"))
    assert len(found) == 60
    assert [p.truth is None for p in found] == [False] + [True] * 59


def write_images(path: Path, topics: dict[str, tuple[str, object]], count: int = 2) -> Path:
    with BagWriter(path) as bag:
        for name, (msgtype, _) in topics.items():
            bag.add_topic(name, msgtype)
        for number in range(count):
            for name, (_, build) in topics.items():
                bag.write(name, serialize(build(stamp(number))), stamp(number))  # type: ignore[operator]
    return path


def raw(pixels: np.ndarray, encoding: str) -> tuple[str, object]:
    return IMAGE, lambda at: image_msg(pixels, encoding, at, "c")


def packed(pixels: np.ndarray, extension: str, name: str, prefix: bytes = b"") -> tuple[str, object]:
    data = prefix + cv2.imencode(extension, pixels)[1].tobytes()
    return COMPRESSED_IMAGE, lambda at: compressed_image_msg(data, name, at, "c")


COLOUR, GREY = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
DEPTH = np.full((4, 4), 1000, np.uint16)


def test_streams_are_found_by_their_content(tmp_path: Path) -> None:
    topics = {
        "/a/infra": raw(GREY, "mono8"),
        "/b/aligned_depth_to_color/image": raw(DEPTH, "16UC1"),
        "/b/depth/image": raw(DEPTH, "16UC1"),
        "/c/color/image/compressed": packed(COLOUR, ".jpg", "rgb8; jpeg compressed bgr8"),
        "/d/color/image": raw(COLOUR, "bgr8"),
        "/e/infra16": raw(DEPTH, "mono16"),
    }
    with BagReader(write_images(tmp_path / "bag", topics)) as reader:
        assert find_streams(reader) == Streams("/d/color/image", "/b/aligned_depth_to_color/image", None, None)
        chosen = find_streams(reader, rgb="c/color/image/compressed", depth="/e/infra16")
        assert (chosen.rgb, chosen.depth) == ("/c/color/image/compressed", "/e/infra16")


@pytest.mark.parametrize(
    "depth",
    [
        packed(DEPTH, ".png", "16UC1; compressedDepth png", bytes(12)),
        packed(DEPTH, ".png", "16UC1; png compressed "),
        packed(DEPTH, ".png", "png"),
        raw(DEPTH.astype(np.float32) / 1000, "32FC1"),
    ],
)
def test_every_kind_of_depth(tmp_path: Path, depth: tuple[str, object]) -> None:
    write_images(tmp_path / "bag", {"/depth": depth, "/rgb": packed(COLOUR, ".jpg", "jpeg")})
    found = list(read_pairs(tmp_path / "bag"))
    assert len(found) == 2
    np.testing.assert_allclose(found[0].depth_m, 1.0)


def test_a_missing_stream_is_named_and_the_topics_are_listed(tmp_path: Path) -> None:
    bag = write_images(tmp_path / "bag", {"/rgb": raw(COLOUR, "rgb8"), "/info": raw(GREY, "mono8")})
    with pytest.raises(UserError, match=r"no depth image topic; it has /info \(sensor_msgs/msg/Image\), /rgb"):
        read_pairs(bag)
    depth_only = write_images(tmp_path / "depth", {"/depth": raw(DEPTH, "16UC1")})
    with pytest.raises(UserError, match="no rgb image topic"):
        read_pairs(depth_only)
    with pytest.raises(UserError, match="no topic '/nothing'"):
        read_pairs(bag, rgb="/nothing")
    with pytest.raises(UserError, match="both '/rgb'"):
        read_pairs(bag, rgb="/rgb", depth="rgb")
    whole = write_bag(tmp_path / "whole", 1)
    with pytest.raises(UserError, match="SceneTruth: name an Image"):
        read_pairs(whole, depth="truth")


def test_header_stamp_of_raw_bytes() -> None:
    data = serialize(image_msg(GREY, "mono8", START_NS + 7, "a frame"))
    assert stamp_ns_or_none(data) == START_NS + 7
