"""Finds a teacher's configuration, tokenizer and weights, from open_clip's registry or from files."""

import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import open_clip
import torch

from edgevl_core.errors import UserError
from edgevl_core.hashing import sha256_file
from edgevl_train.teacher_model import Teacher, teacher_key

__all__ = ["Teacher", "load_teacher", "teacher_key"]

ACCEPTED = (
    "accepted are open_clip:<name>/<pretrained tag>, open_clip:<name or config.json>@<checkpoint>, "
    "open_clip:@<directory>"
)
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"


def load_teacher(spec: str, *, batch: int = 64, precision: str = "32-true", device: str = "cpu") -> Teacher:
    """Load an open_clip model with its weights.

    Args:
        spec: ``open_clip:<name>/<pretrained tag>`` (from open_clip's own download cache or the network);
            ``open_clip:<name>@<checkpoint>`` or ``open_clip:<config.json>@<checkpoint>`` (a .pt or
            .safetensors file, or a directory that holds one); ``open_clip:@<directory>``, a directory with
            open_clip_config.json and weights, as ``edgevl teacher pretrain`` and open_clip's own hub upload
            write it.
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
        if at:
            loaded = _from_files(spec, config, Path(checkpoint))
        else:
            name, slash, tag = rest.partition("/")
            if not slash or not tag:
                raise UserError(f"teacher {spec!r} names no weights: {ACCEPTED}")
            loaded = _from_tag(spec, name, tag)
    model, tokenizer, weights, name = loaded
    model.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    preprocess = dict(model.visual.preprocess_cfg)
    size = preprocess["size"]
    size_px = size if isinstance(size, int) else size[0]
    if not isinstance(size, int) and size[0] != size[1]:
        raise UserError(f"teacher {spec!r} wants {size[0]}x{size[1]} pixels: only square inputs are supported")
    with torch.inference_mode():
        embed_dim = model.encode_text(tokenizer(["a room"]).to(device)).shape[-1]
    return Teacher(
        id=f"open_clip:{name}",
        embed_dim=int(embed_dim),
        logit_scale=float(model.logit_scale.exp()),
        weights_sha256=sha256_file(weights),
        size_px=size_px,
        model=model,
        tokenizer=tokenizer,
        preprocess=preprocess,
        batch=batch,
        precision=precision,
    )


def image_tower_bytes(name: str) -> int:
    """float32 size of a CLIP image tower, counted on a model without storage: no weights are needed."""
    with quiet_open_clip(), torch.device("meta"):
        model = open_clip.create_model(name, pretrained=None, device="meta")
    return sum(4 * p.numel() for p in model.visual.parameters())


def _from_tag(spec: str, name: str, tag: str) -> tuple[Any, Any, Path, str]:
    if name not in open_clip.list_models():
        raise UserError(
            f"teacher {spec!r}: open_clip has no model {name!r}; see open_clip.list_models(), or pass a config.json"
        )
    known = open_clip.list_pretrained_tags_by_model(name)
    pretrained = open_clip.get_pretrained_cfg(name, tag)
    if not pretrained:
        raise UserError(f"teacher {spec!r}: {name} has no weights {tag!r}; accepted are {', '.join(known) or 'none'}")
    try:
        weights = open_clip.download_pretrained(pretrained)
        model = open_clip.create_model(name, pretrained=tag)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"teacher {spec!r}: its weights cannot be had here ({reason}): pass open_clip:{name}@<checkpoint file> of "
            "weights on this machine, or train a small teacher with `edgevl teacher pretrain`"
        ) from error
    return model, open_clip.get_tokenizer(name), Path(weights), f"{name}/{tag}"


def _from_files(spec: str, config: str, checkpoint: Path) -> tuple[Any, Any, Path, str]:
    """open_clip's local-dir schema takes a directory, so a lone config is put into a temporary one."""
    if not checkpoint.exists():
        raise UserError(f"teacher {spec!r}: {checkpoint} does not exist; {ACCEPTED}")
    if not config:
        if not (checkpoint / CONFIG_FILE).is_file():
            raise UserError(f"teacher {spec!r}: {checkpoint} is no directory with {CONFIG_FILE}; {ACCEPTED}")
        config = str(checkpoint / CONFIG_FILE)
    weights = _weights_in(spec, checkpoint) if checkpoint.is_dir() else checkpoint
    full, label = _full_config(spec, config)
    home = Path(config).parent if Path(config).name == CONFIG_FILE else None
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / CONFIG_FILE).write_text(json.dumps(full), encoding="utf-8")
        try:
            model = open_clip.create_model(f"local-dir:{temporary}", load_weights=False)
            tokenizer = open_clip.get_tokenizer(f"local-dir:{home or temporary}")
            open_clip.load_checkpoint(model, str(weights))
        except Exception as error:  # open_clip raises anything from KeyError to UnpicklingError here
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"teacher {spec!r}: {weights.name} does not load into {label} ({reason}); {ACCEPTED}"
            ) from error
    return model, tokenizer, weights, f"{label}@{weights.name}"


def _weights_in(spec: str, directory: Path) -> Path:
    found = sorted(file for suffix in ("safetensors", "pt", "pth", "bin") for file in directory.glob(f"*.{suffix}"))
    preferred = [file for file in found if file.name == WEIGHTS_FILE] or found
    if len(preferred) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise UserError(f"teacher {spec!r}: {directory} holds {len(found)} weight files ({names}); name one of them")
    return preferred[0]


def _full_config(spec: str, config: str) -> tuple[dict[str, Any], str]:
    """{"model_cfg", "preprocess_cfg"} and a short name, from a JSON file or from one of open_clip's own configs."""
    path = Path(config)
    if path.suffix != ".json":
        model_cfg = open_clip.get_model_config(config)
        if model_cfg is None:
            raise UserError(f"teacher {spec!r}: open_clip has no model {config!r} and it is no .json file; {ACCEPTED}")
        return {"model_cfg": model_cfg, "preprocess_cfg": _usual_preprocess(spec, config)}, config
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"teacher {spec!r}: {path} cannot be read ({error}); {ACCEPTED}") from error
    full = data if "model_cfg" in data else {"model_cfg": data, "preprocess_cfg": {}}
    missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in full["model_cfg"]]
    if missing:
        raise UserError(f"teacher {spec!r}: {path} is no open_clip config (no {', '.join(missing)})")
    return full, path.parent.name if path.name == CONFIG_FILE else path.stem


def _usual_preprocess(spec: str, name: str) -> dict[str, Any]:
    """Mean, std and interpolation that all of open_clip's weights for this model share."""
    keys = ("mean", "std", "interpolation")
    tags = open_clip.list_pretrained_tags_by_model(name)
    found = {
        tuple((key, tuple(value) if isinstance(value, list) else value) for key in keys if (value := cfg.get(key)))
        for cfg in (open_clip.get_pretrained_cfg(name, tag) for tag in tags)
    }
    if len(found) > 1:
        raise UserError(
            f"teacher {spec!r}: weights of {name} differ in mean, std or interpolation; pass a config.json that holds "
            '"model_cfg" and "preprocess_cfg" instead of the name'
        )
    return dict(next(iter(found))) if found else {}


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
