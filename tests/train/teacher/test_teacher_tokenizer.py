"""Tokenizers that are not CLIP's own, from files beside the weights."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, processors, trainers

from edgevl_core.base.errors import UserError
from edgevl_train.teacher.config import TeacherConfig, config_of_tag
from edgevl_train.teacher.loading import load_teacher
from edgevl_train.teacher.tokenizer import tokenizer_from_files, tokenizer_from_hub
from tests.train.teacher.tiny_tokenizers import WORDS, write_bert, write_siglip

pytestmark = pytest.mark.train


def siglip() -> TeacherConfig:
    return config_of_tag("spec", "ViT-B-16-SigLIP", "webli")


def test_siglips_tokens(tmp_path: Path) -> None:
    plain = write_siglip(tmp_path)
    tokenizer = tokenizer_from_files("spec", siglip(), [tmp_path / "elsewhere", tmp_path])
    tokens = tokenizer(["A photo, of a  KITCHEN!", "", "the living room " * 40])
    assert tokens.dtype == torch.int64
    ids = plain.encode("a photo of a kitchen").ids  # cleaned as open_clip's configuration says: no case, no punctuation
    assert ids[-1] == 1
    assert tokens[0].tolist() == ids + [1] * (64 - len(ids))
    assert tokens[1].tolist() == [1] * 64
    long = plain.encode(("the living room " * 40).strip()).ids
    assert tokens[2].tolist() == [*long[:63], 1]


def test_options_of_clips_own_tokenizer_may_be_lists() -> None:
    """They come from a teacher's own open_clip_config.json."""
    config = config_of_tag("spec", "ViT-B-32", "openai")
    text = {**config.model_cfg["text_cfg"], "tokenizer_kwargs": {"additional_special_tokens": ["<room>"]}}
    changed = TeacherConfig(config.label, {**config.model_cfg, "text_cfg": text}, config.preprocess_cfg)
    plain, with_room = (tokenizer_from_files("spec", each, [])(["<room>"]) for each in (config, changed))
    assert plain.shape == with_room.shape == (1, 77)
    assert int((with_room > 0).sum()) == 3 < int((plain > 0).sum())  # start, the one token, end


def test_clipas_separator_becomes_nought(tmp_path: Path) -> None:
    plain = write_bert(tmp_path)
    config = config_of_tag("spec", "ViT-L-14-CLIPA", "datacomp1b")
    tokens = tokenizer_from_files("spec", config, [tmp_path])(["a Kitchen"])
    ids = plain.encode("a kitchen").ids
    assert ids[-1] == 3
    assert tokens[0].tolist() == ids[:-1] + [0] * (33 - len(ids))


def test_siglip2s_start_and_end_tokens_are_those_of_its_settings(tmp_path: Path) -> None:
    """Gemma's tokenizer.json, for another model, begins with <bos>."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    made.train_from_iterator(WORDS, trainers.BpeTrainer(vocab_size=80, special_tokens=special, show_progress=False))
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    made.save(str(tmp_path / "tokenizer.json"))
    ends = {"add_bos_token": False, "add_eos_token": True}
    settings = {"tokenizer_class": "GemmaTokenizer", "pad_token": "<pad>", **ends}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    config = config_of_tag("spec", "ViT-B-16-SigLIP2", "webli")
    tokens = tokenizer_from_files("spec", config, [tmp_path])(["a kitchen"])[0].tolist()
    ids = made.encode("a kitchen", add_special_tokens=False).ids
    assert tokens == [*ids, 1, *[0] * (63 - len(ids))]


def test_by_name_from_the_download_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "models--timm--ViT-B-16-SigLIP"
    snapshot = repository / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0")
    write_siglip(snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    here = tokenizer_from_files("spec", siglip(), [snapshot])
    assert torch.equal(tokenizer_from_hub("spec", siglip())(WORDS), here(WORDS))


def test_a_whole_teacher_with_a_tokenizer_beside_its_weights(teacher_directory: Path, tmp_path: Path) -> None:
    import open_clip

    write_siglip(tmp_path)
    full = json.loads((teacher_directory / "open_clip_config.json").read_text())
    text = {**full["model_cfg"]["text_cfg"], "hf_tokenizer_name": "x/y", "vocab_size": 60, "pool_type": "last"}
    full["model_cfg"]["text_cfg"] = text
    (tmp_path / "open_clip_config.json").write_text(json.dumps(full))
    model = open_clip.create_model(f"local-dir:{tmp_path}", load_weights=False)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    teacher = load_teacher(f"open_clip:@{tmp_path}")
    assert teacher.encode_text(["a kitchen"]).shape == (1, 16)
    text["vocab_size"] = 20
    (tmp_path / "open_clip_config.json").write_text(json.dumps(full))
    model = open_clip.create_model(f"local-dir:{tmp_path}", load_weights=False)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UserError, match="beyond the 20 of the teacher's text tower"):
        load_teacher(f"open_clip:@{tmp_path}").encode_text(WORDS)


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    cases = [
        ((), r"needs the tokenizer of timm/ViT-B-16-SigLIP: put its tokenizer\.json and tokenizer_config\.json beside"),
        (
            ("tokenizer.json",),
            r"nothing says what .*tokenizer\.json pads short texts with: put the tokenizer_config\.json",
        ),
        (("broken",), r"tokenizer\.json or tokenizer_config\.json cannot be read"),
    ]
    for files, words in cases:
        if files:
            write_siglip(tmp_path, settings=None)
        if "broken" in files:
            (tmp_path / "tokenizer.json").write_text("{}")
        with pytest.raises(UserError, match=words) as error:
            tokenizer_from_files("spec", siglip(), [tmp_path])
        assert "\n" not in str(error.value)


@pytest.mark.skipif(find_spec("transformers") is not None, reason="transformers is installed")
def test_where_only_transformers_would_do_it_is_named(teacher_directory: Path, tmp_path: Path) -> None:
    weights = teacher_directory / "open_clip_model.safetensors"
    for spec in ("open_clip:roberta-ViT-B-32/laion2b_s12b_b32k", f"open_clip:nllb-clip-base/v1@{weights}"):
        with pytest.raises(UserError, match=r"pip install transformers") as error:
            load_teacher(spec)
        assert "\n" not in str(error.value)
    (tmp_path / "spiece.model").write_bytes(b"")
    with pytest.raises(UserError, match=r"has a vocabulary but no tokenizer\.json.*pip install transformers"):
        tokenizer_from_files("spec", siglip(), [tmp_path])
