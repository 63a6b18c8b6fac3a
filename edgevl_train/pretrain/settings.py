"""Settings of ``edgevl teacher pretrain``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import edgevl_train.torchvision_ops  # noqa: F401  (before timm)

# isort: split
import timm
from pydantic import Field, PositiveFloat, field_validator, model_validator

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.pairs import MAX_SKEW_S, PairSettings
from edgevl_train.recipe import override, parse_section
from edgevl_train.sections import Keywords, Machine, RgbAugmentSection
from edgevl_train.stage_sections import StageSection
from edgevl_train.student.pretrained import made_for

Phase = Literal["frozen", "whole"]


def _default_model() -> dict[str, Any]:
    return {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": 96,
            "timm_model_name": "test_resnet",
            "timm_pool": "avg",
            "timm_proj": "linear",
        },
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    }


class Pretraining(Machine):
    """Settings of :func:`edgevl_train.pretrain.run.pretrain`; ``model`` is an open_clip model config.

    The default image tower is timm's smallest ResNet: larger ones know less after the same minute on a CPU. With
    ``backbone``, a file of weights for the tower, the tower stays as it is for ``frozen_epochs`` and learns with the
    rest, at ``backbone_lr_share`` of the rate, for ``epochs`` after that. ``mean`` and ``std`` are of pixels in 0..1.

    ``crop_size_share``: side of the crops in training over the model's own size. A crop shows things larger than the
    whole image does. A network that trains on smaller crops than it is used with sees things at one size in both, and
    trains in less time ("Fixing the train-test resolution discrepancy", arXiv 1906.06423).

    ``rgb``, ``depth``, ``max_skew_s``: which pairs of bags; topics are found by type where they are not named.
    """

    rgb: str | None = None
    depth: str | None = None
    max_skew_s: float = Field(MAX_SKEW_S, gt=0, le=60)
    model: Keywords = Field(default_factory=_default_model)
    crop_size_share: float = Field(1.0, ge=0.5, le=1)
    backbone: Path | None = None
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.25, 0.25, 0.25)
    frozen_epochs: int = Field(0, ge=0)
    epochs: int = Field(12, ge=0)
    batch: int = Field(48, ge=2)
    lr: float = Field(4e-3, gt=0)
    backbone_lr_share: float = Field(1.0, ge=0, le=1)
    weight_decay: float = Field(0.05, ge=0)
    warmup_steps: int = Field(30, ge=0)
    text_steps: int = Field(100, ge=0)
    text_lr_share: float = Field(0.02, ge=0, le=1)
    val_share: float = Field(0.1, gt=0, lt=0.5)
    min_scale: float = Field(0.6, gt=0, le=1)
    max_aspect: float = Field(1.333, ge=1)
    colours: RgbAugmentSection = RgbAugmentSection()

    @field_validator("model")
    @classmethod
    def _has_towers(cls, model: dict[str, Any]) -> dict[str, Any]:
        """What is read here of it; the rest is open_clip's, see :func:`edgevl_train.pretrain.clip_training.build`."""
        for tower in ("vision_cfg", "text_cfg"):
            if not isinstance(model.get(tower), dict):
                raise ValueError(f"{tower} {model.get(tower)!r}: a mapping of settings is needed, as open_clip has it")
        size_px = model["vision_cfg"].get("image_size")
        if type(size_px) is not int or not 16 <= size_px <= 1024:
            raise ValueError(f"vision_cfg.image_size {size_px!r}: a whole number from 16 to 1024 is accepted")
        return model

    @model_validator(mode="after")
    def _learns_something(self) -> "Pretraining":
        if not self.epochs and not self.frozen_epochs:
            raise ValueError("epochs and frozen_epochs are both 0: nothing would be learned")
        return self

    @model_validator(mode="after")
    def _takes_its_crops(self) -> "Pretraining":
        name = str(self.model["vision_cfg"].get("timm_model_name", ""))
        if self.crop_size_share < 1 and timm.is_model(name) and made_for(name).fixed_input_size:
            raise ValueError(f"crop_size_share {self.crop_size_share}: {name} takes images of one size: 1 is needed")
        return self

    @property
    def pairs(self) -> PairSettings:
        """What is taken from bags."""
        return PairSettings(self.rgb, self.depth, self.max_skew_s)

    @property
    def size_px(self) -> int:
        """Side of the model's input."""
        return int(self.model["vision_cfg"]["image_size"])

    @property
    def crop_px(self) -> int:
        """Side of the crops in training, a multiple of 8."""
        return max(8, 8 * round(self.size_px * self.crop_size_share / 8)) if self.crop_size_share < 1 else self.size_px

    def section(self, phase: Phase) -> StageSection:
        """The schedule of a phase, as the training loop wants it."""
        return StageSection(
            epochs=self.frozen_epochs if phase == "frozen" else self.epochs,
            batch=self.batch,
            lr=self.lr,
            min_lr=0.0,
            warmup_steps=self.warmup_steps,
            weight_decay=self.weight_decay,
            clip_norm=1.0,
        )


def load_settings(backbone: str | None, size_px: int | None, given: Sequence[str]) -> Pretraining:
    """The usual settings, or those that suit a pretrained image tower, with overrides.

    Args:
        backbone: NAME@FILE, a timm model and a .safetensors file with its weights; None: the small tower, untrained.
        size_px: side of the model's input; None: 96, or 224 with a backbone.
        given: overrides ``key=value``, the value in YAML.

    Raises:
        UserError: the backbone is no NAME@FILE, timm does not know it, or a setting is wrong.
    """
    data: dict[str, Any] = {"model": _default_model()}
    if backbone is not None:
        data = _for_backbone(backbone)
    if size_px is not None:
        data["model"]["vision_cfg"]["image_size"] = size_px
    for setting in given:
        override(data, setting)
    return parse_section(Pretraining, data, origin="settings of teacher pretrain")


def _for_backbone(backbone: str) -> dict[str, Any]:
    """What measured best on photos of rooms with an ImageNet backbone, see docs/results.md."""
    name, at, file = backbone.partition("@")
    if not at or not file or not timm.is_model(name):
        raise UserError(
            f"--backbone {backbone!r}: NAME@FILE is accepted, a timm model and a .safetensors file with its weights"
        )
    usual = made_for(name)
    model = _default_model() | {"embed_dim": 256}
    model["vision_cfg"] |= {"image_size": 224, "timm_model_name": name}
    return {
        "model": model,
        # A Vision Transformer takes images of one size.
        "crop_size_share": 1.0 if usual.fixed_input_size else 0.7,
        "backbone": file,
        "mean": list(usual.mean),
        "std": list(usual.std),
        "frozen_epochs": 1,
        "epochs": 3,
        "batch": 64,
        "lr": 2e-3,
        "backbone_lr_share": 0.1,
        "min_scale": 0.4,
        "colours": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.4, "hue_rad": 0.2},
    }
