"""Small bags for the tests: a room's worth of images that tell their own number."""

from pathlib import Path

import numpy as np

from edgevl_core.pairlog.types import (
    CAMERA_INFO,
    IMAGE,
    SCENE_TRUTH,
    camera_info_msg,
    image_msg,
    serialize,
    truth_msg,
)
from edgevl_core.pairlog.writer import BagWriter

RGB_TOPIC, DEPTH_TOPIC, INFO_TOPIC = (
    "camera/rgb/image_raw",
    "camera/depth/image_raw",
    "camera/rgb/camera_info",
)
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
FRAME = "camera_optical_frame"


def rgb_image(number: int) -> np.ndarray:
    """(24, 32, 3) uint8 noise whose first pixel is ``number``."""
    image = np.random.default_rng(number).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    image[0, 0] = number % 256
    return image


def depth_image(number: int) -> np.ndarray:
    """(12, 16) uint16 millimetres: ``number`` everywhere, 0 (no measurement) in the first column."""
    image = np.full((12, 16), number + 1, np.uint16)
    image[:, 0] = 0
    return image


def stamp(number: int) -> int:
    return START_NS + number * PERIOD_NS


def add_pair(bag: BagWriter, number: int, depth_offset_ns: int = 0) -> None:
    """RGB, depth and truth number ``number``."""
    at = stamp(number)
    bag.write(RGB_TOPIC, serialize(image_msg(rgb_image(number), "rgb8", at, FRAME)), at)
    later = at + depth_offset_ns
    bag.write(DEPTH_TOPIC, serialize(image_msg(depth_image(number), "16UC1", later, FRAME)), later)
    bag.write("truth", serialize(truth_msg("kitchen", "home 1", 0.5, at, FRAME)), at)


def add_topics(bag: BagWriter) -> None:
    bag.add_topic(RGB_TOPIC, IMAGE)
    bag.add_topic(DEPTH_TOPIC, IMAGE)
    bag.add_topic(INFO_TOPIC, CAMERA_INFO)
    bag.add_topic("truth", SCENE_TRUTH, "reliable")


def write_bag(path: Path, pairs: int, depth_offset_ns: int = 0, **options: object) -> Path:
    """A bag of ``pairs`` pairs at 10 Hz with truth and one camera_info."""
    with BagWriter(path, **options) as bag:  # type: ignore[arg-type]
        add_topics(bag)
        info = camera_info_msg(32, 24, 30.0, 30.0, 16.0, 12.0, START_NS, FRAME)
        bag.write(INFO_TOPIC, serialize(info), START_NS)
        for number in range(pairs):
            add_pair(bag, number, depth_offset_ns)
    return path
