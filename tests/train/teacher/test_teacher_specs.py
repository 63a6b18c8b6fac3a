"""Which model a teacher's spec means: activation and preprocessing, by tag and from files."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import open_clip
from open_clip.transformer import QuickGELU

from edgevl_core.base.errors import UserError
from edgevl_core.camera.preprocess import Preprocess
from edgevl_train.recipe import load_recipe
from edgevl_train.restore import as_noted_in, check_teacher
from edgevl_train.run_directory import Inputs, open_run
from edgevl_train.teacher.config import SEEN, config_of_name, config_of_tag
from edgevl_train.teacher.loading import build_model, load_teacher, teacher_key
from edgevl_train.teacher.model import Teacher, enlarged_views, own_view

pytestmark = pytest.mark.train

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
CLIPS = {"mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28), "interpolation": "bicubic", "resize_mode": "shortest"}
HALF = {**CLIPS, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
TAGS = {
    "quick": {"hf_hub": "test/tiny/", "quick_gelu": True, **CLIPS},
    "plain": {"hf_hub": "test/tiny/", **CLIPS},
    "half": {"hf_hub": "test/tiny/", **HALF},
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A small model in open_clip's own lists, its weights published with either activation, and a file of weights."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", TINY)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-quickgelu", {**TINY, "quick_gelu": True})
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", TAGS)
    torch.manual_seed(0)
    file = tmp_path / "tiny.pt"
    torch.save({key: 3 * value for key, value in open_clip.CLIP(**TINY).state_dict().items()}, file)
    return file


def expected(file: Path, quick_gelu: bool, image: np.ndarray, half: bool = False) -> np.ndarray:
    """open_clip's class, filled by torch, on one square image of its own size."""
    model = open_clip.CLIP(**TINY, quick_gelu=quick_gelu).eval()
    model.load_state_dict(torch.load(file))
    chosen = HALF if half else CLIPS
    mean, std = (torch.tensor(chosen[key]).view(3, 1, 1) for key in ("mean", "std"))
    pixels = (torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std
    with torch.inference_mode():
        return functional.normalize(model.encode_image(pixels[None]), dim=-1).numpy()


def test_every_listed_pair_has_the_activation_of_its_weights() -> None:
    pairs = open_clip.list_pretrained()
    renamed = []
    for name, tag in pairs:
        config = config_of_tag("spec", name, tag)
        usual = open_clip.get_model_config(name)
        wanted = open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", usual.get("quick_gelu", False))
        assert config.quick_gelu == wanted, (name, tag)
        assert config.preprocess_cfg["mean"] == open_clip.get_pretrained_cfg(name, tag)["mean"]
        if config.label != f"{name}/{tag}":
            renamed.append((name, tag))
            other, _ = config.label.split("/")
            assert (other, tag) in pairs
            assert open_clip.get_model_config(other) == config.model_cfg
    assert len(renamed) >= 27
    assert {("ViT-B-32", "openai"), ("ViT-B-16", "openai"), ("ViT-L-14", "openai")} <= set(renamed)


@pytest.mark.parametrize(("tag", "activation"), [("openai", QuickGELU), ("laion2b_s34b_b79k", nn.GELU)])
def test_both_towers_are_built_with_it(tag: str, activation: type[nn.Module]) -> None:
    with torch.device("meta"):
        model = build_model(config_of_tag("spec", "ViT-B-32", tag), device="meta")
    found = [type(module) for module in model.modules() if isinstance(module, (nn.GELU, QuickGELU))]
    assert found == [activation] * 24


def test_a_name_alone_is_enough_only_where_all_its_weights_agree() -> None:
    for name in {name for name, _ in open_clip.list_pretrained()}:
        tags = open_clip.list_pretrained_tags_by_model(name)
        configs = [config_of_tag("spec", name, tag) for tag in tags]
        seen = [{key: config.preprocess_cfg[key] for key in SEEN} for config in configs]
        usual = bool(open_clip.get_model_config(name).get("quick_gelu"))
        if all(config.quick_gelu == usual for config in configs) and all(each == seen[0] for each in seen):
            found = config_of_name("spec", name, "FILE")
            assert (found.model_cfg, found.preprocess_cfg) == (configs[0].model_cfg, seen[0])
        else:
            with pytest.raises(UserError, match=rf"pass open_clip:{name}/<tag>@FILE with the tag") as error:
                config_of_name("spec", name, "FILE")
            assert "\n" not in str(error.value)


def test_a_file_with_its_tag_has_activation_and_preprocessing_of_the_tag(tiny: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    view = Preprocess(size_px=32)
    teachers = {tag: load_teacher(f"open_clip:tiny/{tag}@{tiny}") for tag in TAGS}
    seen = {tag: teacher.encode_image([image], view) for tag, teacher in teachers.items()}
    assert np.allclose(seen["quick"], expected(tiny, True, image), atol=1e-5)
    assert np.allclose(seen["plain"], expected(tiny, False, image), atol=1e-5)
    assert np.allclose(seen["half"], expected(tiny, False, image, half=True), atol=1e-5)
    assert np.abs(seen["quick"] - seen["plain"]).max() > 2e-4
    assert [teacher.id.removeprefix("open_clip:") for teacher in teachers.values()] == [
        "tiny-quickgelu/quick@tiny.pt",
        "tiny/plain@tiny.pt",
        "tiny/half@tiny.pt",
    ]
    with pytest.raises(UserError, match=r"pass open_clip:tiny/<tag>@.*QuickGELU for quick, GELU for half"):
        load_teacher(f"open_clip:tiny@{tiny}")
    assert load_teacher(f"open_clip:tiny-quickgelu@{tiny}").model.transformer.resblocks[0].mlp.gelu is not None


@pytest.mark.filterwarnings("error")
def test_a_tag_is_built_right_without_a_warning(tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the cache of open_clip's downloads, as it stands there."""
    repository = tmp_path / "hub" / "models--test--tiny"
    snapshot = repository / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0")
    save_file(torch.load(tiny), snapshot / "open_clip_model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for tag, quick in (("quick", True), ("plain", False)):
        teacher = load_teacher(f"open_clip:tiny/{tag}")
        found = teacher.encode_image([image], Preprocess(size_px=32))
        assert np.allclose(found, expected(tiny, quick, image), atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of torch.jit.trace, which makes the archive
@pytest.mark.parametrize("quick_gelu", [True, False])
def test_the_code_in_a_torchscript_archive_says_the_activation(tiny: Path, tmp_path: Path, quick_gelu: bool) -> None:
    """As OpenAI publishes CLIP."""
    model = open_clip.CLIP(**TINY, quick_gelu=quick_gelu).eval()
    model.load_state_dict(torch.load(tiny))
    archive = tmp_path / "archive.pt"
    inputs = (torch.zeros(1, 3, 32, 32), torch.zeros(1, 8, dtype=torch.long))
    torch.jit.trace(model, inputs, check_trace=False, strict=False).save(str(archive))
    image = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    if quick_gelu:  # the plain weights of this name also differ in mean
        teacher = load_teacher(f"open_clip:tiny@{archive}")
        assert teacher.id == "open_clip:tiny-quickgelu@archive.pt"
    else:
        teacher = load_teacher(f"open_clip:tiny/plain@{archive}")
    found = teacher.encode_image([image], Preprocess(size_px=32))
    assert np.allclose(found, expected(tiny, quick_gelu, image), atol=1e-5)
    with pytest.raises(UserError, match=r"the code in archive\.pt computes"):
        load_teacher(f"open_clip:tiny/{'plain' if quick_gelu else 'quick'}@{archive}")


def test_a_config_json_belongs_to_the_teacher_and_a_tag_says_it_all(tiny: Path, tmp_path: Path) -> None:
    recipe, config = load_recipe("demo"), tmp_path / "own.json"

    def of_config(**changed: object) -> Teacher:
        config.write_text(json.dumps(TINY | changed))
        return load_teacher(f"open_clip:{config}@{tiny}")

    def made_by(teacher: Teacher) -> Inputs:
        return Inputs((), teacher_key(teacher), "", "", "")

    plain, quick, again = of_config(), of_config(quick_gelu=True), of_config()
    assert (plain.name, teacher_key(plain)) == (quick.name, teacher_key(again))
    open_run(tmp_path / "run", made_by(plain), recipe)
    with pytest.raises(UserError, match="was made with another teacher: resume with the same"):
        open_run(tmp_path / "run", made_by(as_noted_in(tmp_path / "run", quick)), recipe)
    with pytest.raises(UserError, match="was made with another teacher than open_clip:own"):
        check_teacher(tmp_path / "run", quick)
    assert as_noted_in(tmp_path / "run", again) == again

    # A run of an earlier version does not know the configuration; it goes on under the key that it has.
    older = replace(plain, config_sha256="")
    open_run(tmp_path / "older", made_by(older), recipe)
    check_teacher(tmp_path / "older", plain)
    assert as_noted_in(tmp_path / "older", plain) == older
    assert load_teacher(f"open_clip:tiny/plain@{tiny}").config_sha256 == ""


def test_what_training_scripts_leave_in_a_checkpoint(tiny: Path, tmp_path: Path) -> None:
    state = torch.load(tiny)
    for number, left in enumerate((np.float64(3), np.int64(3), argparse.Namespace(lr=1))):
        file = tmp_path / f"{number}.pt"
        torch.save({"epoch": left, "state_dict": state}, file)
        assert load_teacher(f"open_clip:tiny/plain@{file}").embed_dim == 16
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 605157884\n")
    with pytest.raises(UserError, match=r"is a Git LFS pointer, not the weights"):
        load_teacher(f"open_clip:tiny/plain@{file}")
    torch.save({"state_dict": state, "left": Path("a")}, file)
    with pytest.raises(UserError, match=r"\(pathlib\S*Path\).*save its state_dict alone"):
        load_teacher(f"open_clip:tiny/plain@{file}")


def test_a_file_that_is_no_checkpoint_says_what_it_is(tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    save_file(torch.load(tiny), tmp_path / "whole.safetensors")
    safe = (tmp_path / "whole.safetensors").read_bytes()
    torch.save({"network": torch.load(tiny)}, tmp_path / "wrapped.pt")
    for name, content, words in (
        ("cut.pt", whole[: len(whole) // 2], "half a download"),
        ("cut.safetensors", safe[: len(safe) // 2], f"it has {len(safe) // 2} of {len(safe)} bytes, half a download"),
        ("head.safetensors", safe[:100], "its header is damaged or cut off"),
        ("renamed.safetensors", whole, "it is no safetensors file"),
        ("empty.pt", b"", "it is empty"),
        ("zeros.bin", bytes(9999), "it is empty"),
        ("page.pt", b"<!DOCTYPE html><html>Not found</html>", "it is a web page"),
        ("text.pt", b"hello", "it is no checkpoint"),
        ("wrapped.pt", (tmp_path / "wrapped.pt").read_bytes(), 'it holds "network"'),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as caught:
            load_teacher(f"open_clip:tiny/plain@{tmp_path / name}")
        message = str(caught.value)
        assert words in message, (name, message)
        assert message.isprintable()


def test_a_cache_smaller_than_the_teacher_looks_is_said(tiny: Path, tmp_path: Path) -> None:
    teacher = load_teacher(f"open_clip:tiny/plain@{tiny}")
    assert enlarged_views(teacher, 32) == []
    (warning,) = enlarged_views(teacher, 16)
    assert "--set cache.size_px=32" in warning
    assert "4.0 times the disk" in warning
    assert own_view(teacher).size_px == 256
    large = tmp_path / "large.json"
    wide = {**TINY, "vision_cfg": {**TINY["vision_cfg"], "image_size": 320, "patch_size": 160}}
    large.write_text(json.dumps(wide))
    torch.save(open_clip.CLIP(**wide).state_dict(), tmp_path / "large.pt")
    assert own_view(load_teacher(f"open_clip:{large}@{tmp_path / 'large.pt'}")).size_px == 320
