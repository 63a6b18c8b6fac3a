"""Which arithmetic a machine is fast in."""

import torch
from torch import nn

from edgevl_core.base.errors import UserError


def resolve_precision(precision: str, device: str, network: nn.Module | None = None) -> str:
    """Fabric's name of the precision to train in; anything but "auto" is taken as it is.

    "auto" is "bf16-mixed" where the processor multiplies bfloat16 in hardware, otherwise "32-true": emulated, bfloat16
    is several times slower than float. On a CPU a network with depthwise convolutions trains in "32-true": their
    gradients in bfloat16 take twice as long, which is more than the rest gains.

    Args:
        device: torch's name of the device, "cpu" or "cuda".
        network: what is trained, where that is known.

    Raises:
        UserError: "16-mixed" without a GPU.
    """
    if precision == "16-mixed" and not device.startswith("cuda"):
        raise UserError("precision 16-mixed needs a GPU, this run is on the CPU: use precision auto, or 32-true")
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if native and not _is_depthwise(network) else "32-true"


def _is_depthwise(network: nn.Module | None) -> bool:
    layers = [] if network is None else network.modules()
    return any(isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1 for layer in layers)
