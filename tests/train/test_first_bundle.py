"""A bundle of a CLIP's own image tower: the tower unchanged, what is measured of it, and that it knows RGB only."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource
from edgevl_core.bundle.files import STUDENT_FP32, STUDENT_INT8
from edgevl_core.bundle.labels import LabelSet, load_labels
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.classify.classifier import Classifier
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.types import IMAGE, image_msg, serialize
from edgevl_core.pairlog.writer import BagWriter
from edgevl_train.evaluation.evaluate import evaluate
from edgevl_train.first_bundle.make import Pictures, make_bundle
from edgevl_train.first_bundle.pictures import read_pictures
from edgevl_train.first_bundle.tower import tower_student
from edgevl_train.quantise import fuse
from edgevl_train.teacher.config import TeacherConfig
from edgevl_train.teacher.loading import build_model, load_teacher
from edgevl_train.teacher.model import Teacher
from tests.core.bags import RGB_TOPIC, stamp

pytestmark = pytest.mark.train

CLIP_MEAN, CLIP_STD = [0.4815, 0.4578, 0.4082], [0.2686, 0.2613, 0.2758]
TEXT = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VIT = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
RESNET = {"image_size": 32, "timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear"}
FASTVIT = {"image_size": 64, "timm_model_name": "fastvit_t8", "timm_pool": "avg", "timm_proj": None}


@pytest.fixture(scope="module")
def labels() -> LabelSet:
    return load_labels(resource("config/labels/home.yaml"))


@pytest.fixture(scope="module")
def teacher(teacher_directory: Path) -> Teacher:
    return load_teacher(f"open_clip:@{teacher_directory}")


@pytest.fixture(scope="module")
def pictures(sim_bag: Path) -> Pictures:
    return Pictures(read_pictures([sim_bag], 32).images, "simulated homes", True)


def random_teacher(vision: dict[str, object], mean: list[float], std: list[float]) -> Teacher:
    torch.manual_seed(0)
    side = vision["image_size"]
    preprocess = {"size": side, "mean": mean, "std": std, "interpolation": "bicubic", "resize_mode": "squash"}
    dim = 768 if vision is FASTVIT else 16  # FastViT without a projection gives its own width
    config = TeacherConfig("random", {"embed_dim": dim, "vision_cfg": vision, "text_cfg": TEXT}, preprocess)
    model = build_model(config).eval()
    return Teacher("random", dim, 10.0, "0" * 64, side, model, lambda texts: None, preprocess)


@pytest.mark.parametrize(
    ("vision", "mean", "std"),
    [(VIT, CLIP_MEAN, CLIP_STD), (RESNET, CLIP_MEAN, CLIP_STD), (FASTVIT, [0.0] * 3, [1.0] * 3)],
    ids=["own transformer", "resnet, another border", "fastvit, black border"],
)
@torch.no_grad()
def test_the_tower_gives_what_the_teacher_gives(vision: dict[str, object], mean: list[float], std: list[float]) -> None:
    teacher = random_teacher(vision, mean, std)
    pixels = torch.randint(0, 256, (4, 3, teacher.size_px, teacher.size_px), dtype=torch.uint8)
    student = tower_student(teacher.id, teacher.model.visual, teacher.preprocess, teacher.size_px, teacher.embed_dim)
    expected = teacher.encode_pixels(pixels)
    for network in (student, fuse(student)):
        assert float((network(pixels) * expected).sum(1).min()) > 0.9999
    # Nothing of the teacher itself has changed.
    torch.testing.assert_close(teacher.encode_pixels(pixels), expected)


def test_a_bundle_without_training(
    teacher: Teacher, labels: LabelSet, pictures: Pictures, sim_bag: Path, tmp_path: Path
) -> None:
    out = tmp_path / "day_one"
    found = make_bundle(teacher, labels, out, pictures, pictures.images[:2])
    assert found.int8
    assert found.cosine >= 0.99
    assert (found.calibrated_on, found.held_out) == (24, 8)
    bundle = load_bundle(out)
    told = json.loads((out / "manifest.json").read_text())["metrics"]["first_bundle"]
    assert told["cosine"] == found.cosine
    assert told["pictures"] == "simulated homes"
    assert any("RGB only" in note for note in bundle.notes)

    pair = next(read_pairs(sim_bag))
    classifier = Classifier(bundle)
    with_both, alone = classifier.classify(pair.rgb, pair.depth), classifier.classify(pair.rgb)
    assert (with_both.modality, with_both.label) == ("rgb", alone.label)
    assert not classifier.classify(depth=pair.depth).known
    dark = classifier.classify(np.zeros_like(pair.rgb), pair.depth)
    assert (dark.modality, dark.known) == ("rgb", False)

    numbers = evaluate(out, [sim_bag])
    assert "RGB only" in numbers["note"]
    assert numbers["top1"]["rgbd"] == numbers["top1"]["rgb"]


def test_where_int8_is_not_near_enough_the_float_tower_answers(
    teacher: Teacher, labels: LabelSet, pictures: Pictures, tmp_path: Path
) -> None:
    out = tmp_path / "float"
    found = make_bundle(teacher, labels, out, pictures, pictures.images[:2], least_cosine=1.01)
    assert not found.int8
    assert (out / STUDENT_INT8).read_bytes() == (out / STUDENT_FP32).read_bytes()
    load_bundle(out)


def test_pictures_of_a_bag_reach_to_its_end(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "drive") as bag:
        bag.add_topic(RGB_TOPIC, IMAGE)
        for number in range(38):
            picture = np.full((6, 8, 3), number, np.uint8)
            bag.write(RGB_TOPIC, serialize(image_msg(picture, "rgb8", stamp(number), "camera")), stamp(number))
    for most, expected in ((20, np.linspace(0, 37, 20).astype(int)), (38, range(38)), (100, range(38))):
        numbers = [int(image[0, 0, 0]) for image in read_pictures([tmp_path / "drive"], most).images]
        assert numbers == list(expected)


def test_pictures_from_files_and_their_refusals(tmp_path: Path) -> None:
    import cv2

    for number in range(39):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((6, 8, 3), number, np.uint8))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    looked = read_pictures([tmp_path], 40)
    assert (len(looked.images), looked.used) == (39, [tmp_path])
    assert [line.startswith(str(broken)) for line in looked.unreadable] == [True]
    singly = read_pictures([broken, *(tmp_path / f"{number}.png" for number in range(39))], 10)
    assert (len(singly.images), broken in singly.used, len(singly.unreadable)) == (10, False, 1)
    assert singly.used[-1] == tmp_path / "38.png"  # spread over all of them
    for other in ("another.jpg", "third.jpg"):
        (tmp_path / other).write_bytes(b"nor this")
    with pytest.raises(UserError, match=r"3 of 42 pictures of --calibrate .* cannot be read, 5% may fail \(first: "):
        read_pictures([tmp_path], 42)
    with pytest.raises(UserError, match="1 pictures can be read, at least 8 are needed"):
        read_pictures([tmp_path / "1.png"], 9)
    with pytest.raises(UserError, match="does not exist"):
        read_pictures([tmp_path / "nowhere"], 9)
