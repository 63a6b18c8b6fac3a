"""Pictures checked against the name they come under: numbers of another width are never taken for depth or colour."""

import struct
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edgevl_core.camera.depth import decode_depth
from edgevl_core.camera.images import ImageFormatError, decode_rgb, message_encoding

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(3)
GREY = cv2.resize(RNG.integers(0, 256, (6, 8), dtype=np.uint8), (64, 48))
COLOUR = cv2.resize(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8), (64, 48))
DEPTH_MM = RNG.integers(500, 5000, (48, 64), dtype=np.uint16)
HEADER = struct.pack("<iff", 0, 100.0, 0.5)


def packed(name: str, extension: str, pixels: np.ndarray, prefix: bytes = b"") -> Any:
    return SimpleNamespace(format=name, data=prefix + cv2.imencode(extension, pixels)[1].tobytes())


@pytest.mark.parametrize(
    "message",
    [
        packed("16UC1; jpeg compressed ", ".jpg", GREY),
        packed("16UC1; png compressed ", ".png", GREY),
        packed("16UC1; png compressed ", ".png", COLOUR),
        packed("16UC1; jpeg compressed bgr8", ".jpg", COLOUR),
        packed("mono16; jpeg compressed ", ".jpg", GREY),
        packed("mono16; png compressed ", ".png", GREY),
        packed("32FC1; jpeg compressed ", ".jpg", GREY),
        packed("32FC1; png compressed ", ".png", DEPTH_MM),
        packed("16SC1; png compressed ", ".png", DEPTH_MM),
        packed("jpeg", ".jpg", GREY),
        packed("png", ".png", GREY),
        packed("png", ".png", COLOUR.astype(np.uint16) * 257),
        packed("16UC1; compressedDepth png", ".png", GREY, HEADER),
        packed("16UC1; compressedDepth png", ".png", COLOUR, HEADER),
        packed("16UC1; compressedDepth png", ".jpg", GREY, HEADER),
        packed("rgb8; compressedDepth png", ".png", DEPTH_MM, HEADER),
        packed("8UC1; compressedDepth png", ".png", DEPTH_MM, HEADER),
        packed("32FC1; compressedDepth png", ".png", DEPTH_MM, struct.pack("<iff", 0, float("nan"), 1.0)),
        packed("32FC1; compressedDepth png", ".png", DEPTH_MM, bytes(12)),
    ],
    ids=lambda message: f"{message.format} {len(message.data)}",
)
def test_what_is_no_depth_is_never_read_as_depth(message: Any) -> None:
    with pytest.raises(ImageFormatError):
        decode_depth(message)


@pytest.mark.parametrize(
    "message",
    [
        packed("rgb8; png compressed bgr8", ".png", DEPTH_MM),
        packed("bgr8; png compressed bgr8", ".png", COLOUR.astype(np.uint16) * 257),
        packed("mono8; png compressed ", ".png", DEPTH_MM),
        packed("16UC1; png compressed ", ".png", DEPTH_MM),
        packed("32FC1; jpeg compressed ", ".jpg", COLOUR),
        packed("32SC1; png compressed ", ".png", DEPTH_MM),
        packed("rgb8; compressedDepth png", ".png", DEPTH_MM, HEADER),
    ],
    ids=lambda message: message.format,
)
def test_what_is_no_colour_is_never_read_as_colour(message: Any) -> None:
    with pytest.raises(ImageFormatError):
        decode_rgb(message)


def test_the_reason_says_what_is_there_and_what_to_do() -> None:
    with pytest.raises(ImageFormatError, match=r"16UC1 is promised, .* 1 channel of 8 bits: .*compressedDepth"):
        decode_depth(packed("16UC1; jpeg compressed ", ".jpg", GREY))


def test_a_wide_camera_may_send_narrow_pictures() -> None:
    got = decode_rgb(packed("mono16; jpeg compressed ", ".jpg", np.full((8, 8), 90, np.uint8)))
    assert np.abs(got.astype(int) - 90).max() <= 2
    wide = packed("rgb16; png compressed bgr16", ".png", COLOUR[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(decode_rgb(wide), COLOUR)


def test_a_mosaic_that_was_compressed_as_it_is_becomes_colour() -> None:
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[::2, ::2] = 200  # rggb: the first pixel is red
    message = packed("bayer_rggb8; png compressed ", ".png", mosaic)
    assert message_encoding(message) == "bayer_rggb8"
    assert decode_rgb(message)[4, 4].tolist() == [200, 0, 0]


@pytest.mark.parametrize(("encoding", "chroma"), [("nv12", (90, 240)), ("nv21", (240, 90))])
@pytest.mark.parametrize("padding", [0, 12])
def test_nv12_and_nv21(encoding: str, chroma: tuple[int, int], padding: int) -> None:
    """Red in BT.601: Y 82, U 90, V 240; nv21 has V first."""
    planes = np.full((48 + 24, 64 + padding), 7, np.uint8)
    planes[:48, :64] = 82
    planes[48:, :64:2], planes[48:, 1:64:2] = chroma
    message = SimpleNamespace(
        height=48, width=64, encoding=encoding, is_bigendian=0, step=64 + padding, data=planes.tobytes()
    )
    picture = decode_rgb(message)
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture.astype(int) - (255, 0, 0)).max() <= 3
    message.height = 50  # the chroma is missing
    with pytest.raises(ImageFormatError, match="needs more"):
        decode_rgb(message)
    message.height = 47
    with pytest.raises(ImageFormatError, match="even"):
        decode_rgb(message)
