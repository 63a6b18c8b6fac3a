"""A teacher's image tower as a student: it reads the robot's pixels, and can be traced, quantised and exported."""

import copy
from collections.abc import Mapping
from typing import Any

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import torch
from open_clip.transformer import ResidualAttentionBlock
from timm.layers import Attention
from timm.utils.model import reparameterize_model
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.base.errors import UserError
from edgevl_train.student.network import Student
from edgevl_train.student.normalisation import fold_normalisation
from edgevl_train.student.pixels import PixelNormalise


def tower_student(name: str, visual: nn.Module, preprocess: Mapping[str, Any], size_px: int, embed_dim: int) -> Student:
    """The image tower as a float student, on the CPU: (N, 3, S, S) uint8 -> (N, D), with S the teacher's own side.

    Its normalisation is in its first convolution. The tower given stays as it is.

    Args:
        name: of the teacher; visual: an open_clip model's image tower.
        preprocess: what it was made for, ``mean`` and ``std`` of RGB in 0..1.
        size_px: S; embed_dim: D.

    Raises:
        UserError: the tower reads its pixels otherwise than by plain convolutions.
    """
    tower = copy.deepcopy(visual).float().cpu().eval()
    _with_plain_attention(tower)
    tower = reparameterize_model(tower)  # before the normalisation: one convolution reads the pixels, not branches
    mean, std = preprocess["mean"], preprocess["std"]
    try:
        readers = fold_normalisation(tower, name, mean, std, size_px)
    except UserError as error:
        raise UserError(
            f"teacher {name}: its image tower cannot answer by itself, for it reads its pixels otherwise than by "
            "plain convolutions; take another small CLIP (ViT-B-32, MobileCLIP2-S0), or adapt a student of it"
        ) from error
    student = Student(name, tower, nn.Identity(), embed_dim)
    student.merged = True
    borders = {each.padding for each in readers}
    if len(readers) == 1 and isinstance(border := borders.pop(), tuple) and any(border):
        # Around the image the tower has seen 0 after its own normalisation, its mean: here that is no longer 0.
        readers[0].padding = (0, 0)
        student.normalise = _Bordered(tuple(map(int, border)), [round(255 * float(channel)) for channel in mean])
    return student


class _Bordered(nn.Module):
    """Pixels with a border of one colour, then normalised: (N, 3, S, S) -> (N, 3, S + 2 b, S + 2 b) float32."""

    def __init__(self, border: tuple[int, ...], colour: list[int]) -> None:
        super().__init__()
        self.sides = [border[1], border[1], border[0], border[0]]
        self.colour = colour
        self.normalise = PixelNormalise()

    def forward(self, pixels: Tensor) -> Tensor:
        if len(set(self.colour)) == 1:
            return self.normalise(functional.pad(pixels, self.sides, value=self.colour[0]))
        channels = [functional.pad(pixels[:, i : i + 1], self.sides, value=v) for i, v in enumerate(self.colour)]
        return self.normalise(torch.cat(channels, dim=1))


class _PlainAttention(nn.Module):
    """torch's multi-head attention by two linear layers, which can be quantised; called as torch's is."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        bias = attention.in_proj_bias is not None
        self.attention = Attention(attention.embed_dim, attention.num_heads, qkv_bias=bias, proj_bias=bias)
        state = {"qkv.weight": attention.in_proj_weight, "proj.weight": attention.out_proj.weight}
        if bias:
            state |= {"qkv.bias": attention.in_proj_bias, "proj.bias": attention.out_proj.bias}
        self.attention.load_state_dict(state)

    def forward(self, x: Tensor, *_: Tensor, **__: object) -> tuple[Tensor, None]:
        return self.attention(x), None


def _with_plain_attention(tower: nn.Module) -> None:
    """Self-attention of open_clip's own towers, in place; pooling by attention stays torch's, and float."""
    for block in tower.modules():
        if isinstance(block, ResidualAttentionBlock) and not hasattr(block, "ln_1_kv") and block.attn.batch_first:
            block.attn = _PlainAttention(block.attn)
