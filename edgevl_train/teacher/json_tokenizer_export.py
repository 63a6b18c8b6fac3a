"""A teacher's own tokenizer.json for the robot: with open_clip's cleaning inside, token for token what it is here.

What is not carried over, beside what tokenizer_export.py says: names of special tokens that stand in a text, which
open_clip's cleaning may take apart first.
"""

import json
from typing import Any

from open_clip.tokenizer import get_clean_fn

from edgevl_core.base.errors import UserError
from edgevl_train.teacher.tokenizer import JsonTokenizer
from edgevl_train.teacher.tokenizer_export import FINAL_SIGMA, repairs

PUNCTUATION = r"[!-/:-@\[-`{-~]"  # Python's string.punctuation
# A tokenizer is foreign: these are tokenised both ways before it is written.
PROBES = (
    "a photo of a kitchen",
    "A Photo of the LIVING ROOM, don't you think?",
    "  two   rooms\tand a_hall \n",
    "",
    "naïve cafe\u0301, größer als 10 m²",
    "“quoted” – ﬁne",
    "ΟΔΟΣ, кухня, 台所",
    "a bathroom with tiles " * 60,
)


def own_tokenizer_json(tokenizer: JsonTokenizer, teacher_id: str) -> dict[str, Any]:
    """The content of tokenizer.json.

    Raises:
        UserError: made so, it would give other tokens than the teacher's.
    """
    from tokenizers import Tokenizer

    content: dict[str, Any] = json.loads(tokenizer.backend.to_str())
    own = content["normalizer"]
    parts = own["normalizers"] if own and own["type"] == "Sequence" else [own] if own else []
    content["normalizer"] = {"type": "Sequence", "normalizers": [*_cleaning(tokenizer), *parts]}
    if tokenizer.sep_id is not None:
        _as_nought(content["post_processor"], tokenizer.sep_id)
    here = tokenizer(list(PROBES)).tolist()
    there = [row.ids for row in Tokenizer.from_str(json.dumps(content)).encode_batch(list(PROBES))]
    if differing := [text for text, a, b in zip(PROBES, here, there, strict=True) if a != b]:
        raise UserError(
            f"teacher {teacher_id}: {tokenizer.file} cannot be carried over to the robot, where {differing[0][:60]!r} "
            "would be other tokens: leave the text encoder out (text_encoder=false); the label bank needs none"
        )
    return content


def _cleaning(tokenizer: JsonTokenizer) -> list[dict[str, Any]]:
    """open_clip's clean functions as normalizers."""
    lower = [_replace({"Regex": FINAL_SIGMA}, "ς"), {"type": "Lowercase"}]
    spaces = [
        _replace({"Regex": r"\s+"}, " "),
        {"type": "Strip", "strip_left": True, "strip_right": True},
    ]
    if tokenizer.clean is get_clean_fn("canonicalize"):
        marks = [_replace({"String": "_"}, " "), _replace({"Regex": PUNCTUATION}, "")]
        return [*repairs(), *marks, *lower, *spaces]
    return [*repairs(), *spaces, *(lower if tokenizer.clean is get_clean_fn("lower") else [])]


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _as_nought(processor: dict[str, Any] | None, token: int) -> None:
    """Write token 0 where a post-processor adds ``token``."""
    for part in (processor or {}).get("processors", [processor] if processor else []):
        for special in part.get("special_tokens", {}).values():  # TemplateProcessing
            special["ids"] = [0 if index == token else index for index in special["ids"]]
        for key in ("sep", "cls"):  # BertProcessing, RobertaProcessing
            if key in part and part[key][1] == token:
                part[key][1] = 0
