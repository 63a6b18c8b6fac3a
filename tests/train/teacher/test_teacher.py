import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from edgevl_core.base.errors import UserError
from edgevl_core.camera.preprocess import Preprocess, to_input
from edgevl_train.teacher.loading import load_teacher, teacher_key

pytestmark = pytest.mark.train


def frames(count: int = 3, height: int = 48, width: int = 64) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return noise.repeat(8, 1).repeat(8, 2)


def test_directory_of_pretrain_loads_through_open_clip_itself(teacher_directory: Path) -> None:
    teacher = load_teacher(f"open_clip:@{teacher_directory}")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{teacher_directory}")
    model.eval()
    assert teacher.logit_scale == pytest.approx(model.logit_scale.exp().item())
    images = frames()
    with torch.inference_mode():
        theirs = model.encode_image(torch.stack([preprocess(Image.fromarray(i)) for i in images]), normalize=True)
        text = model.encode_text(
            open_clip.get_tokenizer(f"local-dir:{teacher_directory}")(["a kitchen"]), normalize=True
        )
    ours = teacher.encode_image(images)
    assert ours.dtype == np.float32
    assert (ours * theirs.numpy()).sum(1).min() > 0.999
    assert np.allclose(teacher.encode_text(["a kitchen"]), text.numpy(), atol=1e-5)
    assert str(teacher_directory.parent) not in teacher.id


def test_the_whole_frame_is_seen_whatever_the_model_would_cut_off(teacher_directory: Path, tmp_path: Path) -> None:
    """CLIP's own transform crops the middle; what lies at the sides is in the student's image, so it must count."""
    cropping = tmp_path / "cropping"
    shutil.copytree(teacher_directory, cropping)
    config = json.loads((cropping / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = "shortest"
    (cropping / "open_clip_config.json").write_text(json.dumps(config))
    squashing, other = (load_teacher(f"open_clip:@{path}") for path in (teacher_directory, cropping))
    assert np.array_equal(squashing.encode_image(frames()), other.encode_image(frames()))
    sides = frames()
    sides[:, :, :4] = 255 - sides[:, :, :4]
    assert not np.allclose(other.encode_image(sides), other.encode_image(frames()), atol=1e-4)


def test_targets_and_evaluation_see_the_same_view(teacher_directory: Path) -> None:
    """A cache holds the squashed frame: embedding that, or the image, is the same to the bit."""
    teacher = load_teacher(f"open_clip:@{teacher_directory}")
    images = frames(3, 240, 320)
    for view_px in (40, 96, 256):
        for rotation_deg in (0, 90):
            view = Preprocess(size_px=view_px, rotation_deg=rotation_deg)
            cached = np.stack([to_input(image, view) for image in images])
            assert np.array_equal(teacher.encode_squares(cached), teacher.encode_image(images, view))


def test_frames_of_different_sizes_keep_their_order(teacher_directory: Path) -> None:
    teacher = load_teacher(f"open_clip:@{teacher_directory}", batch=2)
    images = [frames(1, 48, 64)[0], frames(1, 64, 48)[0], frames(1, 48, 64)[0][::-1].copy()]
    together = teacher.encode_image(images)
    alone = np.concatenate([teacher.encode_image([image]) for image in images])
    assert np.allclose(together, alone, atol=1e-4)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_config_and_checkpoint_as_files(teacher_directory: Path, tmp_path: Path) -> None:
    config = tmp_path / "small.json"
    full = json.loads((teacher_directory / "open_clip_config.json").read_text())
    config.write_text(json.dumps(full))
    by_directory = load_teacher(f"open_clip:@{teacher_directory}")
    by_file = load_teacher(f"open_clip:{config}@{teacher_directory}/open_clip_model.safetensors")
    assert by_file.weights_sha256 == by_directory.weights_sha256
    assert np.allclose(by_file.encode_image(frames()), by_directory.encode_image(frames()))
    assert by_file.id == "open_clip:small@open_clip_model.safetensors"
    assert teacher_key(by_file) != teacher_key(by_directory)
    checkpoint = tmp_path / "weights.pt"
    torch.save({"state_dict": {f"module.{k}": v for k, v in by_file.model.state_dict().items()}}, checkpoint)
    by_pt = load_teacher(f"open_clip:{config}@{checkpoint}")
    assert np.allclose(by_pt.encode_image(frames()), by_directory.encode_image(frames()))
    config.write_text(json.dumps(full["model_cfg"]))  # a bare model config: CLIP's own mean and std
    assert load_teacher(f"open_clip:{config}@{checkpoint}").preprocess["mean"][0] == pytest.approx(0.48145466)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("clip:ViT-B-32/openai", "accepted are open_clip:"),
        ("open_clip:ViT-B-32", "names no weights"),
        ("open_clip:ViT-Q-32/openai", "no model 'ViT-Q-32'"),
        ("open_clip:ViT-B-32/nobody", "no weights 'nobody'; accepted are openai"),
        ("open_clip:ViT-B-32@missing.pt", "missing.pt does not exist"),
        ("open_clip:@{tmp}", "no directory with open_clip_config.json"),
        ("open_clip:nothing.json@{tmp}", "holds 0 weight files"),
        ("open_clip:ViT-B-32@{weights}", "pass open_clip:ViT-B-32/<tag>@"),
        ("open_clip:ViT-B-32/nobody@{weights}", "no weights 'nobody'; accepted are openai"),
        ("open_clip:RN50/openai@{weights}", "does not load into RN50-quickgelu/openai"),
    ],
)
def test_wrong_specs_are_explained(spec: str, words: str, teacher_directory: Path, tmp_path: Path) -> None:
    weights = teacher_directory / "open_clip_model.safetensors"
    with pytest.raises(UserError) as error:
        load_teacher(spec.format(tmp=tmp_path, weights=weights))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_weights_are_refused(teacher_directory: Path, tmp_path: Path) -> None:
    broken = tmp_path / "clip"
    shutil.copytree(teacher_directory, broken)
    weights = broken / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="does not load"):
        load_teacher(f"open_clip:@{broken}")


def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot be had here .* or train a small teacher"):
        load_teacher("open_clip:ViT-B-32/laion2b_s34b_b79k")
