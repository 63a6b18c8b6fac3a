"""DAT: Vision Transformer with Deformable Attention (Xia et al., CVPR 2022, arXiv 2201.00520), from the paper.

Four stages as in Swin. Odd blocks attend within windows; even blocks with shifted windows in the first two
stages, and in the last two to points of the map that the network chooses itself. Importing this module makes
``dat_tiny`` known to timm.
"""

from collections.abc import Sequence
from typing import Any

import torch

import edgevl_train.torchvision_ops  # noqa: F401  (before timm)

# isort: split
from timm.layers import Mlp, trunc_normal_
from timm.models import generate_default_cfgs, register_model
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn
from torch.nn import functional

PATCH_PX = 4
HEAD_DIM = 32
GROUP_DIM = 128  # channels that share their sampling points: 3 groups in stage 3, 6 in stage 4
OFFSET_RANGE = 2.0  # the paper's s, here in units of 1 / side: a point moves by up to about one cell
OFFSET_KERNEL = 5


class DeformableAttention(nn.Module):
    """Attention whose keys and values are read at points shifted from a regular grid (section 3.2).

    The grid is as fine as the map, as in the paper's classifiers (r = 1). Points have (x, y) in [-1, 1], with
    -1 and 1 the centres of the outermost cells.
    """

    reference: Tensor

    def __init__(self, dim: int, side: int) -> None:
        """``dim``: channels, a multiple of 128; ``side``: of the square map."""
        super().__init__()
        self.side, self.heads, self.groups = side, dim // HEAD_DIM, dim // GROUP_DIM
        group_dim = dim // self.groups
        self.query, self.key, self.value, self.project = (nn.Linear(dim, dim) for _ in range(4))
        self.offset = nn.Sequential(
            nn.Conv2d(group_dim, group_dim, OFFSET_KERNEL, padding=OFFSET_KERNEL // 2, groups=group_dim),
            nn.GELU(),
            nn.Conv2d(group_dim, 2, 1, bias=False),  # a bias would move all points alike
        )
        # One value per head and displacement in whole cells, from -(side - 1) to side - 1 along y and x.
        self.position_bias = nn.Parameter(torch.zeros(self.heads, 2 * side - 1, 2 * side - 1))
        self.register_buffer("reference", _grid(side), persistent=False)
        trunc_normal_(self.position_bias, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(N, S, S, C) -> (N, S, S, C)."""
        query = self.query(x)
        points = self.reference + self._offsets(query)
        sampled = _sample(self._by_group(x), points)
        sampled = sampled.reshape(-1, self.heads * HEAD_DIM, self.side**2).transpose(1, 2)
        key, value = self._by_head(self.key(sampled)), self._by_head(self.value(sampled))
        scores = self._by_head(query) @ key.transpose(-2, -1) * HEAD_DIM**-0.5
        weights = (scores + self._bias(points)).softmax(dim=-1)
        out = (weights @ value).transpose(1, 2).reshape(x.shape)
        return self.project(out)

    def _offsets(self, query: Tensor) -> Tensor:
        """(N, S, S, C) -> (N * groups, S, S, 2), within +-OFFSET_RANGE / S."""
        offsets = self.offset(self._by_group(query)).permute(0, 2, 3, 1)
        return offsets.tanh() * (OFFSET_RANGE / self.side)

    def _bias(self, points: Tensor) -> Tensor:
        """The table at the displacement of every query from every point: (N, heads, S * S, S * S) (section 3.2)."""
        cells = self.side**2
        # Displacements span [-2, 2] and the table, twice as wide as the map, [-1, 1].
        shifts = (self.reference.reshape(1, cells, 1, 2) - points.reshape(-1, 1, cells, 2)) / 2
        table = self.position_bias.reshape(self.groups, -1, 2 * self.side - 1, 2 * self.side - 1)
        batch = points.shape[0] // self.groups
        return _sample(table.repeat(batch, 1, 1, 1), shifts).reshape(batch, self.heads, cells, cells)

    def _by_group(self, x: Tensor) -> Tensor:
        """(N, S, S, C) -> (N * groups, C / groups, S, S)."""
        side = self.side
        return x.permute(0, 3, 1, 2).reshape(-1, self.heads * HEAD_DIM // self.groups, side, side)

    def _by_head(self, x: Tensor) -> Tensor:
        """(N, S, S, C) or (N, S * S, C) -> (N, heads, S * S, 32)."""
        return x.reshape(-1, self.side**2, self.heads, HEAD_DIM).transpose(1, 2)


class DeformableBlock(nn.Module):
    """Deformable attention and an MLP, each after a layer norm and added to its input."""

    def __init__(self, dim: int, side: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = DeformableAttention(dim, side)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, S, S, C) -> (N, S, S, C)."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class DeformableTransformer(nn.Module):
    """The backbone, with timm's interface: one vector per image, or a classifier's logits."""

    def __init__(
        self,
        img_size: int = 224,
        num_classes: int = 1000,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
    ) -> None:
        """The defaults are DAT-T's.

        Raises:
            ValueError: sizes that do not divide into patches, windows and heads.
        """
        super().__init__()
        if img_size < 32 or img_size % 32 or embed_dim % HEAD_DIM or len(depths) != 4:
            raise ValueError(
                f"img_size={img_size}, embed_dim={embed_dim}, depths={list(depths)}: multiples of 32 and four depths "
                "are accepted"
            )
        window = img_size // 32  # 7 at 224 px; so it divides the map of every stage, and is all of the last
        self.num_features = embed_dim * 8
        self.stages = nn.ModuleList()
        channels, side, stride = 3, img_size, PATCH_PX
        for number, depth in enumerate(depths):
            dim, side = embed_dim * 2**number, side // stride
            blocks = [_block(dim, side, window, shifted=i % 2 == 1, deformable=number >= 2) for i in range(depth)]
            self.stages.append(nn.Sequential(Patches(channels, dim, stride), *blocks))
            channels, stride = dim, 2
        self.norm = nn.LayerNorm(self.num_features)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.apply(_initialise)

    def no_weight_decay(self) -> set[str]:
        """The tables of relative positions, as timm's Swin names its own."""
        return {name for name, _ in self.named_parameters() if name.endswith(("position_bias", "position_bias_table"))}

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, img_size, img_size) -> (N, 8 * embed_dim), or (N, num_classes)."""
        x = images
        for stage in self.stages:
            x = stage(x).permute(0, 3, 1, 2)
        return self.head(self.norm(x.permute(0, 2, 3, 1)).mean(dim=(1, 2)))


class Patches(nn.Module):
    """Squares of ``stride`` cells become one cell: (N, C, S, S) -> (N, S / stride, S / stride, dim)."""

    def __init__(self, channels: int, dim: int, stride: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, dim, stride, stride)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.project(x).permute(0, 2, 3, 1))


default_cfgs = generate_default_cfgs({"dat_tiny": {"input_size": (3, 224, 224), "fixed_input_size": True}})


@register_model
def dat_tiny(**arguments: Any) -> DeformableTransformer:
    """DAT-T; there are no weights to download."""
    for name in ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        arguments.pop(name, None)  # timm passes these to every model
    return DeformableTransformer(**arguments)


def _block(dim: int, side: int, window: int, *, shifted: bool, deformable: bool) -> nn.Module:
    """The second of each pair of blocks looks beyond its window: by a shift, or by deformable attention."""
    if shifted and deformable:
        return DeformableBlock(dim, side)
    return SwinTransformerBlock(
        dim, (side, side), num_heads=dim // HEAD_DIM, window_size=window, shift_size=window // 2 if shifted else 0
    )


def _grid(side: int) -> Tensor:
    """(S, S, 2) float32: (x, y) of the cells' centres in [-1, 1]."""
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], dim=-1)


def _sample(maps: Tensor, points: Tensor) -> Tensor:
    """(M, C, H, W) at (M, A, B, 2) points -> (M, C, A, B); bilinear, 0 outside the map."""
    return functional.grid_sample(maps, points, mode="bilinear", padding_mode="zeros", align_corners=True)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
