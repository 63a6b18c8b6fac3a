"""Which arithmetic a machine is fast in."""

import torch

from edgevl_core.errors import UserError


def resolve_precision(precision: str, device: str) -> str:
    """Fabric's name of the precision to train in; anything but "auto" is taken as it is.

    "auto" is "bf16-mixed" where the processor multiplies bfloat16 in hardware, otherwise "32-true": emulated, bfloat16
    is several times slower than float.

    Args:
        device: torch's name of the device, "cpu" or "cuda".

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
    return "bf16-mixed" if native else "32-true"
