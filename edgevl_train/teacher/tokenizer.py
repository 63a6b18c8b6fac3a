"""A teacher's tokenizer: CLIP's own, one from tokenizer.json without transformers, or through transformers.

What transformers does with a tokenizer.json for open_clip is little: text cleaned, cut to the context length with the
end token kept, padded. The same is done here with the `tokenizers` library, which is installed anyway.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import open_clip
import torch
from open_clip.pretrained import download_pretrained_from_hf
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, get_clean_fn
from torch import Tensor

from edgevl_core.base.errors import UserError, one_line
from edgevl_train.teacher.config import TeacherConfig

TOKENIZER, SETTINGS, SPECIAL = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
TEXT_MODEL = "config.json"
# What transformers makes a tokenizer from where there is no tokenizer.json.
VOCABULARIES = ("vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
INSTALL = "pip install transformers"


@dataclass(frozen=True)
class JsonTokenizer:
    """A tokenizer.json, called as open_clip's tokenizers are: texts -> (N, context_length) int64.

    Attributes:
        backend: a ``tokenizers.Tokenizer`` that cuts and pads to the context length.
        clean: of open_clip, before anything else.
        vocab_size: the text tower's, which an index must be below.
        sep_id: replaced by 0 where open_clip's configuration says strip_sep_token.
    """

    file: Path
    backend: Any = field(repr=False)
    clean: Callable[[str], str]
    vocab_size: int
    sep_id: int | None = None

    def __call__(self, texts: list[str]) -> Tensor:
        rows = self.backend.encode_batch([self.clean(text) for text in texts])
        tokens = torch.tensor([row.ids for row in rows], dtype=torch.long).reshape(len(rows), -1)
        if tokens.numel() and int(tokens.max()) >= self.vocab_size:
            raise UserError(
                f"{self.file}: its token {int(tokens.max())} is beyond the {self.vocab_size} of the teacher's text "
                "tower: it is another model's tokenizer"
            )
        return tokens if self.sep_id is None else tokens.masked_fill(tokens == self.sep_id, 0)


def has_transformers() -> bool:
    """Whether the optional extra is installed; it is not imported."""
    return find_spec("transformers") is not None


def files_needed(config: TeacherConfig) -> tuple[str, ...]:
    """What must lie beside the weights for this teacher to load without a network."""
    if config.text_kind == "clip":
        return ()
    beside = (TOKENIZER, SETTINGS)
    return beside if config.text_kind == "json" else (*beside, TEXT_MODEL)


def needs_transformers(spec: str, config: TeacherConfig) -> None:
    """Raise UserError where the text goes through transformers and it is not installed."""
    if config.text_kind == "transformers" and not has_transformers():
        raise UserError(
            f"teacher {spec!r}: the text side of {config.label} is a model of the library transformers, which is not "
            f"installed: {INSTALL}, or take another teacher (docs/teachers.md)"
        )


def tokenizer_from_files(spec: str, config: TeacherConfig, places: list[Path]) -> Callable[[list[str]], Tensor]:
    """The tokenizer from directories on this machine, the first that has one.

    Raises:
        UserError: its files are not there, cannot be read, or need transformers.
    """
    if config.text_kind == "clip":
        return _clips_own(config)
    if config.text_kind == "json":
        for place in places:
            if (place / TOKENIZER).is_file():
                return json_tokenizer(spec, config, place / TOKENIZER)
    old = [place for place in places if any((place / name).is_file() for name in (TOKENIZER, *VOCABULARIES))]
    if not old:
        name = config.model_cfg["text_cfg"]["hf_tokenizer_name"]
        raise UserError(
            f"teacher {spec!r}: {config.label} needs the tokenizer of {name}: put its {TOKENIZER} and {SETTINGS} "
            f"beside the weights, into {places[0]}"
        )
    if not has_transformers():
        raise UserError(
            f"teacher {spec!r}: {old[0]} has a vocabulary but no {TOKENIZER}, which alone is read without "
            f"transformers: put it and {SETTINGS} there, or {INSTALL}"
        )
    return _through_transformers(spec, config, str(old[0]))


def tokenizer_from_hub(spec: str, config: TeacherConfig) -> Callable[[list[str]], Tensor]:
    """The tokenizer by the name that open_clip gives it, from its download cache or the network.

    Raises:
        UserError: it cannot be had, or needs transformers.
    """
    if config.text_kind == "clip":
        return _clips_own(config)
    name = config.model_cfg["text_cfg"]["hf_tokenizer_name"]
    if config.text_kind == "json":
        file = _downloaded(name, TOKENIZER)
        if file is not None:
            return json_tokenizer(spec, config, file, _downloaded(name, SETTINGS), _downloaded(name, SPECIAL))
    if not has_transformers():
        raise UserError(
            f"teacher {spec!r}: the tokenizer of {name} cannot be had here: put the weights and its {TOKENIZER} and "
            f"{SETTINGS} into a directory and pass open_clip:{config.label}@<directory>"
        )
    return _through_transformers(spec, config, name)


def json_tokenizer(
    spec: str, config: TeacherConfig, file: Path, settings: Path | None = None, special: Path | None = None
) -> JsonTokenizer:
    """A tokenizer.json with what tokenizer_config.json, or special_tokens_map.json, beside it says.

    Args:
        settings, special: those files, where they are not beside it.

    Raises:
        UserError: it cannot be read, or nothing says what it pads with.
    """
    from tokenizers import Tokenizer

    text = config.model_cfg["text_cfg"]
    length = text.get("context_length") or DEFAULT_CONTEXT_LENGTH
    options = text.get("tokenizer_kwargs", {})
    settings, special = settings or file.with_name(SETTINGS), special or file.with_name(SPECIAL)
    try:
        backend = Tokenizer.from_file(str(file))
        stated = {**_read(special), **_read(settings)}
    except Exception as error:  # tokenizers raises bare Exception
        reason = one_line(str(error), 160)
        raise UserError(f"teacher {spec!r}: {file} or {settings.name} cannot be read ({reason})") from error
    _start_and_end(backend, stated)
    padding = _special(backend, stated, "pad_token", ("[PAD]", "<pad>")) or (backend.padding or {}).get("pad_token")
    if padding is None or backend.token_to_id(padding) is None:
        raise UserError(
            f"teacher {spec!r}: nothing says what {file} pads short texts with: put the {SETTINGS} of the same "
            f"tokenizer into {file.parent}"
        )
    backend.enable_truncation(length, direction=stated.get("truncation_side") or "right")
    backend.enable_padding(
        direction=stated.get("padding_side") or "right",
        pad_id=backend.token_to_id(padding),
        pad_token=padding,
        length=length,
    )
    separator = _special(backend, stated, "sep_token", ("[SEP]", "</s>")) if options.get("strip_sep_token") else None
    return JsonTokenizer(
        file,
        backend,
        get_clean_fn(options.get("clean", "whitespace")),
        text.get("vocab_size", 49408),
        None if separator is None else backend.token_to_id(separator),
    )


def _read(file: Path) -> dict[str, Any]:
    """{} where there is no such file."""
    data = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if not isinstance(data, dict):
        raise ValueError(f"{file.name} holds no settings")
    return data


def _special(backend: Any, stated: dict[str, Any], key: str, usual: tuple[str, ...]) -> str | None:
    """A special token by what is stated, else by a usual name that tokenizer.json itself marks as special.

    A usual name that is only in the vocabulary says nothing: SigLIP's has <pad>, and pads with </s>.
    """
    found = stated.get(key)
    if isinstance(found, dict):
        found = found.get("content")
    if isinstance(found, str):
        return found
    marked = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    return next((name for name in usual if name in marked), None)


def _start_and_end(backend: Any, stated: dict[str, Any]) -> None:
    """Gemma's tokenizer (SigLIP2) may say in tokenizer_config.json which of its start and end tokens are added.

    transformers 4 heeds that, transformers 5 only tokenizer.json, which ought to say the same.
    """
    keys = [key for key in ("bos", "eos") if f"add_{key}_token" in stated]
    if not str(stated.get("tokenizer_class", "")).startswith("Gemma") or len(keys) < 2:
        return
    from tokenizers.processors import TemplateProcessing

    ends = [
        _special(backend, stated, f"{key}_token", (f"<{key}>",)) if stated[f"add_{key}_token"] else None for key in keys
    ]
    tokens = [(token, backend.token_to_id(token)) for token in ends if token]
    template = " ".join(part for part in (ends[0], "$A", ends[1]) if part)
    backend.post_processor = TemplateProcessing(single=template, pair=None, special_tokens=tokens)


def _clips_own(config: TeacherConfig) -> Callable[[list[str]], Tensor]:
    text = config.model_cfg["text_cfg"]
    length = text.get("context_length", DEFAULT_CONTEXT_LENGTH)
    return _simple_tokenizer(length, json.dumps(text.get("tokenizer_kwargs", {})))


@cache
def _simple_tokenizer(length: int, options: str) -> Callable[[list[str]], Tensor]:
    """Made once a process: it reads a vocabulary of 49,000 words, which takes most of a second. ``options`` is JSON."""
    return open_clip.SimpleTokenizer(context_length=length, **json.loads(options))


def _downloaded(name: str, file: str) -> Path | None:
    try:
        return Path(download_pretrained_from_hf(name, filename=file))
    except (OSError, RuntimeError, ValueError):
        return None


def _through_transformers(spec: str, config: TeacherConfig, source: str) -> Callable[[list[str]], Tensor]:
    text = config.model_cfg["text_cfg"]
    try:
        return HFTokenizer(
            source,
            context_length=text.get("context_length", DEFAULT_CONTEXT_LENGTH),
            tokenizer_mode=text.get("tokenizer_mode"),
            **text.get("tokenizer_kwargs", {}),
        )
    except Exception as error:  # transformers raises anything, from KeyError to ImportError of a further library
        reason = one_line(str(error), 160)
        raise UserError(
            f"teacher {spec!r}: transformers makes no tokenizer from {source} ({reason}): put {TOKENIZER} and "
            f"{SETTINGS} beside the weights"
        ) from error
