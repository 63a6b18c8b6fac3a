"""A teacher's tokens: its last map on a small grid, for projectors that a student is taught through."""

import torch
from torch import Tensor
from torch.nn import functional

from edgevl_core.base.errors import UserError, one_line
from edgevl_train.teacher.model import Teacher

GRID = 4  # cells a side: the 16 neighbourhoods of arXiv 2207.05273


def grid_cells(map_: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, P, C) float32, P = GRID^2: the mean of each cell of the grid, row by row."""
    return functional.adaptive_avg_pool2d(map_.float(), GRID).flatten(2).transpose(1, 2)


@torch.inference_mode()
def encode_tokens(teacher: Teacher, pixels: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 or float 0..255, whole squashed views -> (N, P * T) float32, on the CPU.

    Each of the P cells of T channels has mean 0 and variance 1: towers differ in scale, some by powers of ten.

    Raises:
        UserError: an image tower without a map.
    """
    x = teacher.normalised(pixels)
    try:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=teacher.precision == "bf16-mixed"):
            found = teacher.model.visual.forward_intermediates(x, indices=1, intermediates_only=True)
        cells = grid_cells(found["image_intermediates"][-1])
    except (AttributeError, NotImplementedError, TypeError, KeyError) as error:
        raise UserError(
            f"teacher {teacher.id} gives no tokens ({one_line(str(error), 120)}), which stage1.pca_weight and "
            "gl_weight learn by: set both to 0, or take a CLIP whose image tower has forward_intermediates"
        ) from error
    return functional.layer_norm(cells, cells.shape[-1:]).flatten(1).cpu()


def token_width(teacher: Teacher) -> int:
    """P * T, found by a black image.

    Raises:
        UserError: an image tower without a map.
    """
    return encode_tokens(teacher, torch.zeros(1, 3, teacher.size_px, teacher.size_px)).shape[1]
