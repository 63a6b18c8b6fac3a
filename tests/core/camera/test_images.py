"""cv_bridge's rules, one by one, on hand-made messages."""

import array
import struct
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edgevl_core.camera.images import ImageFormatError, decode, decode_rgb, message_encoding
from edgevl_core.pairlog.types import deserialize, image_msg, serialize

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 8), dtype=np.uint8)


def image(
    pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False, data: bytes | None = None
) -> Any:
    """An Image message with ``padding`` bytes after each row."""
    rows = [row.tobytes() + b"\xa5" * padding for row in pixels]
    return SimpleNamespace(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=len(rows[0]),
        data=b"".join(rows) if data is None else data,
    )


def compressed(pixels: np.ndarray, extension: str, name: str, prefix: bytes = b"") -> Any:
    done, data = cv2.imencode(extension, pixels)
    assert done
    return SimpleNamespace(format=name, data=prefix + data.tobytes())


@pytest.mark.parametrize("padding", [0, 1, 5, 16])
@pytest.mark.parametrize(
    ("encoding", "dtype", "channels"),
    [
        ("rgb8", "u1", 3),
        ("mono8", "u1", 1),
        ("16UC1", "u2", 1),
        ("32FC1", "f4", 1),
        ("bgra16", "u2", 4),
        ("8UC2", "u1", 2),
        ("64FC1", "f8", 1),
        ("32SC3", "i4", 3),
        ("16UC", "u2", 1),
    ],
)
def test_step_is_honoured_whatever_the_padding(encoding: str, dtype: str, channels: int, padding: int) -> None:
    shape = (6, 8) if channels == 1 else (6, 8, channels)
    pixels = RNG.integers(0, 100, shape).astype(dtype)
    got = decode(image(pixels, encoding, padding))
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, pixels)


@pytest.mark.parametrize(("encoding", "dtype"), [("16UC1", "u2"), ("32FC1", "f4"), ("mono8", "u1")])
def test_only_wider_channels_are_byte_swapped(encoding: str, dtype: str) -> None:
    pixels = RNG.integers(0, 200, (6, 8)).astype(dtype)
    got = decode(image(pixels.astype(pixels.dtype.newbyteorder(">")), encoding, padding=3, big_endian=True))
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, pixels)


@pytest.mark.parametrize("encoding", ["rgb8", "16UC1", "32FC1"])
def test_nothing_is_copied_without_need(encoding: str) -> None:
    pixels = {"rgb8": COLOUR, "16UC1": GREY.astype("u2"), "32FC1": GREY.astype("f4")}[encoding]
    message = deserialize(serialize(image_msg(pixels, encoding, 0, "")), "sensor_msgs/msg/Image")
    got = decode_rgb(message) if encoding == "rgb8" else decode(message, encoding)
    assert np.shares_memory(got, message.data)


def test_data_may_be_an_array_as_rclpy_gives_it() -> None:
    message = image(COLOUR, "rgb8")
    message.data = array.array("B", message.data)
    np.testing.assert_array_equal(decode_rgb(message), COLOUR)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("bgr8", cv2.COLOR_BGR2RGB),
        ("rgba8", cv2.COLOR_RGBA2RGB),
        ("bgra8", cv2.COLOR_BGRA2RGB),
        ("mono8", cv2.COLOR_GRAY2RGB),
        ("yuv422", cv2.COLOR_YUV2RGB_UYVY),
        ("uyvy", cv2.COLOR_YUV2RGB_UYVY),
        ("yuv422_yuy2", cv2.COLOR_YUV2RGB_YUYV),
        ("yuyv", cv2.COLOR_YUV2RGB_YUYV),
        ("bayer_rggb8", cv2.COLOR_BayerBG2RGB),
        ("bayer_bggr8", cv2.COLOR_BayerRG2RGB),
        ("bayer_gbrg8", cv2.COLOR_BayerGR2RGB),
        ("bayer_grbg8", cv2.COLOR_BayerGB2RGB),
    ],
)
def test_every_colour_format_becomes_rgb(source: str, code: int) -> None:
    channels = {"rgba8": 4, "bgra8": 4, "bgr8": 3}.get(source, 2 if "yuv" in source or "yv" in source else 1)
    pixels = RNG.integers(0, 256, (6, 8) if channels == 1 else (6, 8, channels), dtype=np.uint8)
    np.testing.assert_array_equal(decode_rgb(image(pixels, source, padding=2)), cv2.cvtColor(pixels, code))


def test_a_red_bayer_pixel_comes_out_red() -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[::2, ::2] = 200  # rggb: the first pixel is red
    red, green, blue = decode_rgb(image(pixels, "bayer_rggb8"))[4, 4]
    assert (red, green, blue) == (200, 0, 0)


def test_8_and_16_bit_are_rescaled() -> None:
    wide = decode(image(GREY, "mono8"), "mono16")
    np.testing.assert_array_equal(wide, GREY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(decode(image(wide, "mono16"), "mono8"), GREY)
    np.testing.assert_array_equal(decode(image(COLOUR.astype(np.uint16) * 257, "bgr16"), "rgb8"), COLOUR[..., ::-1])
    # cv_bridge takes mono16 for the plain type as it is, and rescales 16UC1 to 8UC1
    np.testing.assert_array_equal(decode(image(wide, "mono16"), "16UC1"), wide)
    np.testing.assert_array_equal(decode(image(wide, "16UC1"), "8UC1"), GREY)
    np.testing.assert_array_equal(decode(image(wide, "16UC1"), "32FC1"), wide.astype(np.float32))
    np.testing.assert_array_equal(decode(image(np.array([[-3.0, 1.6, 7e4]], "f4"), "32FC1"), "16UC1"), [[0, 2, 65535]])


def test_passthrough_converts_nothing() -> None:
    for wanted in (None, "passthrough", "bgr8"):
        np.testing.assert_array_equal(decode(image(COLOUR, "bgr8"), wanted), COLOUR)


@pytest.mark.parametrize(
    ("source", "pixels", "target", "reason"),
    [
        ("16UC1", GREY.astype("u2"), "rgb8", "makes no sense"),
        ("32FC1", GREY.astype("f4"), "mono8", "makes no sense"),
        ("8UC3", COLOUR, "bgr8", "makes no sense"),
        ("16UC1", GREY.astype("u2"), "16UC3", "number of channels"),
        ("rgb8", COLOUR, "8UC1", "number of channels"),
        ("rgb8", COLOUR, "bayer_rggb8", "converted to"),
        ("rgb8", COLOUR, "yuv422", "converted to"),
        ("bayer_rggb8", GREY, "rgba8", "no conversion"),
        ("rgb8", COLOUR, "rgb9", "unknown"),
        ("rgb9", COLOUR, None, "unknown"),
        ("nv24", GREY, "rgb8", "nv24.*unknown.*nv12"),
        ("rgb8", COLOUR, "nv12", "converted to"),
    ],
)
def test_conversions_without_sense_are_refused(
    source: str, pixels: np.ndarray, target: str | None, reason: str
) -> None:
    with pytest.raises(ImageFormatError, match=reason):
        decode(image(pixels, source), target)


def test_malformed_images_are_refused() -> None:
    short_step = image(COLOUR, "rgb8")
    short_step.step = 8 * 3 - 1
    with pytest.raises(ImageFormatError, match="step"):
        decode(short_step)
    with pytest.raises(ImageFormatError, match="needs more"):
        decode(image(COLOUR, "rgb8", data=COLOUR.tobytes()[:-1]))
    np.testing.assert_array_equal(decode(image(COLOUR, "rgb8", data=COLOUR.tobytes() + b"xx")), COLOUR)


def test_compressed_colour() -> None:
    png = compressed(COLOUR[..., ::-1], ".png", "bgr8; png compressed bgr8")
    np.testing.assert_array_equal(decode_rgb(png), COLOUR)
    np.testing.assert_array_equal(decode(png), COLOUR[..., ::-1])
    smooth = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    for name in ("jpeg", "rgb8; jpeg compressed bgr8"):
        got = decode_rgb(compressed(smooth[..., ::-1], ".jpg", name))
        assert np.abs(got.astype(int) - smooth).max() <= 4
    grey = compressed(GREY, ".png", "mono8; png compressed")
    np.testing.assert_array_equal(decode(grey), GREY)
    np.testing.assert_array_equal(decode_rgb(grey), np.dstack([GREY] * 3))


def test_compressed_rubbish_is_refused() -> None:
    for data in (b"", b"no image at all"):
        with pytest.raises(ImageFormatError, match="no readable image"):
            decode(SimpleNamespace(format="jpeg", data=data))


def test_compressed_depth_header_is_skipped() -> None:
    depth = RNG.integers(0, 8000, (6, 8), dtype=np.uint16)
    header = struct.pack("<iff", 0, 0.0, 0.0)
    for name in ("16UC1; compressedDepth", "16UC1; compressedDepth png"):
        np.testing.assert_array_equal(decode(compressed(depth, ".png", name, header)), depth)
    np.testing.assert_array_equal(decode(compressed(depth, ".png", "16UC1; compressedDepth png")), depth)
    np.testing.assert_array_equal(decode(compressed(depth, ".png", "16UC1; png compressed ")), depth)


def test_compressed_float_depth_is_dequantised() -> None:
    depth = RNG.uniform(0.3, 8.0, (6, 8)).astype(np.float32)
    a, b = 100.0 * 101.0, 1.0 - 100.0 * 101.0 / 10.0  # compressed_depth_image_transport: A, B of 10 m
    quantised = np.rint(a / depth + b).astype(np.uint16)
    quantised[0, 0] = 0
    header = struct.pack("<iff", 0, a, b)
    got = decode(compressed(quantised, ".png", "32FC1; compressedDepth png", header))
    assert got.dtype == np.float32
    assert np.isnan(got[0, 0])
    np.testing.assert_allclose(got.ravel()[1:], depth.ravel()[1:], rtol=5e-3)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("16UC1; compressedDepth rvl", b"\0" * 40, "empty"),
        ("16UC1; compressedDepth png", b"\0" * 12, "too few"),
        ("16UC1; compressedDepth png", b"\0" * 40, "no readable image"),
    ],
)
def test_compressed_depth_that_cannot_be_read(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(ImageFormatError, match=reason):
        decode(SimpleNamespace(format=name, data=data))


@pytest.mark.parametrize(
    ("message", "encoding"),
    [
        (SimpleNamespace(encoding="16UC1"), "16UC1"),
        (SimpleNamespace(encoding="32FC1"), "32FC1"),
        (SimpleNamespace(encoding="mono16"), "mono16"),
        (SimpleNamespace(encoding="rgb8"), "rgb8"),
        (SimpleNamespace(format="32FC1; compressedDepth png"), "32FC1"),
        (SimpleNamespace(format="compressedDepth"), "16UC1"),
        (SimpleNamespace(format="16UC1; png compressed "), "16UC1"),
        (SimpleNamespace(format="rgb8; jpeg compressed bgr8"), "bgr8"),
        (SimpleNamespace(format="jpeg", data=b"\xff\xd8"), ""),
        (compressed(GREY.astype("u2"), ".png", "png"), "mono16"),
        (compressed(COLOUR, ".png", "png"), ""),
    ],
)
def test_the_encoding_is_told_by_the_message(message: Any, encoding: str) -> None:
    assert message_encoding(message) == encoding
