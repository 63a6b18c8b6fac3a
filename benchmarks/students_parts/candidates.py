"""The students that are compared."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource

IMAGENET = "models/mobilenetv2_100_imagenet.safetensors"
REFERENCE = "resnet18"  # others' times are also given as multiples of its own


@dataclass(frozen=True)
class Candidate:
    """A row of the table.

    Attributes:
        name: of the row.
        model: of timm.
        backbone: further arguments of it.
        imagenet: begins with the ImageNet weights of EDGEVL_REAL_DATA; otherwise with random ones.
    """

    name: str
    model: str
    backbone: dict[str, Any] = field(default_factory=dict)
    imagenet: bool = False

    def section(self, size_px: int, real_data: Path) -> dict[str, Any]:
        """The recipe's ``student``."""
        weights: dict[str, Any] = {"pretrained": None}
        if self.imagenet:
            half = [0.5, 0.5, 0.5]  # by the README of the file of weights
            weights = {"pretrained": str(real_data / IMAGENET), "pretrained_mean": half, "pretrained_std": half}
        return {"name": self.model, "size_px": size_px, "head": "linear", "backbone": self.backbone, **weights}

    @property
    def network(self) -> "Candidate":
        """The same network, whatever its first weights: what is timed."""
        return Candidate(self.model if not self.backbone else self.name, self.model, self.backbone)


def _of_demo() -> Candidate:
    student = yaml.safe_load(resource("config/train/demo.yaml").read_text(encoding="utf-8"))["student"]
    return Candidate("demo's student", student["name"], student["backbone"])


CANDIDATES = (
    Candidate("mobilenetv4_conv_small", "mobilenetv4_conv_small"),
    Candidate("mobilenetv4_conv_medium", "mobilenetv4_conv_medium"),
    Candidate("resnet18", "resnet18"),
    Candidate("resnet10t", "resnet10t"),
    Candidate("mobileone_s0", "mobileone_s0"),
    Candidate("repvgg_a0", "repvgg_a0"),
    Candidate("efficientnet_b3", "efficientnet_b3"),
    Candidate("vit_tiny_patch16_224", "vit_tiny_patch16_224"),
    Candidate("mobilenetv2_100", "mobilenetv2_100"),
    _of_demo(),
    Candidate("mobilenetv2_100, ImageNet", "mobilenetv2_100", imagenet=True),
)


def chosen(names: Sequence[str] | None) -> list[Candidate]:
    """Those of the names, all without any.

    Raises:
        UserError: there is no such candidate.
    """
    known = {candidate.name: candidate for candidate in CANDIDATES}
    if unknown := [name for name in names or () if name not in known]:
        raise UserError(f"--only {', '.join(unknown)}: known are {', '.join(map(repr, known))}")
    return [known[name] for name in names] if names else list(CANDIDATES)
