"""What a teacher's name means before any weights are there: architecture, activation, preprocessing, kind of tokenizer.

open_clip keeps a model's configuration and its published weights apart. Some weights want QuickGELU where the
configuration says GELU; built as configured, such a teacher answers, and answers wrongly. So a configuration is only
made here, and says its activation in its label.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import open_clip

from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_bytes

ACCEPTED = (
    "accepted are open_clip:<name>/<pretrained tag>, open_clip:<name>/<pretrained tag>@<checkpoint or directory>, "
    "open_clip:<name or config.json>@<checkpoint or directory>, open_clip:@<directory>"
)
CONFIG_FILE = "open_clip_config.json"
QUICK = "-quickgelu"
SEEN = ("mean", "std", "interpolation")  # of preprocessing: the whole frame is squashed, whatever resize_mode says

TextKind = Literal["clip", "json", "transformers"]


@dataclass(frozen=True)
class TeacherConfig:
    """What open_clip builds a model from.

    Attributes:
        label: short name for people and for :attr:`Teacher.id`; has ``-quickgelu`` where the weights and not the
            model's name ask for QuickGELU.
        model_cfg: open_clip's, with the activation that is right for the weights.
        preprocess_cfg: open_clip's; what is missing is CLIP's own.
        sha256: hex digest of ``model_cfg`` where only a file says it; "" where the label does.
    """

    label: str
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    sha256: str = ""

    @property
    def quick_gelu(self) -> bool:
        """Whether open_clip's own towers compute QuickGELU; towers of timm and transformers keep their activation."""
        return bool(self.model_cfg.get("quick_gelu", False))

    @property
    def text_kind(self) -> TextKind:
        """Where text goes: CLIP's BPE, which open_clip holds; a tokenizer.json; or through transformers."""
        text = self.model_cfg["text_cfg"]
        if "hf_model_name" in text:
            return "transformers"
        if not text.get("hf_tokenizer_name"):
            return "clip"
        plain = set(text.get("tokenizer_kwargs", {})) <= {"clean", "strip_sep_token"} and not text.get("tokenizer_mode")
        return "json" if plain else "transformers"


def config_of_tag(spec: str, name: str, tag: str) -> TeacherConfig:
    """The configuration for published weights, or for a copy of them in a file.

    Raises:
        UserError: open_clip knows no such model, or no such weights of it.
    """
    model_cfg = _model_cfg(spec, name)
    pretrained = open_clip.get_pretrained_cfg(name, tag)
    if not pretrained:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none"
        raise UserError(f"teacher {spec!r}: {name} has no weights {tag!r}; accepted are {known}")
    keys = (*SEEN, "resize_mode")
    preprocess = {key: pretrained[key] for key in keys if pretrained.get(key) is not None}
    label = name if _wants_quick_gelu(name, tag) == bool(model_cfg.get("quick_gelu")) else name + QUICK
    return TeacherConfig(f"{label}/{tag}", _with_activation(model_cfg, _wants_quick_gelu(name, tag)), preprocess)


def config_of_name(spec: str, name: str, checkpoint: str, quick_gelu: bool | None = None) -> TeacherConfig:
    """The configuration for weights that a model's name alone describes.

    Args:
        checkpoint: where the weights are; for the message.
        quick_gelu: the activation, where the weights say it themselves.

    Raises:
        UserError: no such model; the name leaves activation, mean, std or interpolation open.
    """
    model_cfg = _model_cfg(spec, name)
    tags = open_clip.list_pretrained_tags_by_model(name)
    quick = [tag for tag in tags if _wants_quick_gelu(name, tag)]
    usual = bool(model_cfg.get("quick_gelu"))
    if quick_gelu is None:
        if quick and not usual:
            others = [tag for tag in tags if tag not in quick]
            more = f", GELU for {others[-1]} and its other tags" if others else ""
            raise UserError(
                f"teacher {spec!r}: a file does not say whether its weights want GELU or QuickGELU, and {name} has "
                f"both: pass open_clip:{name}/<tag>@{checkpoint} with the tag whose weights they are (QuickGELU for "
                f"{', '.join(quick)}{more}), or open_clip:{name}{QUICK}@{checkpoint} if they were trained with "
                f"QuickGELU, or a config.json that says quick_gelu"
            )
        quick_gelu = usual
    alike = [tag for tag in tags if (tag in quick) == quick_gelu]
    seen = {json.dumps([open_clip.get_pretrained_cfg(name, tag).get(key) for key in SEEN]) for tag in alike}
    if len(seen) > 1:
        raise UserError(
            f"teacher {spec!r}: weights of {name} differ in mean, std or interpolation: pass "
            f"open_clip:{name}/<tag>@{checkpoint} with the tag whose weights they are ({', '.join(alike)})"
        )
    preprocess = config_of_tag(spec, name, alike[0]).preprocess_cfg if alike else {}
    label = name if quick_gelu == usual else name + QUICK
    seen_cfg = {key: preprocess[key] for key in SEEN if key in preprocess}
    return TeacherConfig(label, _with_activation(model_cfg, quick_gelu), seen_cfg)


def config_of_json(spec: str, path: Path) -> TeacherConfig:
    """The configuration in a file: open_clip's {"model_cfg", "preprocess_cfg"}, or a bare model_cfg.

    Raises:
        UserError: it cannot be read or is no such file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"teacher {spec!r}: {path} cannot be read ({error}); {ACCEPTED}") from error
    full = data if isinstance(data, dict) and "model_cfg" in data else {"model_cfg": data, "preprocess_cfg": {}}
    needed = ("embed_dim", "vision_cfg", "text_cfg")
    missing = [key for key in needed if not isinstance(full["model_cfg"], dict) or key not in full["model_cfg"]]
    if missing:
        raise UserError(f"teacher {spec!r}: {path} is no open_clip config (no {', '.join(missing)})")
    label = path.parent.name if path.name == CONFIG_FILE else path.stem
    digest = sha256_bytes(json.dumps(full["model_cfg"], sort_keys=True).encode())
    return TeacherConfig(label, full["model_cfg"], full.get("preprocess_cfg", {}), digest)


def _model_cfg(spec: str, name: str) -> dict[str, Any]:
    """A copy of open_clip's configuration of this name."""
    model_cfg = open_clip.get_model_config(name) if name in open_clip.list_models() else None
    if model_cfg is None:
        raise UserError(
            f"teacher {spec!r}: open_clip has no model {name!r}; see open_clip.list_models(), or pass a config.json "
            f"(open_clip:<config.json>@<checkpoint>)"
        )
    return model_cfg


def _wants_quick_gelu(name: str, tag: str) -> bool:
    """A tag that says nothing has the activation of its model's configuration (roberta-ViT-B-32)."""
    stated = open_clip.get_pretrained_cfg(name, tag).get("quick_gelu")
    return bool(open_clip.get_model_config(name).get("quick_gelu") if stated is None else stated)


def _with_activation(model_cfg: dict[str, Any], quick_gelu: bool) -> dict[str, Any]:
    return model_cfg if bool(model_cfg.get("quick_gelu")) == quick_gelu else {**model_cfg, "quick_gelu": quick_gelu}
