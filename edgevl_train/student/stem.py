"""A first convolution that reads its picture as if it were enlarged to twice the side.

A pretrained backbone knows things at the size at which its own training showed them; in a small picture they are too
small for it. To enlarge the picture by two, and then to convolve with stride 2, is one convolution with stride 1 and
other weights: it needs no pixel more, and all that follows sees maps of twice the side.
"""

import torch
from torch import nn

from edgevl_core.base.errors import UserError

STEM_STRIDE = "stem_stride"  # the argument of student.backbone that asks for it


def set_stem_stride(network: nn.Module, name: str, stride: object) -> None:
    """Give the convolution that reads the pixels stride 1 in place of 2, in place; its weights stay as they are.

    Raises:
        UserError: another stride than 1 is asked for; ``name`` reads its pixels otherwise than by one convolution of
            stride 2 that pads with half its kernel.
    """
    if stride != 1:
        raise UserError(f"backbone argument {STEM_STRIDE}={stride!r}: accepted is 1; or leave it out")
    readers = [each for each in network.modules() if isinstance(each, nn.Conv2d) and each.in_channels == 3]
    if len(readers) != 1 or not _can(stem := readers[0]):
        raise UserError(
            f"backbone argument {STEM_STRIDE}=1: student {name!r} does not read its pixels by one convolution of "
            "stride 2 that pads each side by half its kernel; leave it out, or take mobilenetv2_100, a MobileNetV4 or "
            "a ResNet"
        )
    stem.stride = (1, 1)
    stem.__dict__["reads_enlarged"] = True


@torch.no_grad()
def enlarge(network: nn.Module) -> None:
    """Weights for stride 2, just loaded, become those for stride 1 on a picture of half the side, in place.

    Bilinear enlargement, of half-pixel centres, without its care for the border. A network whose stride nobody changed
    is left as it is.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.__dict__.get("reads_enlarged"):
            taps = _taps(module.kernel_size[0]).to(module.weight)
            module.weight.copy_(torch.einsum("ocyx,yj,xi->ocji", module.weight, taps, taps))


def _can(stem: nn.Conv2d) -> bool:
    side = stem.kernel_size[0]
    return (
        type(stem) is nn.Conv2d
        and stem.stride == (2, 2)
        and side > 1
        and side % 2 == 1
        and stem.kernel_size == (side, side)
        and stem.padding == (side // 2, side // 2)
        and stem.dilation == (1, 1)
    )


def _taps(side: int) -> torch.Tensor:
    """(k, k): what each weight of stride 2 (row) gives to each one of stride 1 (column)."""
    taps = torch.zeros(side, side)
    half = side // 2
    for row in range(side):
        pixel, odd = divmod(row - half, 2)  # of the enlarged picture, whose pixels 2 i and 2 i + 1 lie in pixel i
        taps[row, half + pixel] += 0.75
        taps[row, half + pixel + (1 if odd else -1)] += 0.25
    return taps
