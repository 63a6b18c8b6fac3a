"""RGB and depth are chosen as a pair of one camera, by what their messages say; where two fit, it is asked."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.info import log_info
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.streams import find_streams
from edgevl_core.pairlog.types import CAMERA_INFO, camera_info_msg, compressed_image_msg, image_msg, serialize
from edgevl_core.pairlog.writer import BagWriter
from tests.core.bags import stamp

pytestmark = pytest.mark.unit
MM = np.full((8, 8), 1500, np.uint16)
PIXELS: dict[str, np.ndarray] = {
    "rgb8": np.full((8, 8, 3), 100, np.uint8),
    "bgra8": np.full((8, 8, 4), 100, np.uint8),
    "mono8": np.full((8, 8), 100, np.uint8),
    "8UC1": np.full((8, 8), 3, np.uint8),
    "8UC3": np.full((8, 8, 3), 3, np.uint8),
    "32SC1": np.full((8, 8), 3, np.int32),
    "32FC3": np.zeros((8, 8, 3), np.float32),
    "32FC1": (MM / 1000).astype(np.float32),
    "16UC1": MM,
    "mono16": MM,
}
JPEG, PNG = (cv2.imencode(kind, PIXELS["rgb8"])[1].tobytes() for kind in (".jpg", ".png"))
MASK = cv2.imencode(".png", PIXELS["8UC1"])[1].tobytes()


def message(what: str, at: int, frame: str) -> Any:
    """An Image of an encoding, or a CompressedImage of "format|content"."""
    if "|" not in what:
        return image_msg(PIXELS[what], what, at, frame)
    name, _, content = what.partition("|")
    data = {"jpeg": JPEG, "png": PNG, "mask": MASK, "video": b"\0\0\0\1g" + bytes(50)}[content]
    return compressed_image_msg(data, name, at, frame)


def bag_of(path: Path, topics: dict[str, tuple[str, str]], count: int = 3, more: dict[str, int] | None = None) -> Path:
    """Topics by name: what is in them, and their frame_id; ``more``: additional messages at the end of some."""
    with BagWriter(path) as bag:
        for name, (what, frame) in topics.items():
            bag.add_topic(name, message(what, 0, frame).__msgtype__)
        for number in range(count + max((more or {}).values(), default=0)):
            for name, (what, frame) in topics.items():
                if number < count + (more or {}).get(name, 0):
                    bag.write(name, serialize(message(what, stamp(number), frame)), stamp(number))
    return path


def chosen(bag: Path, **named: str) -> tuple[str, str]:
    with BagReader(bag) as reader:
        found = find_streams(reader, **named)
    return found.rgb, found.depth


TWO = {
    "/one/color/image_raw": ("rgb8", "one_color_optical_frame"),
    "/one/depth/image_rect_raw": ("16UC1", "one_depth_optical_frame"),
    "/two/color/image_raw": ("rgb8", "two_color_optical_frame"),
    "/two/depth/image_rect_raw": ("16UC1", "two_depth_optical_frame"),
}


@pytest.mark.parametrize("longer", TWO)
def test_two_cameras_are_a_question(tmp_path: Path, longer: str) -> None:
    """However many messages each topic has; naming one topic of a camera answers it."""
    bag = bag_of(tmp_path / "bag", TWO, more={longer: 2})
    with pytest.raises(UserError) as error:
        chosen(bag)
    assert "\n" not in str(error.value)
    assert all(name in str(error.value) for name in (*TWO, "--rgb", "--depth"))
    for camera in ("one", "two"):
        pair = f"/{camera}/color/image_raw", f"/{camera}/depth/image_rect_raw"
        assert chosen(bag, rgb=pair[0]) == chosen(bag, depth=pair[1].lstrip("/")) == pair
    assert chosen(bag, rgb="/one/color/image_raw", depth="/two/depth/image_rect_raw") == (
        "/one/color/image_raw",
        "/two/depth/image_rect_raw",
    )
    assert log_info(bag).pairing is None
    assert "/two/color/image_raw" in log_info(bag).not_paired_because
    assert log_info(bag, rgb="/two/color/image_raw").pairing.depth == "/two/depth/image_rect_raw"
    assert read_pairs(bag, depth="/one/depth/image_rect_raw").streams.rgb == "/one/color/image_raw"


@pytest.mark.parametrize("frame", ["", "cam", "camera_color_optical_frame"])
def test_two_cameras_of_one_frame_are_told_by_namespace(tmp_path: Path, frame: str) -> None:
    bag = bag_of(tmp_path / "bag", {name: (what, frame) for name, (what, _) in TWO.items()})
    with pytest.raises(UserError, match="/two/color/image_raw"):
        chosen(bag)
    assert chosen(bag, rgb="/two/color/image_raw")[1] == "/two/depth/image_rect_raw"


def test_two_cameras_without_namespaces_are_told_by_frame(tmp_path: Path) -> None:
    topics = {"/c1": ("rgb8", "a_rgb"), "/c2": ("rgb8", "b_rgb"), "/d1": ("16UC1", "b_depth"), "/d2": ("16UC1", "a")}
    bag = bag_of(tmp_path / "bag", topics)
    with pytest.raises(UserError, match="several"):
        chosen(bag)
    assert chosen(bag, rgb="/c1") == ("/c1", "/d2")
    assert chosen(bag, depth="/d1") == ("/c2", "/d1")


def test_a_camera_with_aligned_depth_beside_another_is_a_question(tmp_path: Path) -> None:
    topics = dict(TWO)
    topics["/two/aligned_depth_to_color/image_raw"] = ("16UC1", "two_color_optical_frame")
    with pytest.raises(UserError, match="several"):
        chosen(bag_of(tmp_path / "bag", topics))


def test_the_camera_that_has_depth(tmp_path: Path) -> None:
    topics = {
        "/rear/image_raw": ("rgb8", "rear_camera"),
        "/head/rgb/image_raw": ("rgb8", "head_rgb_optical_frame"),
        "/head/depth/image_raw": ("32FC1", "head_depth_optical_frame"),
    }
    bag = bag_of(tmp_path / "bag", topics, more={"/rear/image_raw": 50})
    assert chosen(bag) == ("/head/rgb/image_raw", "/head/depth/image_raw")


@pytest.mark.parametrize(
    "other",
    [
        ("32SC1", "/instance_segmentation"),
        ("8UC1", "/camera/mask"),
        ("8UC3", "/a/vectors"),
        ("32FC3", "/camera/normals"),
        ("32SC1; png compressed |mask", "/a/labels/compressed"),
        ("8UC1; png compressed |mask", "/a/mask/compressed"),
        ("h264|video", "/a/video/compressed"),
    ],
)
def test_what_is_no_colour_is_no_rgb(tmp_path: Path, other: tuple[str, str]) -> None:
    what, name = other
    topics = {name: (what, "cam"), "/z/rgb": ("rgb8", "cam"), "/z/depth": ("16UC1", "cam")}
    assert chosen(bag_of(tmp_path / "bag", topics, more={name: 9})) == ("/z/rgb", "/z/depth")
    alone = {name: (what, "cam"), "/z/depth": ("16UC1", "cam")}
    with pytest.raises(UserError, match=f"no rgb image topic.*{name} {what.partition('|')[0].strip()[:5]}"):
        chosen(bag_of(tmp_path / "alone", alone))


@pytest.mark.parametrize(
    "form",
    ["jpeg|jpeg", "rgb8; jpeg compressed bgr8|jpeg", "png|png", "8UC3; jpeg compressed bgr8|jpeg", "|jpeg", "x|png"],
)
def test_compressed_colour(tmp_path: Path, form: str) -> None:
    topics = {"/rgb/compressed": (form, "cam"), "/depth": ("16UC1", "cam")}
    bag = bag_of(tmp_path / "bag", topics)
    assert chosen(bag) == ("/rgb/compressed", "/depth")
    assert len(list(read_pairs(bag))) == 3


CAMERAS: dict[str, tuple[dict[str, tuple[str, str]], tuple[str, str]]] = {
    "RealSense with aligned depth and infrared": (
        {
            "/camera/infra1/image_rect_raw": ("mono8", "camera_depth_optical_frame"),
            "/camera/infra2/image_rect_raw": ("mono8", "camera_infra2_optical_frame"),
            "/camera/depth/image_rect_raw": ("16UC1", "camera_depth_optical_frame"),
            "/camera/color/image_raw": ("rgb8", "camera_color_optical_frame"),
            "/camera/color/image_raw/compressed": ("rgb8; jpeg compressed bgr8|jpeg", "camera_color_optical_frame"),
            "/camera/aligned_depth_to_color/image_raw": ("16UC1", "camera_color_optical_frame"),
        },
        ("/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw"),
    ),
    "Azure Kinect": (
        {
            "/rgb/image_raw": ("bgra8", "rgb_camera_link"),
            "/depth/image_raw": ("16UC1", "depth_camera_link"),
            "/depth_to_rgb/image_raw": ("16UC1", "rgb_camera_link"),
            "/rgb_to_depth/image_raw": ("bgra8", "depth_camera_link"),
            "/ir/image_raw": ("mono16", "depth_camera_link"),
        },
        ("/rgb/image_raw", "/depth_to_rgb/image_raw"),
    ),
    "ZED with a confidence map": (
        {
            "/zed/zed_node/confidence/confidence_map": ("32FC1", "zed_left"),
            "/zed/zed_node/left/image_rect_color": ("bgra8", "zed_left"),
            "/zed/zed_node/depth/depth_registered": ("32FC1", "zed_left"),
        },
        ("/zed/zed_node/left/image_rect_color", "/zed/zed_node/depth/depth_registered"),
    ),
    "OAK": (
        {
            "/oak/left/image_raw": ("mono8", "oak_left_camera_optical_frame"),
            "/oak/rgb/image_raw": ("rgb8", "oak_rgb_camera_optical_frame"),
            "/oak/stereo/image_raw": ("16UC1", "oak_right_camera_optical_frame"),
        },
        ("/oak/rgb/image_raw", "/oak/stereo/image_raw"),
    ),
    "infrared alone": (
        {"/camera/infra1/image_rect_raw": ("mono8", "a"), "/camera/depth/image_rect_raw": ("16UC1", "a")},
        ("/camera/infra1/image_rect_raw", "/camera/depth/image_rect_raw"),
    ),
    "an annotated copy": (
        {
            "/camera/color/image_raw": ("rgb8", "camera_color_optical_frame"),
            "/camera/depth/image_rect_raw": ("16UC1", "camera_depth_optical_frame"),
            "/label_overlay/image": ("rgb8", "camera_color_optical_frame"),
        },
        ("/camera/color/image_raw", "/camera/depth/image_rect_raw"),
    ),
    "coloured depth beside depth": (
        {
            "/camera/depth/colorized": ("rgb8", "camera_depth_optical_frame"),
            "/camera/color/image_raw": ("rgb8", "camera_color_optical_frame"),
            "/camera/depth/image_rect_raw": ("16UC1", "camera_depth_optical_frame"),
        },
        ("/camera/color/image_raw", "/camera/depth/image_rect_raw"),
    ),
    "two devices, one for each": (
        {"/webcam/image_raw": ("rgb8", "webcam"), "/tof/image": ("16UC1", "tof_link")},
        ("/webcam/image_raw", "/tof/image"),
    ),
}


@pytest.mark.parametrize("name", CAMERAS)
def test_common_cameras_need_no_question(tmp_path: Path, name: str) -> None:
    topics, right = CAMERAS[name]
    assert chosen(bag_of(tmp_path / "bag", topics)) == right


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"/camera/a/image": ("rgb8", "cam"), "/camera/b/image": ("rgb8", "cam")}, "rgb"),
        ({"/camera/depth/image": ("32FC1", "cam"), "/camera/depth/image_raw": ("16UC1", "cam")}, "depth"),
        ({"/camera/left/image": ("rgb8", "left"), "/camera/right/image": ("rgb8", "right")}, "rgb"),
    ],
)
def test_equal_topics_of_one_camera_are_a_question(tmp_path: Path, one: dict[str, Any], other: str) -> None:
    rest = {"/camera/depth/x": ("16UC1", "cam")} if other == "rgb" else {"/camera/color/x": ("rgb8", "cam")}
    with pytest.raises(UserError) as error:
        chosen(bag_of(tmp_path / "bag", one | rest))
    assert all(name in str(error.value) for name in one)


def test_camera_info_of_another_camera_is_not_taken(tmp_path: Path) -> None:
    """One that lies elsewhere is taken only if it is of RGB's frame."""
    for frame, expected in (("cam", "/elsewhere/camera_info"), ("third_camera", None)):
        with BagWriter(tmp_path / frame) as bag:
            for name, what in (("/a/rgb", "rgb8"), ("/a/depth", "16UC1")):
                bag.add_topic(name, message(what, 0, "").__msgtype__)
                bag.write(name, serialize(message(what, stamp(0), "cam")), stamp(0))
            bag.add_topic("/elsewhere/camera_info", CAMERA_INFO)
            info = camera_info_msg(8, 8, 9, 9, 4, 4, stamp(0), frame)
            bag.write("/elsewhere/camera_info", serialize(info), stamp(0))
        with BagReader(tmp_path / frame) as reader:
            assert find_streams(reader).camera_info == expected
