"""Pictures that lie, of every kind a topic can carry: one error with a reason, little memory, little time."""

import gc
import random
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edgevl_core.camera.depth import decode_depth
from edgevl_core.camera.images import ImageFormatError, decode, decode_rgb
from edgevl_core.camera.limits import MAX_PIXELS
from edgevl_core.pairlog.types import COMPRESSED_IMAGE, IMAGE, compressed_image_msg, deserialize, image_msg, serialize
from tests.core.camera.rvl import encode_rvl

pytestmark = pytest.mark.unit

RNG = np.random.default_rng(1)
COLOUR = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
DEPTH_MM = np.where(RNG.random((48, 64)) < 0.2, 0, RNG.integers(500, 6000, (48, 64))).astype(np.uint16)
JPEG, PNG, PNG16 = (
    cv2.imencode(kind, pixels)[1].tobytes() for kind, pixels in ((".jpg", COLOUR), (".png", COLOUR), (".png", DEPTH_MM))
)
HEADER = struct.pack("<iff", 0, 100.0, 0.5)
RVL = HEADER + struct.pack("<II", 64, 48) + encode_rvl(DEPTH_MM)


def packed(name: str, data: bytes) -> Any:
    return SimpleNamespace(format=name, data=data)


def png_of_size(width: int, height: int, bits: int = 8, colour: int = 2, body: bytes = b"") -> bytes:
    """A PNG whose header says so, whatever its body holds."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    """The JPEG with another size written into its frame header."""
    at = JPEG.index(b"\xff\xc0")
    return JPEG[: at + 5] + struct.pack(">HH", height, width) + JPEG[at + 9 :]


def memory_mb(name: str) -> float:
    """VmRSS, what the process has now, or VmHWM, the most it had; megabytes."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) / 1024


def taken_mb(job: Callable[[], object]) -> float:
    """The most memory that ``job`` took at once, less what the process gave back meanwhile."""
    gc.collect()  # or a collection during the job gives back what others left
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is forgotten
    before = memory_mb("VmRSS")
    job()
    return memory_mb("VmHWM") - before


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (packed("png", png_of_size(50_000, 50_000, body=zlib.compress(bytes(20_000_000), 9))), "too many"),
        (packed("png", png_of_size(40_000, 40_000, 16, 0)), "too many"),
        (packed("16UC1; compressedDepth png", HEADER + png_of_size(30_000, 30_000, 16, 0)), "too many"),
        (packed("png", png_of_size(4_000, 4_000, 16, 6)), "too many"),  # 8 bytes a pixel
        (packed("png", png_of_size(5_000, 4_000)), "cannot hold"),
        (packed("png", png_of_size(0, 40)), "empty"),
        (packed("jpeg", jpeg_of_size(65_000, 65_000)), "too many"),
        (packed("jpeg", jpeg_of_size(5_000, 4_100)), "cut off"),
        (packed("jpeg", jpeg_of_size(0, 40)), "empty"),
        (packed("16UC1; compressedDepth rvl", HEADER + struct.pack("<II", 60_000, 60_000) + bytes(400)), "too many"),
        (packed("16UC1; compressedDepth rvl", HEADER + struct.pack("<II", 5_000, 4_000) + bytes(400)), "too many for"),
        (packed("16UC1; compressedDepth rvl", HEADER + struct.pack("<II", 2_000, 2_000) + bytes(400)), "do not make"),
    ],
)
def test_a_size_that_cannot_be_is_refused_before_memory_is_taken(message: Any, reason: str) -> None:
    def refused() -> None:
        with pytest.raises(ImageFormatError, match=reason):
            decode(message)

    begun_s = time.process_time()
    assert taken_mb(refused) < 60
    assert time.process_time() - begun_s < 1


@pytest.mark.parametrize(("height", "width"), [(2**31, 2**31), (2**32 - 1, 1), (6_000, 6_000), (0, 5), (5, 0)])
@pytest.mark.parametrize("encoding", ["rgb8", "16UC1", "32FC1", "8UC4", "nv12", "bayer_rggb8"])
def test_a_raw_image_of_absurd_size_is_refused(encoding: str, height: int, width: int) -> None:
    message = SimpleNamespace(height=height, width=width, encoding=encoding, is_bigendian=0, step=width * 4, data=b"")
    for read in (decode, decode_rgb, decode_depth):
        with pytest.raises(ImageFormatError, match=r"too many|empty|not a colour format|no depth"):
            read(message)


def test_memory_is_measured() -> None:
    # 60 is what the tests above allow. Less than 100 is seen where the kernel takes pages of libraries back meanwhile.
    assert 60 < taken_mb(lambda: np.ones(100 * 2**20, np.uint8)) < 120


def test_the_largest_picture_is_read() -> None:
    side = int(MAX_PIXELS**0.5)
    jpeg = cv2.imencode(".jpg", cv2.resize(COLOUR, (side, side)))[1].tobytes()
    shapes = []
    assert taken_mb(lambda: shapes.append(decode_rgb(packed("jpeg", jpeg)).shape)) < 300
    assert shapes == [(side, side, 3)]


@pytest.mark.parametrize(
    "extension", [".bmp", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".hdr", ".jp2", ".ras", ".pfm"]
)
def test_only_jpeg_and_png_reach_a_decoder(extension: str) -> None:
    pixels = COLOUR.astype(np.float32) / 255 if extension in (".hdr", ".pfm") else COLOUR
    done, data = cv2.imencode(extension, pixels[..., 0] if extension == ".pgm" else pixels)
    assert done
    for name in ("jpeg", "png", "rgb8; jpeg compressed bgr8", "16UC1; compressedDepth png"):
        with pytest.raises(ImageFormatError, match=r"JPEG and PNG are accepted|too few"):
            decode(packed(name, (HEADER if "Depth" in name else b"") + data.tobytes()))


@pytest.mark.parametrize("data", [PNG[: len(PNG) // 2], PNG[:-16], JPEG[: len(JPEG) // 2], JPEG[:-2], JPEG[:300]])
def test_a_picture_that_was_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(ImageFormatError, match="no readable image"):
        decode(packed("jpeg", data))


MESSAGES = [
    (IMAGE, serialize(image_msg(COLOUR, "rgb8", 1, "camera"))),
    (IMAGE, serialize(image_msg(DEPTH_MM, "16UC1", 1, "camera"))),
    (IMAGE, serialize(image_msg(DEPTH_MM.astype(np.float32), "32FC1", 1, "camera"))),
    (IMAGE, serialize(image_msg(COLOUR[..., 0], "mono8", 1, "camera")).replace(b"mono8", b"nv12\0")),
    (IMAGE, serialize(image_msg(COLOUR[..., 0], "mono8", 1, "camera")).replace(b"mono8", b"uyvy\0")),
    *(
        (COMPRESSED_IMAGE, serialize(compressed_image_msg(data, name, 1, "camera")))
        for name, data in (
            ("jpeg", JPEG),
            ("rgb8; jpeg compressed bgr8", JPEG),
            ("bayer_rggb8; png compressed", cv2.imencode(".png", COLOUR[..., 0])[1].tobytes()),
            ("png", PNG),
            ("16UC1; png compressed", PNG16),
            ("16UC1; compressedDepth png", HEADER + PNG16),
            ("32FC1; compressedDepth png", HEADER + PNG16),
            ("16UC1; compressedDepth rvl", RVL),
            ("32FC1; compressedDepth rvl", RVL),
        )
    ),
]
ENCODINGS = b"rgb8 16UC1 32FC1 nv21 8UC99 32SC9 rgb16 yuyv mono8 64FC1".split()


def mutated(cdr: bytes, rng: random.Random) -> bytes:
    """Bytes changed, mostly where the lengths and headers stand; or cut off; or with another encoding's name."""
    data = bytearray(cdr)
    for _ in range(rng.randint(1, 6)):
        reach = rng.choice((40, 120, 400, len(data)))
        data[rng.randrange(min(reach, len(data)))] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
    if rng.random() < 0.3:
        data = data[: rng.randrange(len(data))]
    if rng.random() < 0.3:
        was = rng.choice((b"rgb8", b"16UC1", b"32FC1", b"mono8"))
        now = rng.choice(ENCODINGS)[: len(was)].ljust(len(was), b"\0")
        data = data.replace(was, now)
    return bytes(data)


def test_whatever_is_in_a_message_there_is_one_error() -> None:
    rng = random.Random(13)
    outcome = {"read": 0, "refused": 0}
    reasons: set[str] = set()

    def look() -> None:
        for number in range(6_000):
            kind, cdr = MESSAGES[number % len(MESSAGES)]
            data = mutated(cdr, rng)
            for read in (decode_rgb, decode_depth, decode):
                begun_s = time.process_time()
                try:
                    read(deserialize(data, kind))
                    outcome["read"] += 1
                except ImageFormatError as error:
                    outcome["refused"] += 1
                    reasons.add(str(error))
                assert time.process_time() - begun_s < 1

    assert taken_mb(look) < 300
    assert min(outcome.values()) > 1_000
    assert all(reason and "\n" not in reason for reason in reasons)
