"""``edgevl log view``: what the page of a bag says, of whole bags, of thin ones and of hostile names."""

from pathlib import Path

import numpy as np
import pytest

from edgevl_core.log_view.content import SHOWN_PAIRS, read_content
from edgevl_core.log_view.health import signs
from edgevl_core.log_view.page import write_log_page
from edgevl_core.pairlog.place_messages import POSE, pose_msg
from edgevl_core.pairlog.types import SCENE_CLASS, header, image_msg, serialize, typestore
from edgevl_core.pairlog.writer import BagWriter
from tests.core.bags import FRAME, RGB_TOPIC, add_pair, add_topics, rgb_image, stamp, write_bag
from tests.page.looks import check_looks, needs_chromium
from tests.page.reader import check_self_contained, read_page

pytestmark = pytest.mark.unit
EVIL = "<script>alert(1)</script>"


def scene(label: str, known: bool, at_ns: int) -> bytes:
    fields = {"label": label, "confidence": 0.9, "known": known, "labels": [label], "modality": "rgb"}
    rest = {"scores": np.array([0.9], np.float32), "bundle_id": "0" * 12, "label_set_version": 0, "latency_ms": 1.0}
    return serialize(typestore().types[SCENE_CLASS](header=header(at_ns, FRAME), **fields, **rest))


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pairs in two parts with a pause of 30 s; a robot that is carried once; answers; a hostile room."""
    path = tmp_path_factory.mktemp("log") / "drive"
    with BagWriter(path) as bag:
        add_topics(bag)
        bag.add_topic("/pose", POSE)
        bag.add_topic("/scene", SCENE_CLASS)
        for number in range(60):
            later = 300 if number >= 40 else 0  # periods of a tenth of a second
            add_pair(bag, number + later)
            at = stamp(number + later)
            x = 0.05 * number + (200.0 if number >= 40 else 0.0)
            bag.write("/pose", serialize(pose_msg(x, 0.0, 0.0, 0.0, at, "map")), at)
            bag.write("/scene", scene("kitchen" if number < 30 else EVIL, number != 59, at), at)
    return path


@pytest.fixture(scope="module")
def page(drive: Path) -> Path:
    return write_log_page(read_content(drive), drive.parent / "drive.html")


def test_what_is_gathered(drive: Path) -> None:
    content = read_content(drive)
    assert len(content.stamp_ns) == len(content.rooms) == 60
    assert len(content.shown) == SHOWN_PAIRS
    assert content.shown[0].valid == pytest.approx(15 / 16, abs=0.01)
    [(at, length)] = content.gaps()
    assert (at, length) == pytest.approx((3.9, 30.1))
    assert [len(leg) for leg in content.way.legs] == [40, 20]  # 200 m in 30 s: carried
    assert content.way.length_m == pytest.approx(2.9)
    assert [one.label for one in content.scenes][-1] == "unknown"


def test_what_the_page_says(page: Path) -> None:
    check_self_contained(page)
    read = read_page(page)
    assert read.rows[RGB_TOPIC] == ["sensor_msgs/msg/Image", "60"]
    assert read.rows["kitchen"] == ["60"]
    assert read.rows["4 s"] == ["30.1 s"]  # the pause
    assert "60 poses of /pose in the frame map" in read.words
    assert "60 pairs are few to adapt from" in read.words
    assert f"{EVIL} (29)" in read.words  # as text
    assert read.tags.count("img") == 2 * SHOWN_PAIRS


@needs_chromium
def test_how_it_looks(page: Path, tmp_path: Path) -> None:
    check_looks([page], tmp_path)


def test_a_bag_without_depth_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bag"
    with BagWriter(path) as bag:
        add_topics(bag)
        for number in range(5):
            at = stamp(number)
            bag.write(RGB_TOPIC, serialize(image_msg(rgb_image(number), "rgb8", at, FRAME)), at)
    page = write_log_page(read_content(path), tmp_path / "bag.html")
    check_self_contained(page)
    words = read_page(page).words
    assert "No pairs:" in words
    assert "There is no pair to show" in words
    assert "there is no time line" in words
    assert "No pose was recorded" in words


def test_images_far_from_each_other_are_no_pairs(tmp_path: Path) -> None:
    content = read_content(write_bag(tmp_path / "bag", 8, depth_offset_ns=45_000_000))
    doubts = [sign.text for sign in signs(content) if not sign.fine]
    assert any(text.startswith("No RGB image has a depth image near it") for text in doubts)
    check_self_contained(write_log_page(content, tmp_path / "bag.html"))


def test_doubts_come_first_and_say_what_to_do(drive: Path) -> None:
    found = signs(read_content(drive))
    assert [sign.fine for sign in found] == sorted(sign.fine for sign in found)
    texts = " ".join(sign.text for sign in found if not sign.fine)
    assert "too near for a camera" in texts  # depth of a few millimetres
    assert "Record camera_info of both cameras" in texts
