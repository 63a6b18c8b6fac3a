"""The teacher's text tower as files: token for token and vector for vector what open_clip computes."""

import json
import random
from pathlib import Path

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)
from tests.paths import ROOT

# isort: split
import numpy as np
import onnx
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.text_encoder import TEXT_ENCODER_FILE, TOKENIZER_FILE, OnnxTextEncoder
from edgevl_train.teacher.model import Teacher
from edgevl_train.teacher.text_export import export_text_encoder
from tests.core.tiny_text import write_text_encoder

pytestmark = pytest.mark.train
LENGTH, DIM = 24, 16


def make_teacher(tokenizer) -> Teacher:
    torch.manual_seed(0)
    vision = CLIPVisionCfg(image_size=32, timm_model_name="test_resnet", timm_model_pretrained=False)
    text = CLIPTextCfg(context_length=LENGTH, vocab_size=49408, width=32, heads=2, layers=2)
    model = CLIP(DIM, vision, text).eval().requires_grad_(False)
    return Teacher("open_clip:test", DIM, 20.0, "", 32, model, tokenizer, {})


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return make_teacher(open_clip.SimpleTokenizer(context_length=LENGTH))


@pytest.fixture(scope="module")
def exported(teacher: Teacher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("text")
    export_text_encoder(teacher, directory)
    return directory


@pytest.fixture(scope="module")
def encoder(exported: Path) -> OnnxTextEncoder:
    return OnnxTextEncoder(exported)


TEXTS = [
    "a photo of a kitchen",
    "",
    "   ",
    "A Photo of the LIVING ROOM, don't you think? It's mine; we'll go.",
    "3rd floor, room 123b: ½ Ⅳ ² ①",
    "ein schönes Wohnzimmer, größer als 10 m²",
    "naïve cafe\u0301, Ünder_score",
    "“quoted” ‘single’ … – —",
    "ﬁne ﬂoors in oﬃces",
    "ＡＢＣ　ｱｲｳ",
    "台所 와 부엌",
    "ΟΔΟΣ ΣΑΣ Σ.",
    "İstanbul'da bir oda",
    "кухня и спальня",
    "غرفة المعيشة",
    "हिन्दी कमरा",
    "ห้องครัว",
    "🙂🙂 ok 👩‍🚀",
    "tab\tand\r\nnew lines\u2028here",
    "bell\x07 and zero\x00 and \ufeffmark",
    "--- !!! ??? <<>> {}",
    "<start_of_text> in the text a<End_Of_Text>b",
    "it'ſ long, K is a Kelvin sign",
    "A'Σ タΣ ΑΣ́.",
    "x" * 300,
    "many words " * 60,
]


def test_tokens_are_open_clips(teacher: Teacher, encoder: OnnxTextEncoder) -> None:
    np.testing.assert_array_equal(encoder.tokens(TEXTS), teacher.tokenizer(TEXTS).numpy())
    assert encoder.context_length == LENGTH


def test_every_word_of_the_label_files_has_open_clips_tokens(teacher: Teacher, encoder: OnnxTextEncoder) -> None:
    words = [word for file in (ROOT / "config/labels").glob("*.yaml") for word in file.read_text().split()]
    assert len(words) > 100
    np.testing.assert_array_equal(encoder.tokens(words), teacher.tokenizer(words).numpy())


def test_thousands_of_made_up_words_have_open_clips_tokens(teacher: Teacher, encoder: OnnxTextEncoder) -> None:
    """Real vocabulary glued together at random, with digits and punctuation between: every merge rule gets its turn."""
    rng = random.Random(0)
    pieces = [piece.removesuffix("</w>") for piece in list(teacher.tokenizer.encoder)[:49000] if piece.isascii()]
    between = ["", "", " ", "-", "'", "7", ". "]
    texts = ["".join(rng.choice(pieces) + rng.choice(between) for _ in range(5)) for _ in range(3000)]
    np.testing.assert_array_equal(encoder.tokens(texts), teacher.tokenizer(texts).numpy())


LETTERS = st.characters(categories=("Lu", "Ll", "Lt", "Lo", "Nd", "Zs", "Po", "Ps", "Pe"), max_codepoint=0xFFFF)


@settings(max_examples=200, derandomize=True)
@given(st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=4))
def test_any_letters_have_open_clips_tokens(teacher: Teacher, encoder: OnnxTextEncoder, words: list[str]) -> None:
    import ftfy

    text = " ".join(words)
    config = ftfy.TextFixerConfig(fix_encoding=False, unescape_html=False)
    if ftfy.fix_text(text) == ftfy.fix_text(text, config):  # the two repairs that tokenizer.json leaves out
        np.testing.assert_array_equal(encoder.tokens([text]), teacher.tokenizer([text]).numpy())


def test_vectors_are_the_towers(teacher: Teacher, encoder: OnnxTextEncoder) -> None:
    for texts in (TEXTS, TEXTS[:1], TEXTS * 3):  # any number, also more than a batch
        ours, theirs = encoder(texts), teacher.encode_text(texts)
        assert (ours.shape, ours.dtype) == (theirs.shape, np.float32)
        assert np.linalg.norm(ours, axis=1) == pytest.approx(1, abs=1e-5)
        assert (ours * theirs).sum(axis=1).min() >= 0.9999
    assert encoder([]).shape == (0, DIM)


def test_the_file_holds_the_text_tower_alone(teacher: Teacher, exported: Path) -> None:
    graph = onnx.load(exported / TEXT_ENCODER_FILE).graph
    text = sum(p.numel() for name, p in teacher.model.named_parameters() if "visual." not in name)
    stored = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    assert text - 1 <= stored < text + 2 * LENGTH**2 + 1000  # and the causal mask, and a few constants


def test_merges_are_written_as_every_release_of_tokenizers_reads_them(exported: Path) -> None:
    model = json.loads((exported / TOKENIZER_FILE).read_text())["model"]
    assert len(model["merges"]) == 48894
    assert all(isinstance(merge, str) and merge.count(" ") == 1 for merge in model["merges"])


@pytest.mark.parametrize("options", [{"clean": "canonicalize"}, {"reduction_mask": "simple"}])
def test_another_tokenizer_is_refused(options: dict[str, str], tmp_path: Path) -> None:
    other = make_teacher(open_clip.SimpleTokenizer(context_length=LENGTH, **options))
    with pytest.raises(UserError, match=r"SimpleTokenizer.* is neither CLIP's plain BPE nor a tokenizer\.json"):
        export_text_encoder(other, tmp_path)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_text_encoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no text encoder"):
        OnnxTextEncoder(tmp_path)
    directory = write_text_encoder(tmp_path / "text", 3)
    (directory / TOKENIZER_FILE).write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer\.json cannot be read"):
        OnnxTextEncoder(directory)
    student = tmp_path / "text" / TEXT_ENCODER_FILE
    model = onnx.load(student)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT32
    onnx.save(model, student)
    with pytest.raises(UserError, match="is not a text encoder"):
        OnnxTextEncoder(directory)
