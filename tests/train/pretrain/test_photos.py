"""Photos as the source of a teacher: folders, captions, what is wrong with them, and going on after a cut."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.labels import load_labels
from edgevl_train.data.photos import is_bag
from edgevl_train.new_student import new_student
from edgevl_train.pretrain.captioned import read_captioned
from edgevl_train.pretrain.clip_training import build
from edgevl_train.pretrain.run import pretrain
from edgevl_train.pretrain.settings import Pretraining, load_settings
from edgevl_train.recipe import parse_recipe
from edgevl_train.run_directory import LOCK_FILE, at_work
from edgevl_train.student.network import Student
from edgevl_train.teacher.loading import load_teacher

pytestmark = pytest.mark.train
MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear"},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
COLOURS = {"kitchen": (20, 20, 220), "entrance_hall": (20, 200, 20)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(20):
            image = np.clip(np.array(colour) + rng.normal(0, 20, (24, 30, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.jpg"), image)
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    state = timm.create_model("test_resnet").state_dict()
    for name, tensor in state.items():
        if name.endswith("running_mean"):
            tensor.add_(0.02 * torch.randn_like(tensor))
    save_file(state, tmp_path / "tower.safetensors")
    return tmp_path / "tower.safetensors"


def settings(**changed: object) -> Pretraining:
    usual = {"model": MODEL, "epochs": 2, "batch": 8, "text_steps": 20, "precision": "32-true"}
    return Pretraining.model_validate(usual | changed)


def test_folders_are_labels_and_a_labels_file_says_what_they_are_called(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = read_captioned([photos], 32, tmp_path / "plain")
    assert plain.names == ["entrance hall", "kitchen"]
    assert plain.rgb.shape == (40, 32, 32, 3)
    assert plain.rgb[plain.caption == 1].mean((0, 1, 2))[0] > 200  # kitchens are red, and RGB comes first
    (tmp_path / "named").mkdir()
    named = read_captioned([photos], 32, tmp_path / "named", load_labels("home"))
    assert named.names == ["hallway", "kitchen"]  # entrance hall is a synonym
    assert {"a photo of a corridor", "a photo of a hallway in a home"} <= set(named.texts[0])


def test_one_word_is_one_class_however_it_is_spelled(photos: Path, tmp_path: Path) -> None:
    (photos / "entrance_hall").rename(photos / "caf\u00e9")
    for name in ("Kitchen", "cafe\u0301"):
        (photos / name).mkdir()
        shutil.copy(photos / "kitchen" / "0.jpg", photos / name / "0.jpg")
    (tmp_path / "store").mkdir()
    data = read_captioned([photos], 32, tmp_path / "store")
    assert data.names == ["Kitchen", "cafe\u0301"]  # as the first folder has it
    assert np.bincount(data.caption).tolist() == [21, 21]


def test_captions_bags_and_folders_mix(photos: Path, sim_bag: Path, tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text("image,caption\nphotos/kitchen/0.jpg,a red kitchen at night\nphotos/kitchen/1.jpg,Kitchen\n")
    (tmp_path / "store").mkdir()
    data = read_captioned([photos, table, sim_bag], 32, tmp_path / "store", load_labels("home"))
    assert data.texts[data.names.index("a red kitchen at night")] == ["a red kitchen at night"]
    assert (data.caption == data.names.index("kitchen")).sum() > 21  # the folder's, the table's and the bag's
    assert len(data.names) == 9


def test_pretraining_from_photos_goes_on_after_a_cut(photos: Path, weights: Path, tmp_path: Path) -> None:
    whole = settings(backbone=weights, frozen_epochs=1, crop_size_share=0.75)
    spec = pretrain([photos], tmp_path / "unbroken", settings=whole)
    unbroken = load_teacher(spec)
    # Cut off after the phase in which the tower is frozen, and gone on with.
    work = tmp_path / ".again.pretraining"

    def cut(*_: object) -> None:
        if (work / "checkpoints" / "frozen.pt").exists() and (work / "metrics.jsonl").read_text().count("frozen") == 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgevl_train.progress.RunProgress.update", cut)
        with pytest.raises(KeyboardInterrupt):
            pretrain([photos], tmp_path / "again", settings=whole)
    with pytest.raises(UserError, match="--resume"):
        pretrain([photos], tmp_path / "again", settings=whole)
    with at_work(work), pytest.raises(UserError, match=f"is being worked on by process {os.getpid()}: "):
        pretrain([photos], tmp_path / "again", settings=whole, resume=True)
    again = load_teacher(pretrain([photos], tmp_path / "again", settings=whole, resume=True))
    assert not work.exists()
    images = np.random.default_rng(1).integers(0, 255, (3, 40, 40, 3), np.uint8)
    assert np.array_equal(again.encode_image(images), unbroken.encode_image(images))
    record = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert record["captions"] == ["entrance hall", "kitchen"]
    assert [line["stage"] for line in record["validation"]] == ["frozen", "whole", "whole", "whole"]


def test_files_behind_a_link_are_neither_cleared_nor_written(photos: Path, tmp_path: Path) -> None:
    mine, work = tmp_path / "mine", tmp_path / ".t.pretraining"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    work.symlink_to(mine)
    with pytest.raises(UserError, match="is a link: what it leads to would be cleared"):
        pretrain([photos], tmp_path / "t", settings=settings(), resume=True)
    work.unlink()
    work.mkdir()
    (work / LOCK_FILE).symlink_to(mine / "notes.txt")
    with pytest.raises(UserError, match="is no plain file"):
        pretrain([photos], tmp_path / "t", settings=settings())
    assert (mine / "notes.txt").read_text() == "mine"


def test_a_tower_that_takes_any_size_trains_on_smaller_crops_than_it_is_used_with() -> None:
    assert load_settings("mobilenetv2_100@x", None, []).crop_px == 160
    assert load_settings("mobilenetv2_100@x", 96, []).crop_px == 64
    assert load_settings("vit_small_patch16_224@x", None, []).crop_px == 224
    with pytest.raises(UserError, match=r"vit_small_patch16_224 takes images of one size: 1 is needed"):
        load_settings("vit_small_patch16_224@x", None, ["crop_size_share=0.7"])


def test_a_frozen_tower_stays_the_files(photos: Path, weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    pretrain([photos], tmp_path / "t", settings=settings(backbone=weights, frozen_epochs=2, epochs=0))
    trained, given = load_file(tmp_path / "t" / "open_clip_model.safetensors"), load_file(weights)
    tower = {name.removeprefix("visual.trunk."): value for name, value in trained.items() if "visual.trunk." in name}
    assert tower
    assert all(torch.equal(value, given[name]) for name, value in tower.items())


def test_a_student_may_begin_as_its_teachers_tower(photos: Path, weights: Path, tmp_path: Path) -> None:
    spec = pretrain([photos], tmp_path / "t", settings=settings(backbone=weights, frozen_epochs=1, epochs=0))
    teacher = load_teacher(spec)
    small = {"name": "test_resnet", "size_px": 32, "pretrained": "teacher"}
    recipe = parse_recipe({"student": small, "cache": {"size_px": 32}}, origin="test")
    student = new_student(recipe.student, teacher, 0).eval()
    pixels = torch.randint(0, 255, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    with torch.no_grad():
        cosine = (student(pixels) * teacher.encode_pixels(pixels)).sum(1)
    assert cosine.min() > 0.97  # the same, but for the colour of the border
    other = parse_recipe({"student": small | {"name": "resnet10t"}, "cache": {"size_px": 32}}, origin="test")
    with pytest.raises(UserError, match="the teacher's image tower does not fit"):
        new_student(other.student, teacher, 0)


def test_without_pretrained_weights_the_student_says_so(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgevl_train.student.pretrained._reachable", lambda address: False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    teacher = load_teacher(pretrain([photos], tmp_path / "t", settings=settings(epochs=1)))

    def student(pretrained: str, name: str = "resnet10t") -> Student:
        section = {"name": name, "size_px": 32, "pretrained": pretrained}
        return new_student(
            parse_recipe({"student": section, "cache": {"size_px": 32}}, origin="test").student, teacher, 0
        )

    assert "random weights, for timm's weights of 'resnet10t' cannot be had here" in student("auto").origin
    assert student("auto", "test_resnet").origin == "the teacher's image tower"
    with pytest.raises(UserError, match="timm has no weights of 'dat_tiny'"):
        student("timm", "dat_tiny")


def test_a_bag_with_a_picture_beside_it_stays_a_bag(sim_bag: Path, photos: Path, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    shutil.copytree(sim_bag, bag)
    shutil.copy(photos / "kitchen" / "0.jpg", bag / "thumbnail.jpg")
    assert is_bag(bag)
    assert not is_bag(photos)


def test_unreadable_photos_are_listed_and_too_many_stop(photos: Path, tmp_path: Path) -> None:
    (photos / "kitchen" / "0.jpg").write_bytes(b"no picture")
    (photos / "kitchen" / "1.jpg").unlink()
    (photos / "kitchen" / "1.jpg").symlink_to("nowhere.jpg")
    (photos / "kitchen" / "trip.jpg").mkdir()  # no picture, and none that cannot be read
    (tmp_path / "store").mkdir()
    data = read_captioned([photos], 32, tmp_path / "store")
    assert len(data.rgb) == 38
    assert ["0.jpg is no picture" in data.unreadable[0], "1.jpg does not exist" in data.unreadable[1]] == [True, True]
    for number in range(2, 4):
        (photos / "kitchen" / f"{number}.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"4 of 40 images cannot be read, 5% may fail \(first: .*0\.jpg"):
        pretrain([photos], tmp_path / "out", settings=settings())
    assert not (tmp_path / ".out.pretraining").exists()


def test_wrong_photos_are_refused_in_one_line(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"

    def refused(*paths: Path, labels: str | None = None) -> str:
        with pytest.raises(UserError) as caught:
            pretrain(paths, tmp_path / "out", labels=labels, settings=settings())
        assert "\n" not in str(caught.value)
        return str(caught.value)

    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["image", "caption"], *[[f"photos/kitchen/{n}.jpg", "x"] for n in range(100, 120)]]
        )
    assert "20 of 20 images cannot be read" in refused(table)
    table.write_text("picture,caption\n")
    assert "no column image" in refused(table)
    table.write_text("image,caption\nphotos/kitchen/0.jpg,\n")
    assert "line 2" in refused(table)
    table.write_text("image,caption\na.jpg,a kitchen, with a window\n")
    assert "line 2: 1 more fields than columns: quote a caption" in refused(table)
    (photos / "cellar").mkdir()
    (photos / "kitchen" / "0.jpg").rename(photos / "cellar" / "0.jpg")
    assert "no word for the folder(s) cellar" in refused(photos, labels="home")
    for folder in ("cellar", "entrance_hall"):
        for file in (photos / folder).iterdir():
            file.unlink()
    assert "of 1 label(s) (kitchen)" in refused(photos)


def test_a_backbone_of_another_model_is_refused(photos: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"do not fit 'resnet10t'"):
        pretrain([photos], tmp_path / "out", settings=load_settings(f"resnet10t@{weights}", 32, []))
    with pytest.raises(UserError, match="NAME@FILE"):
        load_settings("resnet10t", None, [])
    with pytest.raises(UserError, match="both 0"):
        load_settings(None, None, ["epochs=0"])
    (tmp_path / "text.safetensors").write_text("no weights")
    for name, said in (("none", "an existing .safetensors file"), ("text", "are no safetensors file")):
        given = load_settings(f"test_resnet@{tmp_path / name}.safetensors", 32, [])
        with pytest.raises(UserError, match=said):
            pretrain([photos], tmp_path / "out", settings=given)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("model={a: 1}", "vision_cfg None: a mapping"),
        ("model.vision_cfg=3", "vision_cfg 3: a mapping"),
        ("model.vision_cfg.image_size=-5", "image_size -5: a whole number"),
        ("model.embed_dim=abc", "cannot be built or run .*TypeError"),
        ("model.vision_cfg.timm_model_name=nope", r"cannot be built or run .*Unknown model \(nope\)"),
        ("model.text_cfg.heads=3", "cannot be built or run .*divisible"),
        ("model.text_cfg.vocab_size=100", "cannot be built or run .*index out of range"),
        ("mean=[.nan, 0.5, 0.5]", "mean.0=nan: input should be a finite number"),
        ("std=[0, 0.5, 0.5]", "std.0=0: input should be greater than 0"),
        ("seed=-1", "seed=-1: input should be greater"),
    ],
)
def test_settings_that_make_no_model_are_refused_before_anything_is_made(
    photos: Path, tmp_path: Path, setting: str, said: str
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=said) as refused:
        pretrain([photos], tmp_path / "out", settings=load_settings(None, 32, [setting]))
    assert "\n" not in str(refused.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_rate_that_diverges_names_settings_that_there_are(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not finite .*: lower lr, or warm up longer"):
        pretrain([photos], tmp_path / "out", settings=settings(lr=1e30, warmup_steps=0, text_steps=0))


def test_images_that_find_no_room_are_told_of_in_one_line(
    photos: Path, tmp_path: Path, files_of_at_most: Callable[[int], AbstractContextManager[None]]
) -> None:
    no_room = pytest.raises(UserError, match=r"images\.u8 cannot be written \(File too large\)")
    with files_of_at_most(4096), no_room:
        pretrain([photos], tmp_path / "out", settings=settings())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written \(Not a directory\)"):
        pretrain([photos], tmp_path / "file" / "out", settings=settings())


def test_a_tower_without_batch_norms_is_not_fine_tuned(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()  # as new: means 0 and variances 1, as of no image
    save_file(state, tmp_path / "folded.safetensors")
    with pytest.raises(UserError, match="folded away"):
        build(settings(backbone=tmp_path / "folded.safetensors"))
    assert build(settings(backbone=tmp_path / "folded.safetensors", frozen_epochs=1, epochs=0)) is not None
