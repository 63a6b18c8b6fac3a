"""How weights become whole numbers: of how many bits, with one scale a channel or a tensor, of which values."""

from dataclasses import dataclass

import torch
from torch import Tensor

from edgevl_core.base.errors import UserError
from edgevl_train.stage_sections import Stage2Section

# x86 without VNNI (Intel before 2019, AMD before Zen 4) adds two products of u8 and s8 in 16 bits, and what does not
# fit is cut off: 2 x 255 x 63 fits, 2 x 255 x 127 does not.
# 3: for studies (`--ablate --weight-bits`); there is no such type in ONNX, its file is one of int8.
LARGEST_WEIGHT = {3: 3, 4: 7, 7: 63, 8: 127}


@dataclass(frozen=True)
class Scheme:
    """Weights are symmetric: their zero point is 0, and as many whole numbers lie below it as above.

    Attributes:
        weight_bits: of :data:`LARGEST_WEIGHT`.
        per_channel: one scale for each output channel, or one for the layer.
        power_of_two: whether all scales, those of activations too, are powers of two, for hardware that shifts instead
            of multiplying.
    """

    weight_bits: int = 8
    per_channel: bool = True
    power_of_two: bool = False

    def __post_init__(self) -> None:
        """Raises UserError: other bits."""
        if self.weight_bits not in LARGEST_WEIGHT:
            accepted = ", ".join(map(str, LARGEST_WEIGHT))
            raise UserError(f"weights of {self.weight_bits} bits: accepted are {accepted}")

    @property
    def weight_max(self) -> int:
        """The largest whole number that a weight becomes."""
        return LARGEST_WEIGHT[self.weight_bits]

    @property
    def known_to_onnxruntime(self) -> bool:
        """Whether its own post-training quantisation makes such weights."""
        return self.weight_bits in (7, 8) and not self.power_of_two


EIGHT_BITS = Scheme()


def scheme_of(section: Stage2Section) -> Scheme:
    """The scheme that a recipe asks for."""
    return Scheme(section.weight_bits, section.weight_scale == "per_channel", section.power_of_two)


def next_power_of_two(scale: Tensor) -> Tensor:
    """The least power of two that is not below each of ``scale``, > 0: nothing that fitted is cut off."""
    mantissa, exponent = torch.frexp(scale)  # mantissa in [0.5, 1)
    return torch.ldexp(torch.ones_like(scale), exponent - (mantissa == 0.5).int())
