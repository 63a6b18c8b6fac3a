"""Depth brought to RGB's field of view: the geometry, what is said, and bags that say how their cameras look."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgevl_core.camera.depth import to_metres
from edgevl_core.camera.registration import (
    Registration,
    RegistrationFinder,
    Status,
    Window,
    as_learned,
    cut,
    parse_registration,
)
from edgevl_core.pairlog.doubts import bag_doubts
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.types import CAMERA_INFO, camera_info_msg, serialize
from edgevl_core.pairlog.writer import BagWriter
from edgevl_core.room_map.view import Intrinsics, intrinsics
from tests.core.bags import DEPTH_TOPIC, FRAME, INFO_TOPIC, add_pair, add_topics, depth_image, stamp

pytestmark = pytest.mark.unit

DEPTH_INFO_TOPIC = "camera/depth/camera_info"


def info(width: int, height: int, fx: float, cx: float | None = None, frame: str = FRAME) -> Any:
    centre = (width - 1) / 2 if cx is None else cx
    return camera_info_msg(width, height, fx, fx, centre, (height - 1) / 2, 0, frame)


def told(rgb: Any, depth: Any) -> Registration:
    finder = RegistrationFinder()
    finder.info("rgb", rgb)
    finder.info("depth", depth)
    return finder.found


cameras = st.builds(
    info,
    width=st.integers(40, 120),
    height=st.integers(40, 100),
    fx=st.floats(40, 120),
    cx=st.floats(30, 60),
)


@given(rgb=cameras, depth=cameras)
def test_depth_after_cutting_is_what_each_rgb_pixel_looks_at(rgb: Any, depth: Any) -> None:
    """A slanted plane, seen by the depth camera: each pixel of RGB finds its depth there, or no measurement."""

    def plane_mm(x: Any, y: Any) -> Any:
        return 3000.0 + 800.0 * x + 500.0 * y

    def along(camera: Any, axis: int, pixels: Any) -> Any:
        """Where a pixel looks, metres aside per metre ahead."""
        return (pixels - camera.k[2 + 3 * axis]) / camera.k[4 * axis]

    columns, rows = np.arange(depth.width), np.arange(depth.height)
    seen = plane_mm(along(depth, 0, columns)[None], along(depth, 1, rows)[:, None]).astype(np.uint16)
    registration = told(rgb, depth)
    assume(registration.is_registered)  # they look at different sides
    found = cut(seen, registration.window)

    at = (np.random.default_rng(0).random((200, 2)) * (rgb.width, rgb.height)).astype(int)
    x, y = along(rgb, 0, at[:, 0]), along(rgb, 1, at[:, 1])
    share = (at + 0.5) / (rgb.width, rgb.height)
    nearest = np.minimum((share * found.shape[::-1]).astype(int), np.array(found.shape[::-1]) - 1)
    value = found[nearest[:, 1], nearest[:, 0]].astype(float)
    # The window lies on whole pixels, half a percent of a side counts as the same, and the nearest pixel is taken.
    slack_px = 1.5 + 0.005 * max(depth.width, depth.height)
    u, v = x * depth.k[0] + depth.k[2], y * depth.k[4] + depth.k[5]
    inside = (u > slack_px) & (u < depth.width - 1 - slack_px) & (v > slack_px) & (v < depth.height - 1 - slack_px)
    outside = (u < -slack_px) | (u > depth.width - 1 + slack_px) | (v < -slack_px) | (v > depth.height - 1 + slack_px)
    assert (value[outside] == 0).all()
    bound_mm = 1.0 + slack_px * (800.0 / depth.k[0] + 500.0 / depth.k[4])
    np.testing.assert_array_less(np.abs(value - plane_mm(x, y))[inside], bound_mm)


def test_a_wider_depth_camera_is_cut_without_a_copy() -> None:
    window = told(info(64, 48, 80.0), info(64, 48, 40.0)).window
    assert window is not None
    depth_mm = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
    inside = cut(depth_mm, window)
    np.testing.assert_array_equal(inside, depth_mm[12:36, 16:48])
    assert np.shares_memory(inside, depth_mm)
    depth_m = to_metres(depth_mm)
    np.testing.assert_array_equal(cut(depth_m, window), depth_m[12:36, 16:48])


def test_a_narrower_depth_camera_is_filled_up_with_invalid_pixels() -> None:
    window = told(info(64, 48, 40.0), info(32, 24, 40.0)).window
    for depth, invalid in ((np.full((24, 32), 900, np.uint16), 0), (np.full((24, 32), 0.9, np.float32), np.nan)):
        filled = cut(depth, window)
        assert (filled.shape, filled.dtype) == ((48, 64), depth.dtype)
        np.testing.assert_array_equal(filled[12:36, 16:48], depth)
        filled[12:36, 16:48] = invalid
        np.testing.assert_array_equal(filled, np.full((48, 64), invalid, depth.dtype))


def test_registration_is_said_from_what_is_known() -> None:
    finder = RegistrationFinder()
    assert finder.images(rgb=(64, 48, FRAME), depth=(64, 48, FRAME)) is False
    assert str(finder.found) == "unknown, no camera_info of RGB and depth"
    assert finder.info("rgb", info(64, 48, 60.0))
    assert finder.found == Registration(Status.UNKNOWN, None, "no camera_info of depth")
    assert finder.info("depth", info(64, 48, 60.1))
    assert finder.found == Registration(Status.YES)
    assert finder.changes == []


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "k",
    [
        [0.0] * 9,
        [NAN] * 9,
        [60, 0, NAN, 0, 60, 23.5, 0, 0, 1],
        [60, 0, 31.5, 0, 60, NAN, 0, 0, 1],
        [60, NAN, 31.5, 0, 60, 23.5, 0, 0, 1],
        [INF, 0, 31.5, 0, INF, 23.5, 0, 0, 1],
        [60, 0, INF, 0, 60, 23.5, 0, 0, 1],
        [-60, 0, 31.5, 0, 60, 23.5, 0, 0, 1],
        [1e-320, 0, 31.5, 0, 1e-320, 23.5, 0, 0, 1],
        [1e308, 0, 31.5, 0, 1e308, 23.5, 0, 0, 1],
    ],
)
def test_the_first_calibrated_info_counts(k: list[float]) -> None:
    wrong = info(64, 48, 60.0)
    wrong.k = np.array(k, np.float64)
    finder = RegistrationFinder()
    finder.info("depth", info(64, 48, 60.0))
    for _ in range(3):
        finder.info("rgb", wrong)
    assert finder.found == Registration(Status.UNKNOWN, None, "camera_info of RGB is not calibrated")
    assert finder.info("rgb", info(64, 48, 60.0))
    assert finder.found == Registration(Status.YES)
    assert not finder.info("rgb", wrong)
    assert (finder.found, finder.changes) == (Registration(Status.YES), [])


def test_a_calibration_that_changes_is_said_and_the_first_counts() -> None:
    finder = RegistrationFinder()
    finder.info("rgb", info(64, 48, 60.0))
    finder.info("depth", info(64, 48, 60.0))
    finder.info("depth", info(128, 96, 120.0))  # another resolution, the same view
    assert finder.changes == []
    assert not finder.info("depth", info(64, 48, 30.0))
    assert finder.found == Registration(Status.YES)
    assert finder.changes == [
        "camera_info of depth changed from a view of 56x44 degrees to 94x77 degrees: the first calibrated one counts; "
        "begin anew after changing a camera's mode"
    ]


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("yes", Status.YES, ""),
        ("by camera_info, both see the same", Status.BY_CAMERA_INFO, "both see the same"),
        ("no, sizes differ (RGB 64x48, depth 32x24)", Status.NO, "sizes differ (RGB 64x48, depth 32x24)"),
        ("unknown, no camera_info of RGB and depth", Status.UNKNOWN, "no camera_info of RGB and depth"),
        ("unknown", Status.UNKNOWN, ""),
        ("", Status.UNKNOWN, ""),
        ("nobody knows", Status.UNKNOWN, "nobody knows"),
        ("yesterday, all was well", Status.UNKNOWN, "yesterday, all was well"),
    ],
)
def test_what_was_written_before_is_read(text: str, status: Status, reason: str) -> None:
    assert parse_registration(text) == Registration(status, None, reason)


@pytest.mark.parametrize(
    ("depth", "verdict"),
    [
        (info(32, 24, 30.0), "yes"),  # registered at half the resolution
        (info(64, 48, 60.0, frame="d"), "by camera_info, both see the same"),
        (
            info(64, 48, 30.0),
            "by camera_info, columns 25% to 75% and rows 25% to 75% of depth are what RGB sees",
        ),
        (info(64, 48, 0.0), "unknown, camera_info of depth is not calibrated"),
        (
            info(64, 48, 0.6),
            "no, the cameras' intrinsics do not go together (columns 50% to 50% and rows 50% to 50% of depth are what "
            "RGB sees)",
        ),
    ],
)
def test_registration_by_camera_info(depth: Any, verdict: str) -> None:
    registration = told(info(64, 48, 60.0), depth)
    assert str(registration) == verdict
    assert parse_registration(verdict) == replace(registration, window=None)
    cut_to_it = registration.status is Status.BY_CAMERA_INFO and "columns" in verdict
    assert (registration.window is not None) == cut_to_it


@pytest.mark.parametrize(
    ("depth", "verdict"),
    [
        ((32, 24, FRAME), "no, sizes differ (RGB 64x48, depth 32x24)"),
        ((64, 48, "d"), f"no, frames differ (RGB {FRAME}, depth d)"),
    ],
)
def test_without_camera_info_sizes_and_frames_speak(depth: tuple[int, int, str], verdict: str) -> None:
    finder = RegistrationFinder()
    assert finder.images(rgb=(64, 48, FRAME), depth=depth)
    assert str(finder.found) == verdict
    assert not finder.images(rgb=(64, 48, FRAME), depth=depth)  # nothing new


def test_a_student_gets_depth_as_it_learned() -> None:
    live = told(info(64, 48, 80.0), info(64, 48, 40.0))
    yes, unknown = Registration(Status.YES), parse_registration("unknown, no camera_info of depth")
    for learned in ([yes, live], [yes, unknown]):  # some of its bags are enough
        assert as_learned(live, learned) == (live.window, "")
    assert "names no bags" in as_learned(live, [])[1]
    window, why = as_learned(live, [unknown])
    assert (window, "no camera_info of depth there" in why) == (None, True)
    finder = RegistrationFinder()
    assert as_learned(finder.found, [yes]) == (None, "")
    finder.images(rgb=(64, 48, FRAME), depth=(32, 24, FRAME))
    window, why = as_learned(finder.found, [yes])
    assert (window, "sizes differ" in why) == (None, True)


def write_bag(path: Path, infos: dict[str, Any]) -> Path:
    with BagWriter(path, min_free_bytes=0) as bag:
        add_topics(bag)
        bag.add_topic(DEPTH_INFO_TOPIC, CAMERA_INFO)
        bag.add_topic("other/camera_info", CAMERA_INFO)
        for number in range(3):
            add_pair(bag, number)
            for name, message in infos.items():
                bag.write(name, serialize(message), stamp(number))
    return path


def test_a_bag_s_camera_info_register_its_depth(tmp_path: Path) -> None:
    infos = {INFO_TOPIC: info(32, 24, 40.0), DEPTH_INFO_TOPIC: info(16, 12, 10.0)}
    reader = read_pairs(write_bag(tmp_path / "bag", infos))
    assert (reader.streams.depth, reader.streams.depth_camera_info) == (DEPTH_TOPIC, DEPTH_INFO_TOPIC)
    assert reader.registration.window == pytest.approx(Window(0.25, 0.25, 0.75, 0.75))
    for number, pair in enumerate(reader):
        np.testing.assert_array_equal(pair.depth_m, to_metres(depth_image(number))[3:9, 4:12])


def test_whoever_adapts_is_told_of_a_bag_whose_depth_is_not_registered(tmp_path: Path) -> None:
    def said(name: str, infos: dict[str, Any]) -> list[str]:
        return [doubt for doubt in bag_doubts(write_bag(tmp_path / name, infos)) if "registered" in doubt]

    (doubt,) = said("without", {INFO_TOPIC: info(32, 24, 40.0)})
    why = "sizes differ (RGB 32x24, depth 16x12)"
    assert doubt.startswith(f"{DEPTH_TOPIC}: depth may not be registered to RGB ({why}): ")
    assert "record camera_info of both cameras" in doubt
    assert not said("with", {INFO_TOPIC: info(32, 24, 40.0), DEPTH_INFO_TOPIC: info(16, 12, 10.0)})


def test_a_region_of_interest_sees_a_part_of_what_its_sensor_would() -> None:
    """sensor_msgs/CameraInfo: size and K are of the whole sensor, the image is of ``roi``."""
    part = info(96, 72, 80.0)
    part.roi.x_offset, part.roi.y_offset, part.roi.width, part.roi.height = 24, 18, 48, 36
    assert told(part, info(96, 72, 80.0)).window == pytest.approx(Window(0.25, 0.25, 0.75, 0.75))
    assert told(part, info(48, 36, 80.0)).window is None
    assert intrinsics(part) == Intrinsics(80.0, 23.5, 48, 80.0, 17.5, 36)


def test_camera_info_of_another_camera_registers_nothing(tmp_path: Path) -> None:
    """Only what stands beside an image topic is of its camera."""
    infos = {DEPTH_INFO_TOPIC: info(16, 12, 10.0), "other/camera_info": info(32, 24, 40.0)}
    reader = read_pairs(write_bag(tmp_path / "bag", infos))
    assert str(reader.registration) == "unknown, no camera_info of RGB"
    assert {pair.depth_m.shape for pair in reader} == {(12, 16)}


def test_a_bag_whose_first_infos_are_not_calibrated(tmp_path: Path) -> None:
    calibrated = {INFO_TOPIC: info(32, 24, 40.0), DEPTH_INFO_TOPIC: info(16, 12, 10.0)}
    with BagWriter(tmp_path / "bag", min_free_bytes=0) as bag:
        add_topics(bag)
        bag.add_topic(DEPTH_INFO_TOPIC, CAMERA_INFO)
        for number in range(6):
            add_pair(bag, number)
            for name, message in calibrated.items():
                sent = replace(message, k=np.zeros(9)) if number < 3 else message
                bag.write(name, serialize(sent), stamp(number))
            if number == 5:
                bag.write(DEPTH_INFO_TOPIC, serialize(info(16, 12, 20.0)), stamp(number))
    reader = read_pairs(tmp_path / "bag")
    assert reader.registration.window == pytest.approx(Window(0.25, 0.25, 0.75, 0.75))
    assert {pair.depth_m.shape for pair in reader} == {(6, 8)}
    assert [doubt for doubt in reader.doubts if "camera_info of depth changed" in doubt]
