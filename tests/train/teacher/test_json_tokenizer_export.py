"""A teacher with a tokenizer.json of its own: its text tower on the robot says what the teacher says."""

from pathlib import Path

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import numpy as np
import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from tokenizers import normalizers

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.text_encoder import OnnxTextEncoder
from edgevl_train.teacher.config import config_of_tag
from edgevl_train.teacher.json_tokenizer_export import own_tokenizer_json
from edgevl_train.teacher.model import Teacher
from edgevl_train.teacher.text_export import export_text_encoder
from edgevl_train.teacher.tokenizer import JsonTokenizer, json_tokenizer
from tests.train.teacher.tiny_tokenizers import write_bert, write_siglip

pytestmark = pytest.mark.train
TEXTS = [
    "a photo of a kitchen",
    "A  Photo, of the_LIVING ROOM (with tiles)!",
    "",
    " \t ",
    "na\u00efve cafe\u0301, gr\u00f6\u00dfer \u201cquoted\u201d \ufb01ne",
    "\u03a3\u0391\u03a3 \u03a3. \u043a\u0443\u0445\u043d\u044f \u53f0\u6240",
    "--- !!! ??? <<>> {} \\\\ ~ ` |",
    "a bathroom with tiles " * 40,
]
KINDS = {"siglip": (write_siglip, "ViT-B-16-SigLIP", "webli"), "bert": (write_bert, "ViT-L-14-CLIPA", "datacomp1b")}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> JsonTokenizer:
    """SigLIP's canonicalises and pads with its end token, CLIPA's writes 0 for its separator."""
    write, name, tag = KINDS[request.param]
    write(tmp_path)
    return json_tokenizer("spec", config_of_tag("spec", name, tag), tmp_path / "tokenizer.json")


def teacher_with(tokenizer: JsonTokenizer) -> Teacher:
    torch.manual_seed(0)
    length = tokenizer.backend.padding["length"]
    vision = CLIPVisionCfg(image_size=32, timm_model_name="test_resnet", timm_model_pretrained=False)
    text = CLIPTextCfg(context_length=length, vocab_size=90, width=32, heads=2, layers=1, pool_type="last")
    model = CLIP(16, vision, text).eval().requires_grad_(False)
    return Teacher("open_clip:test", 16, 20.0, "", 32, model, tokenizer, {})


def test_tokens_and_vectors_are_the_teachers(tokenizer: JsonTokenizer, tmp_path: Path) -> None:
    teacher, out = teacher_with(tokenizer), tmp_path / "out"
    out.mkdir()
    export_text_encoder(teacher, out)
    encoder = OnnxTextEncoder(out)
    assert np.array_equal(encoder.tokens(TEXTS), tokenizer(TEXTS).numpy())
    assert (encoder(TEXTS) * teacher.encode_text(TEXTS)).sum(axis=1).min() >= 0.9999


def test_what_would_give_other_tokens_is_refused(tokenizer: JsonTokenizer, tmp_path: Path) -> None:
    odd = JsonTokenizer(tokenizer.file, tokenizer.backend, str.swapcase, tokenizer.vocab_size, tokenizer.sep_id)
    with pytest.raises(UserError, match=r"cannot be carried over to the robot.*text_encoder=false") as error:
        own_tokenizer_json(odd, "open_clip:test")
    assert "\n" not in str(error.value)


def test_the_backends_own_normalizer_stays(tmp_path: Path) -> None:
    made = write_siglip(tmp_path)
    made.normalizer = normalizers.Sequence([normalizers.Replace("kitchen", "room")])
    made.save(str(tmp_path / "tokenizer.json"))
    config = config_of_tag("spec", "ViT-B-16-SigLIP", "webli")
    tokenizer = json_tokenizer("spec", config, tmp_path / "tokenizer.json")
    assert torch.equal(tokenizer(["a kitchen"]), tokenizer(["a room"]))
    content = own_tokenizer_json(tokenizer, "open_clip:test")
    assert content["normalizer"]["normalizers"][-1] == {
        "type": "Replace",
        "pattern": {"String": "kitchen"},
        "content": "room",
    }
