"""The student: any timm backbone, a projection head to the teacher's dimension, L2 normalisation.

Input is uint8 pixels; the normalisation is part of the network, and so simple that in int8 the pixels
themselves are the quantised activation (scale 1/64, zero point 128).
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edgevl_train.torchvision_ops  # before timm

# isort: split
import timm
from timm.models.mobilenetv3 import MobileNetV3
from torch import Tensor, nn

import edgevl_train.student.dat  # noqa: F401  (makes dat_tiny known to timm)
from edgevl_core.base.errors import UserError
from edgevl_train.student.pixels import PixelNormalise
from edgevl_train.student.presets import Head
from edgevl_train.student.pretrained import load_backbone, made_for
from edgevl_train.student.stem import STEM_STRIDE, set_stem_stride
from edgevl_train.student.widths import Widths, set_widths

_SHORTEST = 1e-12  # a zero vector stays one, instead of NaN
_MASKED = -50.0


class Student(nn.Module):
    """Backbone, head, unit length; made by :func:`build_student`.

    Attributes:
        folded: names of the backbone's BatchNorms that its file had folded away: not to be trained before folded.py
            has restored them.
        merged: whether re-parameterised branches are merged already; timm's FastViT cannot do it twice.
        origin: where its first weights come from, in words; empty where they are loaded afterwards.
    """

    def __init__(self, name: str, backbone: nn.Module, head: nn.Module, embed_dim: int) -> None:
        super().__init__()
        self.name = name
        self.embed_dim = embed_dim
        self.folded: list[str] = []
        self.merged = False
        self.origin = ""
        self.normalise: nn.Module = PixelNormalise()
        self.backbone = backbone
        self.head = head

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) uint8 or float 0..255 -> (N, D) float32, L2-normalised."""
        return self._unit(self.head(self.backbone(self.normalise(pixels))))

    def forward_maps(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As :meth:`forward`, and the map of each of the backbone's stages, (N, C, H, W), the last one last."""
        backbone: Any = self.backbone
        last, maps = backbone.forward_intermediates(self.normalise(pixels))
        return self._unit(self.head(backbone.forward_head(last))), maps

    def _unit(self, features: Tensor) -> Tensor:
        features = features.float()
        return features / features.norm(dim=-1, keepdim=True).clamp(min=_SHORTEST)


def build_student(  # noqa: PLR0913 - what a recipe's section says of a student
    name: str,
    embed_dim: int,
    *,
    head: Head = "linear",
    size_px: int | None = None,
    backbone: Mapping[str, Any] | None = None,
    pretrained: Path | str | None = None,
    pretrained_mean: Sequence[float] | None = None,
    pretrained_std: Sequence[float] | None = None,
    widths: Widths | None = None,
) -> Student:
    """A student with random weights, or with a backbone from a local file.

    Args:
        name: any timm model, or dat_tiny; edgevl_train/student/presets.py lists those known to serve well.
        embed_dim: D, the teacher's embedding dimension.
        head: "linear", or "mlp" (two layers, GELU between; hidden width = the backbone's).
        size_px: side of the images; None: what the backbone is made for. Transformers are built for one size.
        backbone: further arguments of the timm model, for example {"output_stride": 16} or {"img_size": 96}; and
            {"stem_stride": 1}, see :mod:`edgevl_train.student.stem`.
        pretrained: a safetensors file with the backbone's weights; a classifier in it is left out.
        pretrained_mean, pretrained_std: of RGB in 0..1, the normalisation that they were made for, which is put into
            the first convolution; None: timm's for ``name``.
        widths: of layers that pruning has made narrower, see :mod:`edgevl_train.student.widths`.

    Raises:
        UserError: unknown name (with close matches), arguments the backbone does not take, a file that does
            not fit, a backbone that reads its pixels by no convolution, with such a file; widths of other layers.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=4, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "choose one of timm.list_models()"
        raise UserError(f"student {name!r} is not a timm model: {hint}")
    if head not in ("linear", "mlp"):
        raise UserError(f"head {head!r} is not known: accepted are 'linear' and 'mlp'")
    arguments = dict(backbone or {})
    if size_px is not None and made_for(name).fixed_input_size:
        arguments.setdefault("img_size", size_px)
    network = _build_backbone(name, arguments)
    student = Student(name, network, _build_head(head, _width(network), embed_dim), embed_dim)
    if pretrained is not None:
        normalisation = {"mean": pretrained_mean, "std": pretrained_std}
        student.folded = load_backbone(network, name, Path(pretrained), **normalisation, size_px=size_px)
    set_widths(student, widths or {})
    return student


def _build_backbone(name: str, arguments: dict[str, Any]) -> nn.Module:
    mobile = timm.model_entrypoint(name).__module__ == MobileNetV3.__module__
    # timm's MobileNets have no output_stride, and at 64 to 96 px a stride of 32 leaves 2 or 3 cells a side.
    output_stride = arguments.pop("output_stride", None) if mobile else None
    stem_stride = arguments.pop(STEM_STRIDE, None)
    try:
        network = timm.create_model(name, pretrained=False, num_classes=0, **arguments)
    except (TypeError, ValueError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"student {name!r} does not take the backbone arguments {arguments}: {error}; correct them"
        ) from error
    if output_stride is not None:
        _limit_stride(network, output_stride)
    if stem_stride is not None:
        set_stem_stride(network, name, stem_stride)
    _mask_without_denormals(network)
    return network


def _mask_without_denormals(network: nn.Module) -> None:
    """Swin hides other windows by -100 in the exponent: here by -50.

    What is left of them at -100, 1e-44, is a denormal number: the product that follows took ten times as long. At -50
    they weigh 1e-22, which float32 still rounds away.
    """
    for name, values in network.named_buffers():
        if name.endswith("attn_mask"):
            values.clamp_(min=_MASKED)


def _limit_stride(network: nn.Module, output_stride: int) -> None:
    """Keep the strides of a serial network until their product is ``output_stride``; later ones become 1."""
    if output_stride not in (4, 8, 16, 32):
        raise UserError(f"backbone argument output_stride={output_stride}: accepted are 4, 8, 16 and 32")
    stride = 1
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.stride != (1, 1):
            if stride * module.stride[0] > output_stride:
                module.stride = (1, 1)
            else:
                stride *= module.stride[0]


def _width(network: Any) -> int:
    """Features that a timm network gives where it has no classifier."""
    return getattr(network, "head_hidden_size", None) or network.num_features


def _build_head(head: Head, width: int, embed_dim: int) -> nn.Module:
    if head == "linear":
        return nn.Linear(width, embed_dim)
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, embed_dim))
