"""CLIP's tokenizer as a ``tokenizer.json`` of the `tokenizers` library, token for token open_clip's SimpleTokenizer.

What is not carried over: repairing text that was once decoded with the wrong encoding ("Ã©" for "é"), and HTML
entities; neither belongs into a label.
"""

from typing import Any

from ftfy.chardata import LIGATURES, WIDTH_MAP
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn

from edgevl_core.base.errors import UserError
from edgevl_train.teacher.model import Teacher

# Published with CLIP (Radford et al. 2021): contractions, letters, single digits, runs of anything else. Without regard
# to case, in which ſ is an s.
WORDS = r"'[sſ]|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# As ftfy's fix_text, which open_clip cleans with, treats them.
QUOTES = {"[\u02bc\u2018-\u201b]": "'", "[\u201c-\u201f]": '"'}
CONTROL = "[\\x00-\\x08\\x0b\\x0e-\\x1f\\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]"
# Unicode's Final_Sigma (SpecialCasing.txt): after a cased letter and before none, case-ignorable characters aside.
# Python's lower() knows the context, tokenizers' Lowercase goes letter by letter.
_CASED = r"[\p{Lu}\p{Ll}\p{Lt}]"
_IGNORED = r"[\p{Mn}\p{Me}\p{Cf}\p{Lm}\p{Sk}'.:·]"
FINAL_SIGMA = f"(?<={_CASED}|{_CASED}{_IGNORED})Σ(?!{_IGNORED}*{_CASED})"


def tokenizer_json(teacher: Teacher) -> dict[str, Any]:
    """The content of tokenizer.json: clean, split, BPE, start and end tokens, cut or padded to the context length.

    Merges are written as strings: older releases of `tokenizers` read no other form.

    Raises:
        UserError: the teacher has another kind of tokenizer.
    """
    tokenizer = teacher.tokenizer
    if (
        not isinstance(tokenizer, SimpleTokenizer)
        or tokenizer.clean_fn is not get_clean_fn("lower")
        or tokenizer.reduction_fn is not None
    ):
        raise UserError(
            f"teacher {teacher.id}: its tokenizer ({type(tokenizer).__name__}) is neither CLIP's plain BPE nor a "
            "tokenizer.json, which alone can be exported: leave the text encoder out (text_encoder=false); the label "
            "bank needs none"
        )
    specials = [(text, index) for text, index in tokenizer.encoder.items() if index in tokenizer.all_special_ids]
    start, end = (next(text for text, index in specials if index == wanted) for wanted in tokenizer.all_special_ids[:2])
    length = tokenizer.context_length
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": length, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": length},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "!",
        },
        "added_tokens": [_added(text, index) for text, index in specials],
        "normalizer": {"type": "Sequence", "normalizers": _cleaning()},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [_special(start), {"Sequence": {"id": "A", "type_id": 0}}, _special(end)],
            "pair": [_special(start), {"Sequence": {"id": "A", "type_id": 0}}, _special(end)],
            "special_tokens": {
                text: {"id": text, "ids": [tokenizer.encoder[text]], "tokens": [text]} for text in (start, end)
            },
        },
        "decoder": None,
        "model": _byte_pair_encoding(tokenizer),
    }


def _byte_pair_encoding(tokenizer: SimpleTokenizer) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "</w>",
        "fuse_unk": False,
        "byte_fallback": False,
        "vocab": dict(tokenizer.encoder),
        "merges": [" ".join(pair) for pair in sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)],
    }


def repairs() -> list[dict[str, Any]]:
    """What open_clip's cleaning does first, whatever the tokenizer, as normalizers: ftfy's repairs, and NFC."""
    shapes = [({"String": chr(code)}, text) for code, text in {**LIGATURES, **WIDTH_MAP}.items()]
    patterns = [({"Regex": pattern}, text) for pattern, text in (*QUOTES.items(), (CONTROL, ""))]
    replaced = [{"type": "Replace", "pattern": pattern, "content": text} for pattern, text in shapes + patterns]
    return [*replaced, {"type": "NFC"}]


def _cleaning() -> list[dict[str, Any]]:
    *replaced, composed = repairs()
    sigma = {"type": "Replace", "pattern": {"Regex": FINAL_SIGMA}, "content": "ς"}
    return [*replaced, sigma, composed, {"type": "Lowercase"}]


def _added(text: str, index: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": True}
    return {"id": index, "content": text, **flags}


def _special(text: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": text, "type_id": 0}}
