"""Loads a teacher: configuration, weights and tokenizer, from open_clip's registry or from files."""

import json
import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import open_clip
import torch
from torch import Tensor, nn

from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_train.teacher.config import (
    ACCEPTED,
    CONFIG_FILE,
    TeacherConfig,
    config_of_json,
    config_of_name,
    config_of_tag,
)
from edgevl_train.teacher.model import Teacher, teacher_key
from edgevl_train.teacher.tokenizer import TEXT_MODEL, needs_transformers, tokenizer_from_files, tokenizer_from_hub
from edgevl_train.teacher.weights import damage, find_weights, load_weights, says_quick_gelu

__all__ = ["Teacher", "load_teacher", "teacher_key"]


@dataclass(frozen=True)
class _Loaded:
    """``label``: for :attr:`Teacher.id`; ``config_sha256``: as there."""

    model: Any  # open_clip's, which says no types
    tokenizer: Callable[[list[str]], Tensor]
    weights: Path
    label: str
    config_sha256: str = ""


def load_teacher(spec: str, *, batch: int = 64, precision: str = "32-true", device: str = "cpu") -> Teacher:
    """Load an open_clip model with its weights.

    Args:
        spec: ``open_clip:<name>/<pretrained tag>`` (from open_clip's own download cache or the network);
            ``open_clip:<name>/<pretrained tag>@<checkpoint>``, the same weights in a file (.pt or .safetensors) or in
            a directory that holds one: activation and preprocessing are the tag's;
            ``open_clip:<name>@<checkpoint>``, where the name alone says both;
            ``open_clip:<config.json>@<checkpoint>``; ``open_clip:@<directory>``, a directory with
            open_clip_config.json and weights, as ``edgevl teacher pretrain`` and open_clip's own hub upload
            write it. A tokenizer other than CLIP's lies beside the checkpoint (tokenizer.json,
            tokenizer_config.json), or beside the config.
        batch: images per forward pass.
        precision: "32-true", or "bf16-mixed" (autocast).
        device: torch device of the model.

    Raises:
        UserError: a spec of another form, an unknown name, weights that cannot be had or do not fit.
    """
    library, _, rest = spec.partition(":")
    if library != "open_clip" or not rest:
        raise UserError(f"teacher {spec!r}: {ACCEPTED}")
    config, at, checkpoint = rest.partition("@")
    with quiet_open_clip():
        loaded = _from_files(spec, config, Path(checkpoint)) if at else _from_tag(spec, rest)
    model, tokenizer = loaded.model, loaded.tokenizer
    model.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    preprocess = dict(model.visual.preprocess_cfg)
    size = preprocess["size"]
    size_px = size if isinstance(size, int) else size[0]
    if not isinstance(size, int) and size[0] != size[1]:
        raise UserError(f"teacher {spec!r} wants {size[0]}x{size[1]} pixels: only square inputs are supported")
    with torch.inference_mode():
        embed_dim = model.encode_text(tokenizer(["a room"]).to(device)).shape[-1]
    return Teacher(
        id=f"open_clip:{loaded.label}",
        embed_dim=int(embed_dim),
        logit_scale=float(model.logit_scale.exp()),
        weights_sha256=sha256_file(loaded.weights),
        size_px=size_px,
        model=model,
        tokenizer=tokenizer,
        preprocess=preprocess,
        batch=batch,
        precision=precision,
        config_sha256=loaded.config_sha256,
    )


def image_tower_bytes(name: str) -> int:
    """float32 size of a CLIP image tower, counted on a model without storage: no weights are needed."""
    with quiet_open_clip(), torch.device("meta"):
        model = open_clip.create_model(name, pretrained=None, device="meta")
    return sum(4 * p.numel() for p in model.visual.parameters())


def build_model(config: TeacherConfig, device: str = "cpu") -> nn.Module:
    """The model with random weights; nothing is downloaded.

    open_clip's local-dir schema takes a directory, so the configuration is put into a temporary one.
    """
    content = {"model_cfg": config.model_cfg, "preprocess_cfg": config.preprocess_cfg}
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / CONFIG_FILE).write_text(json.dumps(content), encoding="utf-8")
        return open_clip.create_model(
            f"local-dir:{temporary}", load_weights=False, pretrained_text=False, device=device
        )


def _from_tag(spec: str, rest: str) -> _Loaded:
    name, slash, tag = rest.partition("/")
    if not slash or not tag:
        raise UserError(f"teacher {spec!r} names no weights: {ACCEPTED}")
    config = config_of_tag(spec, name, tag)
    needs_transformers(spec, config)
    try:
        weights = Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(name, tag)))
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"teacher {spec!r}: its weights cannot be had here ({_reason(error)}): pass open_clip:{rest}@<checkpoint "
            "file> of weights on this machine, or train a small teacher with `edgevl teacher pretrain`"
        ) from error
    tokenizer = tokenizer_from_hub(spec, config)
    return _Loaded(_filled(spec, config, weights), tokenizer, weights, config.label)


def _from_files(spec: str, source: str, checkpoint: Path) -> _Loaded:
    if not checkpoint.exists():
        raise UserError(f"teacher {spec!r}: {checkpoint} does not exist; {ACCEPTED}")
    if not source:
        if not (checkpoint / CONFIG_FILE).is_file():
            raise UserError(f"teacher {spec!r}: {checkpoint} is no directory with {CONFIG_FILE}; {ACCEPTED}")
        source = str(checkpoint / CONFIG_FILE)
    weights = find_weights(spec, checkpoint)
    config = _config(spec, source, checkpoint, says_quick_gelu(weights))
    needs_transformers(spec, config)
    places = [weights.parent, *([Path(source).parent] if source.endswith(".json") else [])]
    tokenizer = tokenizer_from_files(spec, config, places)
    text_model = [place for place in places if (place / TEXT_MODEL).is_file()]
    if "hf_model_name" in config.model_cfg["text_cfg"] and text_model:
        config.model_cfg["text_cfg"]["hf_model_name"] = str(text_model[0])
    label = f"{config.label}@{weights.name}"
    return _Loaded(_filled(spec, config, weights), tokenizer, weights, label, config.sha256)


def _config(spec: str, source: str, checkpoint: Path, archived: bool | None) -> TeacherConfig:
    """``archived``: the activation that the weights themselves say, which the configuration must not contradict."""
    if source.endswith(".json"):
        config = config_of_json(spec, Path(source))
    elif "/" in source:
        config = config_of_tag(spec, *source.split("/", 1))
    else:
        return config_of_name(spec, source, str(checkpoint), archived)
    if archived is not None and archived != config.quick_gelu:
        names = ("GELU", "QuickGELU")
        raise UserError(
            f"teacher {spec!r}: the code in {checkpoint.name} computes {names[archived]}, {source} says "
            f"{names[not archived]}: pass the tag whose weights they are, or a config.json with "
            f'"quick_gelu": {json.dumps(archived)}'
        )
    return config


def _filled(spec: str, config: TeacherConfig, weights: Path) -> Any:
    try:
        model = build_model(config)
        load_weights(model, weights)
    except Exception as error:  # open_clip raises anything from KeyError to UnpicklingError here
        what = f"teacher {spec!r}: {weights.name} does not load into {config.label}"
        if is_damaged := damage(weights):
            raise UserError(f"{what}: {is_damaged}") from error
        raise UserError(f"{what} ({_reason(error)}); {ACCEPTED}") from error
    return model


def _reason(error: Exception) -> str:
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
    if text.startswith("Weights only load failed"):  # torch goes on with how to load it unsafely
        foreign = re.search(r"GLOBAL (\S+) was not an allowed global", text)
        what = (
            f"Python objects beside tensors ({foreign[1]})" if foreign else "no checkpoint, or objects beside tensors"
        )
        return f"it holds {what}, which are not loaded: save its state_dict alone"
    if "Missing key(s)" in text:
        unexpected = re.search(r"Unexpected key\(s\) in state_dict: (.{1,120})", text)
        holds = f"; it holds {unexpected[1].rsplit(',', 1)[0].strip('. ')}" if unexpected else ""
        return f"it lacks {_keys(text)}{holds}: other names, another architecture, or a state_dict within a dictionary"
    return text[:200]


def _keys(text: str) -> str:
    found = re.search(r"Missing key\(s\) in state_dict: (.*?)\.( |$)", text)
    names = found[1].split(", ") if found else []
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more tensors" if len(names) > 3 else "")


@contextmanager
def quiet_open_clip() -> Iterator[None]:
    """Keep back what says nothing to the user; the error that counts is raised.

    On the root logger open_clip warns that a model has random weights, which are loaded just after or never needed; the
    hub's client tells of each of its attempts.
    """
    levels = {logger: logger.level for logger in (logging.getLogger(), logging.getLogger("huggingface_hub"))}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
