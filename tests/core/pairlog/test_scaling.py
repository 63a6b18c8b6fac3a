"""Reduced resolution and compression: pixels, encodings, intrinsics."""

from typing import Any

import cv2
import numpy as np
import pytest

from edgevl_core.camera.depth import decode_depth, to_metres
from edgevl_core.camera.images import decode, decode_rgb
from edgevl_core.pairlog.compressing import compress_depth_msg, compress_rgb_msg
from edgevl_core.pairlog.decoded import decoded_depth, decoded_rgb
from edgevl_core.pairlog.scaling import scale_depth_msg, scale_info_msg, scale_rgb_msg
from edgevl_core.pairlog.types import camera_info_msg, compressed_image_msg, deserialize, image_msg, serialize

pytestmark = pytest.mark.unit
STAMP, FRAME = 1_700_000_000_123_456_789, "camera"
RNG = np.random.default_rng(0)
# Few colours: JPEG halves their resolution.
SMOOTH = cv2.resize(RNG.integers(100, 140, (3, 4, 3), dtype=np.uint8), (64, 48), interpolation=cv2.INTER_LINEAR)
DEPTH_MM = RNG.integers(0, 6000, (48, 64), dtype=np.uint16)


def scaled_rgb(message: Any, scale: float) -> Any:
    return scale_rgb_msg(decoded_rgb(message), scale).message


def scaled_depth(message: Any, scale: float) -> Any:
    return scale_depth_msg(decoded_depth(message), scale).message


def compressed_rgb(message: Any) -> Any:
    return compress_rgb_msg(decoded_rgb(message)).message


def compressed_depth(message: Any) -> Any:
    return compress_depth_msg(decoded_depth(message)).message


def round_trip(message: Any) -> Any:
    """As a bag would give it back."""
    return deserialize(serialize(message), message.__msgtype__)


def test_rgb_is_averaged_over_areas() -> None:
    small = round_trip(scaled_rgb(image_msg(SMOOTH, "bgr8", STAMP, FRAME), 0.5))
    assert (small.width, small.height, small.encoding) == (32, 24, "rgb8")
    assert (small.header.stamp.nanosec, small.header.frame_id) == (123_456_789, FRAME)
    blocks = SMOOTH[..., ::-1].reshape(24, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(decode_rgb(small) - blocks).max() <= 0.5


@pytest.mark.parametrize(("extension", "name"), [(".jpg", "jpeg"), (".png", "png")])
def test_compressed_rgb_stays_compressed(extension: str, name: str) -> None:
    data = cv2.imencode(extension, SMOOTH)[1].tobytes()
    small = round_trip(scaled_rgb(compressed_image_msg(data, f"rgb8; {name} compressed bgr8", STAMP, FRAME), 0.5))
    assert name in small.format
    expected = cv2.resize(SMOOTH[..., ::-1], (32, 24), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(decode_rgb(small) - expected).mean() < 2


@pytest.mark.parametrize(("pixels", "encoding"), [(DEPTH_MM, "16UC1"), (DEPTH_MM / np.float32(1000), "32FC1")])
def test_depth_takes_pixels_as_they_are(pixels: np.ndarray, encoding: str) -> None:
    small = round_trip(scaled_depth(image_msg(pixels, encoding, STAMP, FRAME), 0.25))
    assert (small.width, small.height, small.encoding) == (16, 12, encoding)
    blocks = pixels.reshape(12, 4, 16, 4).transpose(0, 2, 1, 3).reshape(12, 16, 16)
    assert (decode(small)[..., None] == blocks).any(-1).all()


def test_compressed_depth_stays_compressed_and_keeps_its_millimetres() -> None:
    data = bytes(12) + cv2.imencode(".png", DEPTH_MM)[1].tobytes()
    small = round_trip(scaled_depth(compressed_image_msg(data, "16UC1; compressedDepth png", STAMP, FRAME), 0.5))
    raw = scaled_depth(image_msg(DEPTH_MM, "16UC1", STAMP, FRAME), 0.5)
    np.testing.assert_array_equal(decode(small), decode(raw))
    np.testing.assert_array_equal(decode_depth(small) == 0, decode(raw) == 0)


def test_compressed_depth_comes_back_as_it_was() -> None:
    message = round_trip(compressed_depth(image_msg(DEPTH_MM, "16UC1", STAMP, FRAME)))
    np.testing.assert_array_equal(decode(message), DEPTH_MM)
    assert (message.header.stamp.nanosec, message.header.frame_id) == (123_456_789, FRAME)
    assert message.format == "16UC1; compressedDepth png"


def test_compressed_metres_are_kept_to_half_a_millimetre() -> None:
    depth_m = RNG.uniform(0.0, 9.0, (48, 64)).astype(np.float32)
    depth_m[0, :4] = (np.nan, np.inf, 0.0, 70.0)
    back = to_metres(decode_depth(round_trip(compressed_depth(image_msg(depth_m, "32FC1", STAMP, FRAME)))))
    assert np.isnan(back[0, :3]).all()
    assert back[0, 3] == pytest.approx(65.535)  # what 16 bits hold
    np.testing.assert_allclose(back[1:], depth_m[1:], atol=0.0005 + 1e-6)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_compressed_colour_stays_close(encoding: str) -> None:
    message = round_trip(compressed_rgb(image_msg(SMOOTH, encoding, STAMP, FRAME)))
    expected = SMOOTH if encoding == "rgb8" else SMOOTH[..., ::-1]
    assert np.abs(decode_rgb(message).astype(int) - expected).mean() < 2
    assert message.header.frame_id == FRAME


def test_camera_info_is_scaled_with_the_image() -> None:
    """A point in space falls on the same part of the small image as of the large one."""
    info = camera_info_msg(640, 480, 525.0, 520.0, 319.5, 241.0, STAMP, FRAME)
    small = round_trip(scale_info_msg(info, 0.3))
    assert (small.width, small.height) == (192, 144)
    assert small.header.frame_id == FRAME
    for matrix, before in (
        (small.k.reshape(3, 3), info.k.reshape(3, 3)),
        (small.p.reshape(3, 4), info.p.reshape(3, 4)),
    ):
        point = np.array([0.3, -0.2, 1.0, 1.0][: matrix.shape[1]])
        large_px, small_px = before @ point, matrix @ point
        np.testing.assert_allclose((small_px[:2] + 0.5) / (192, 144), (large_px[:2] + 0.5) / (640, 480))
