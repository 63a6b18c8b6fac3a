"""Bags as recorders make them, in both formats, and what is read of them."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin, Writer

from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import IMAGE, definition, image_msg, serialize, typestore
from tests.core.bags import depth_image, rgb_image, stamp

PAIRS = 10
RGB, DEPTH = "/camera/color/image_raw", "/camera/depth/image_raw"


def messages(pairs: int = PAIRS) -> list[tuple[str, int, bytes]]:
    found = []
    for number in range(pairs):
        at = stamp(number)
        found.append((RGB, at, serialize(image_msg(rgb_image(number), "rgb8", at, "c"))))
        found.append((DEPTH, at, serialize(image_msg(depth_image(number), "16UC1", at, "c"))))
    return found


def write_mcap(
    directory: Path, *, profile: str = "ros2", json_channel: bool = False, extras: bool = False, **options: Any
) -> Path:
    """One file without metadata.yaml, by the mcap library's own writer."""
    directory.mkdir()
    options = {"chunk_size": 5000, "compression": CompressionType.ZSTD} | options
    writer = McapWriter(str(directory / f"{directory.name}_0.mcap"), **options)
    writer.start(profile, "test")
    schema = writer.register_schema(IMAGE, "ros2msg", definition(IMAGE).encode())
    channels = {name: writer.register_channel(name, "cdr", schema) for name in (RGB, DEPTH)}
    if json_channel:
        shape = writer.register_schema("battery", "jsonschema", b'{"type":"object"}')
        channels["/battery"] = writer.register_channel("/battery", "json", shape)
        channels["/bare"] = writer.register_channel("/bare", "json", 0)
    for topic, at, data in messages():
        writer.add_message(channels[topic], at, data, at)
        if json_channel:
            writer.add_message(channels["/battery"], at, json.dumps({"v": 1}).encode(), at)
            writer.add_message(channels["/bare"], at, b"1", at)
    if extras:
        writer.add_attachment(1, 2, "calibration.yaml", "text/yaml", b"fx: 500")
        writer.add_metadata("site", {"home": "7"})
    writer.finish()
    return directory


def write_sqlite(path: Path, pairs: int = PAIRS) -> Path:
    with Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        topics = {name: writer.add_connection(name, IMAGE, typestore=typestore()) for name in (RGB, DEPTH)}
        for topic, at, data in messages(pairs):
            writer.write(topics[topic], at, data)
    return path


def content(directory: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in directory.iterdir()}


def read(bag: Path) -> tuple[dict[str, int], list[str]]:
    with BagReader(bag) as reader:
        found = list(reader.messages())
        assert [m.stamp_ns for m in found] == sorted(m.stamp_ns for m in found)
        return dict(Counter(m.topic for m in found)), list(reader.losses)


def assert_whole(bag: Path) -> None:
    before = content(bag)
    assert read(bag) == ({RGB: PAIRS, DEPTH: PAIRS}, [])
    assert len(list(read_pairs(bag))) == PAIRS
    assert content(bag) == before
