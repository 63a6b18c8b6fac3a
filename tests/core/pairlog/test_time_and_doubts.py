"""Logs and bags whose clock or cameras are wrong: the good pairs are all there, and what is wrong is said."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevl_core.camera.registration import Status
from edgevl_core.pairing.frames import DEPTH, RGB, Received
from edgevl_core.pairing.pair_matcher import PairMatcher
from edgevl_core.pairlog.frame_selection import FrameSelector
from edgevl_core.pairlog.info import log_info
from edgevl_core.pairlog.logged import Logged, LoggedTopic
from edgevl_core.pairlog.pair_log import PairLog
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    camera_info_msg,
    compressed_image_msg,
    image_msg,
    serialize,
)
from edgevl_core.pairlog.writer import BagWriter
from tests.core.tiny import exif

pytestmark = pytest.mark.unit

S = 1_000_000_000
START = 1_700_000_000 * S
PERIOD = S // 10
HOUR = 3600 * S
YEAR_2038 = (2**31 - 1) * S
RGB_PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
DEPTH_MM = np.full((48, 64), 2000, np.uint16)


def drive(first_ns: int, count: int) -> list[int]:
    return [first_ns + number * PERIOD for number in range(count)]


ONE_PAIR_FROM_2038 = [*drive(START, 37), YEAR_2038, *drive(START + 38 * PERIOD, 62)]
FIRST_PAIR_FROM_2038 = [YEAR_2038, *drive(START, 62)]
CLOCK_SET_BACK_BY_LITTLE = [*drive(START, 20), *drive(START + 450_000_000, 63)]
CLOCK_SET_BACK = [*drive(START, 20), *drive(START - HOUR, 63)]
CLOCK_SET_FORWARD = [*drive(START, 20), *drive(START + HOUR, 63)]


def write_bag(path: Path, stamps: list[int], depth: np.ndarray = DEPTH_MM, encoding: str = "16UC1") -> Path:
    """A pair for each stamp, recorded at 10 Hz whatever the stamps say."""
    with BagWriter(path, min_free_bytes=0) as bag:
        bag.add_topic("camera/rgb", IMAGE)
        bag.add_topic("camera/depth", IMAGE)
        for number, at in enumerate(stamps):
            recorded_ns = START + number * PERIOD
            bag.write("camera/rgb", serialize(image_msg(RGB_PIXELS, "rgb8", at, "camera")), recorded_ns)
            bag.write("camera/depth", serialize(image_msg(depth, encoding, at, "camera")), recorded_ns)
    return path


@pytest.mark.parametrize(
    ("stamps", "lost", "doubt"),
    [
        (ONE_PAIR_FROM_2038, ["rgb: 1 images left out", "depth: 1 images left out"], ""),
        (FIRST_PAIR_FROM_2038, ["rgb: 1 images left out", "depth: 1 images left out"], ""),
        (CLOCK_SET_BACK_BY_LITTLE, ["the stamps go back by 1.4 s after 2023-11-14 22:13:21 UTC"], ""),
        (CLOCK_SET_BACK, ["the stamps go back by 3601.9 s after 2023-11-14 22:13:21 UTC"], ""),
        (CLOCK_SET_FORWARD, [], "the stamps go on 3598.1 s after"),
        ([0] * 20, ["rgb: stamps are 0", "depth: stamps are 0"], ""),
        (drive(START, 20), [], ""),
    ],
)
def test_a_bag_with_a_wrong_clock(tmp_path: Path, stamps: list[int], lost: list[str], doubt: str) -> None:
    good = [stamp for stamp in dict.fromkeys(stamps) if stamp != YEAR_2038]
    bag = write_bag(tmp_path / "bag", stamps)
    pairs = read_pairs(bag)
    assert [pair.stamp_ns for pair in pairs] == good
    info = log_info(bag)
    assert info.pairing is not None
    assert info.pairing.pairs == len(good)
    for losses, doubts in ((pairs.losses, pairs.doubts), (info.losses, info.doubts)):
        assert len(losses) == len(lost)
        assert all(said.startswith(expected) for said, expected in zip(losses, lost))
        assert len(doubts) == bool(doubt)
        assert all(said.startswith(doubt) for said in doubts)


def open_log(path: Path, **topics: object) -> PairLog:
    logged = Logged(
        LoggedTopic("camera/rgb", IMAGE, IMAGE),
        LoggedTopic("camera/depth", *topics.pop("depth", (IMAGE, IMAGE))),  # type: ignore[misc]
        **topics,  # type: ignore[arg-type]
    )
    return PairLog(path, logged, PairMatcher(0.02), FrameSelector(), partial(BagWriter, min_free_bytes=0))


def add_pair(log: PairLog, stamp_ns: int, depth: bytes | None = None) -> None:
    log.add_image(RGB, Received(stamp_ns, serialize(image_msg(RGB_PIXELS, "rgb8", stamp_ns, "camera")), 0.0))
    depth = depth or serialize(image_msg(DEPTH_MM, "16UC1", stamp_ns, "camera"))
    log.add_image(DEPTH, Received(stamp_ns, depth, 0.0))


@pytest.mark.parametrize(
    ("stamps", "dropped", "jumps"),
    [
        (ONE_PAIR_FROM_2038, {"rgb outlier": 1, "depth outlier": 1}, 0),
        ([*drive(START, 6), YEAR_2038, *drive(START + 7 * PERIOD, 63)], {"rgb outlier": 1, "depth outlier": 1}, 0),
        (FIRST_PAIR_FROM_2038, {"rgb outlier": 1, "depth outlier": 1}, 0),
        (CLOCK_SET_BACK_BY_LITTLE, {}, 1),
        (CLOCK_SET_BACK, {}, 1),
        (CLOCK_SET_FORWARD, {}, 1),
    ],
)
def test_logging_goes_on_after_a_wrong_stamp(
    tmp_path: Path, stamps: list[int], dropped: dict[str, int], jumps: int
) -> None:
    log = open_log(tmp_path / "log")
    for at in stamps:
        add_pair(log, at)
    log.flush()
    assert log.pairs_kept >= len(stamps) - 2  # the last one waits for the next
    log.close()
    good = [stamp for stamp in stamps if stamp != YEAR_2038]
    assert (log.pairs_kept, log.dropped, log.clock_jumps[0]) == (len(good), dropped, jumps)
    assert bool(log.clock_jumps[1]) == bool(jumps)
    assert sorted(pair.stamp_ns for pair in read_pairs(tmp_path / "log")) == sorted(good)


@pytest.mark.parametrize("step_s", [1.99, 4.99, 3600.0])
def test_the_two_passes_of_a_clock_set_back_stay_apart_in_the_log(tmp_path: Path, step_s: float) -> None:
    """As the cameras' skew changes with the clock, images of the two passes lie nearer to each other than to theirs."""
    info = LoggedTopic("camera/camera_info", CAMERA_INFO, CAMERA_INFO)
    log = open_log(tmp_path / "log", rgb_companions={"camera_info": info})
    starts = START, START + 60 * PERIOD - round(step_s * S)
    for room, (first_ns, skew_ns) in enumerate(zip(starts, (9_000_000, -8_000_000))):
        for at in drive(first_ns, 60):
            rgb = image_msg(np.full((48, 64, 3), 100 * room, np.uint8), "rgb8", at, "camera")
            depth = image_msg(np.full((48, 64), 1000 + room, np.uint16), "16UC1", at + skew_ns, "camera")
            log.add_companion("camera_info", at, serialize(camera_info_msg(64, 48, 80, 80, 31.5, 23.5, at, "camera")))
            for stream, stamp, image in ((RGB, at, rgb), (DEPTH, at + skew_ns, depth)):
                log.add_image(stream, Received(stamp, serialize(image), 0.0))
    log.close()
    pairs = read_pairs(tmp_path / "log")
    rooms = [(pair.rgb[0, 0, 0] // 100, pair.depth[0, 0] - 1000) for pair in pairs]
    assert (log.pairs_kept, rooms) == (120, [(0, 0)] * 60 + [(1, 1)] * 60)
    assert len(pairs.losses) == 1  # that the clock was set back
    with BagReader(tmp_path / "log") as reader:
        of_rgb, of_info = ([m.stamp_ns for m in reader.messages([name])] for name in ("camera/rgb", info.name))
    assert of_info == of_rgb


@pytest.mark.parametrize("stamp_of_info", [lambda at: at, lambda at: 0, lambda at: at + 7_000_000, lambda at: START])
def test_a_log_registers_as_its_node_does(tmp_path: Path, stamp_of_info: Callable[[int], int]) -> None:
    """Whatever the stamps of camera_info: the log holds what the node knew, and the first ones were not calibrated."""
    info = LoggedTopic("camera/camera_info", CAMERA_INFO, CAMERA_INFO)
    depth_info = LoggedTopic("depth/camera_info", CAMERA_INFO, CAMERA_INFO)
    logged = Logged(
        LoggedTopic("camera/rgb", IMAGE, IMAGE),
        LoggedTopic("depth/image", IMAGE, IMAGE),
        {"camera_info": info},
        {"depth_camera_info": depth_info},
    )
    open_writer = partial(BagWriter, min_free_bytes=0)
    log = PairLog(tmp_path / "log", logged, PairMatcher(0.02), FrameSelector(), open_writer)
    for number, at in enumerate(drive(START, 60)):
        for stream, focal_px in (("camera_info", 80.0), ("depth_camera_info", 40.0)):
            focal_px = focal_px if number > 2 else 0.0
            message = camera_info_msg(64, 48, focal_px, focal_px, 31.5, 23.5, stamp_of_info(at), "camera")
            log.add_companion(stream, stamp_of_info(at), serialize(message))
        add_pair(log, at)
    log.close()
    said = "by camera_info, columns 25% to 75% and rows 25% to 75% of depth are what RGB sees"
    reader = read_pairs(tmp_path / "log")
    assert (log.registered, str(reader.registration), log_info(tmp_path / "log").registered) == (said, said, said)
    assert reader.registration.status is Status.BY_CAMERA_INFO
    assert {pair.depth_m.shape for pair in reader} == {(24, 32)}


def test_a_log_of_unreadable_depth_says_why(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", depth=(COMPRESSED_IMAGE, COMPRESSED_IMAGE))
    jpeg = cv2.imencode(".jpg", (DEPTH_MM // 256).astype(np.uint8))[1].tobytes()
    for at in drive(START, 5):
        message = compressed_image_msg(jpeg, "16UC1; jpeg compressed ", at, "camera")
        add_pair(log, at, serialize(message))
    log.close()
    assert (log.pairs_kept, log.dropped) == (0, {"unreadable": 5})
    [doubt] = log.doubts
    assert "16UC1 is promised, this JPEG has 1 channel of 8 bits" in doubt


@pytest.mark.parametrize(
    ("depth", "encoding", "doubt"),
    [
        (DEPTH_MM.astype(np.float32), "32FC1", "2e+03 m, too far for a room, as if millimetres stood where metres"),
        (DEPTH_MM // 1000, "16UC1", "0.002 m, too near for a camera, as if metres stood where millimetres"),
        (DEPTH_MM * 10, "16UC1", "20 m, too far for a room, as if tenths of millimetres stood where millimetres"),
        (DEPTH_MM, "16UC1", ""),
        (DEPTH_MM.astype(np.float32) / 1000, "32FC1", ""),
        (DEPTH_MM * 0, "16UC1", ""),
    ],
)
def test_a_doubtful_unit_is_said_by_bag_and_log(tmp_path: Path, depth: np.ndarray, encoding: str, doubt: str) -> None:
    bag = write_bag(tmp_path / "bag", drive(START, 10), depth, encoding)
    log = open_log(tmp_path / "log")
    for at in drive(START, 10):
        add_pair(log, at, serialize(image_msg(depth, encoding, at, "camera")))
    log.close()
    for doubts in (log_info(bag).doubts, read_pairs(bag).doubts, log.doubts):
        assert len(doubts) == bool(doubt)
        assert all(f"median depth {doubt} should: 16UC1 holds millimetres" in said for said in doubts)


def test_pictures_that_are_not_what_they_are_called_are_said(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", (DEPTH_MM // 256).astype(np.uint8))[1].tobytes()
    with BagWriter(tmp_path / "bag", min_free_bytes=0) as bag:
        bag.add_topic("camera/rgb", IMAGE)
        bag.add_topic("camera/depth/compressed", COMPRESSED_IMAGE)
        for at in drive(START, 20):
            bag.write("camera/rgb", serialize(image_msg(RGB_PIXELS, "rgb8", at, "camera")), at)
            message = compressed_image_msg(jpeg, "16UC1; jpeg compressed ", at, "camera")
            bag.write("camera/depth/compressed", serialize(message), at)
    pairs = read_pairs(tmp_path / "bag")
    assert list(pairs) == []
    assert pairs.stats == {"depth unreadable": 20}
    [doubt] = pairs.doubts
    assert doubt.startswith("camera/depth/compressed: 16 of 16 images looked at cannot be read: format '16UC1; jpeg")
    assert log_info(tmp_path / "bag").doubts == [doubt]


@pytest.mark.parametrize(
    ("orientation", "turn"), [(6, "by 90 degrees clockwise"), (8, "by 270"), (3, "by 180"), (1, "")]
)
def test_a_jpeg_that_asks_to_be_turned_is_said_and_not_turned(tmp_path: Path, orientation: int, turn: str) -> None:
    plain = cv2.imencode(".jpg", RGB_PIXELS)[1].tobytes()
    jpeg = plain[:2] + exif(orientation) + plain[2:]
    with BagWriter(tmp_path / "bag", min_free_bytes=0) as bag:
        bag.add_topic("camera/rgb/compressed", COMPRESSED_IMAGE)
        bag.add_topic("camera/depth", IMAGE)
        for at in drive(START, 3):
            bag.write("camera/rgb/compressed", serialize(compressed_image_msg(jpeg, "jpeg", at, "camera")), at)
            bag.write("camera/depth", serialize(image_msg(DEPTH_MM, "16UC1", at, "camera")), at)
    pairs = read_pairs(tmp_path / "bag")
    assert {pair.rgb.shape for pair in pairs} == {(48, 64, 3)}
    assert len(pairs.doubts) == bool(turn)
    assert all(f"turned, {turn}" in said and "preprocess.rotation_deg" in said for said in pairs.doubts)
