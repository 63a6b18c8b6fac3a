"""Fake quantisation: int8 arithmetic imitated in float, with gradients straight through the rounding.

Scheme (what ONNX Runtime and OpenVINO run as integer kernels on CPU):
activations u8, per tensor, asymmetric; weights s8, per output channel, symmetric, of 8 bits unless asked otherwise (see
scheme.py); biases s32 with the scale input x weight. Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", CVPR 2018.
"""

from typing import Any

import edgevl_train.torchvision_ops  # noqa: F401  (before timm)

# isort: split
import torch
from timm.layers import Conv2dSame, pad_same
from torch import Tensor, nn
from torch.nn import functional

from edgevl_train.quantise.scheme import EIGHT_BITS, LARGEST_WEIGHT, Scheme, next_power_of_two
from edgevl_train.student.pixels import PIXEL_SCALE, PIXEL_ZERO_POINT

ACTIVATION_MAX = 255
SMALLEST_RANGE = 1e-5  # a tensor that is all zero still gets a usable scale
_BIAS_LIMIT = 2.0**30  # |bias| in steps of its int32; half of the range, so that the accumulator has room


class InputQuantiser(nn.Module):
    """Pixels as the quantised activation, (x - 128) / 64: (N, 3, S, S) uint8 or float 0..255 -> float32."""

    def forward(self, pixels: Tensor) -> Tensor:
        if pixels.is_floating_point():  # augmented pixels; the robot's are whole numbers
            pixels = pixels.round().clamp(0, ACTIVATION_MAX)
        return (pixels.float() - PIXEL_ZERO_POINT) * PIXEL_SCALE


class ActivationQuantiser(nn.Module):
    """u8 fake quantisation of one tensor, its range either being observed or fixed.

    While observing, the range follows the extremes of every batch by an exponential moving average.

    Buffers:
        low, high: () float32, the range; contains 0, so that zero padding is exact.
        power_of_two: () float32, 1 where the scale is one; states of earlier releases have none.
    """

    low: Tensor
    high: Tensor
    power_of_two: Tensor

    def __init__(self, momentum: float = 0.01, power_of_two: bool = False) -> None:
        super().__init__()
        self.momentum = momentum
        self.observing = False
        self.enabled = True
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("power_of_two", torch.tensor(float(power_of_two)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        state_dict.setdefault(f"{prefix}power_of_two", torch.zeros(()))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def allowed(self, scale: Tensor) -> Tensor:
        """``scale`` > 0, or the next power of two."""
        return torch.where(self.power_of_two > 0, next_power_of_two(scale), scale)

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Move the range towards the extremes of ``x``; the first batch sets it."""
        low, high = torch.aminmax(x.detach().float())
        low, high = low.clamp(max=0.0), high.clamp(min=0.0)
        fresh = self.high == self.low
        self.low.copy_(torch.where(fresh, low, torch.lerp(self.low, low, self.momentum)))
        self.high.copy_(torch.where(fresh, high, torch.lerp(self.high, high, self.momentum)))

    def scale_and_zero_point(self) -> tuple[Tensor, Tensor]:
        """() float32 > 0 and () int32 in 0..255, such that real = (q - zero_point) * scale."""
        scale = self.allowed((self.high - self.low).clamp(min=SMALLEST_RANGE) / ACTIVATION_MAX)
        zero_point = (-self.low / scale).round().clamp(0, ACTIVATION_MAX).to(torch.int32)
        return scale, zero_point

    def forward(self, x: Tensor) -> Tensor:
        if self.observing and self.training:
            self.observe(x)
        if not self.enabled:
            return x
        scale, zero_point = self.scale_and_zero_point()
        return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero_point, 0, ACTIVATION_MAX)


def weight_scale(weight: Tensor, bias: Tensor | None, input_scale: Tensor, scheme: Scheme = EIGHT_BITS) -> Tensor:
    """Scale of each output channel; all the same where the scheme has one for the layer.

    A channel with tiny weights and a large bias would need more than 32 bits for the bias; its scale is
    raised.

    Args:
        weight: (C_out, ...) float32.
        bias: (C_out,) float32, or None.
        input_scale: () float32, scale of the layer's input.
    Returns:
        (C_out,) float32 > 0.
    """
    scale = weight.detach().flatten(1).abs().amax(dim=1).clamp(min=SMALLEST_RANGE) / scheme.weight_max
    if bias is not None:
        scale = torch.maximum(scale, bias.detach().abs() / (input_scale * _BIAS_LIMIT))
    if not scheme.per_channel:
        scale = scale.amax().expand_as(scale)
    return next_power_of_two(scale) if scheme.power_of_two else scale


class QuantisedLayer(nn.Module):
    """A convolution or linear layer with fake-quantised weights and bias.

    Its input is quantised by the graph before it.

    Attributes:
        layer: the float layer, which owns the trained parameters.
        scheme: goes with the layer's state, where states of the first releases have none and mean 8 bits a channel.
    """

    stored_weight_max: Tensor
    stored_scales: Tensor

    def __init__(
        self,
        layer: nn.Conv2d | nn.Linear,
        input_quantiser: "ActivationQuantiser | None",
        scheme: Scheme = EIGHT_BITS,
    ) -> None:
        """``input_quantiser``: None for a layer that reads the pixels."""
        super().__init__()
        self.layer = layer
        self.scheme = scheme
        # float32, because an average of the weights is one of buffers too, and of whole numbers it cuts off
        self.register_buffer("stored_weight_max", torch.tensor(float(scheme.weight_max)))
        stored = (float(scheme.per_channel), float(scheme.power_of_two))
        self.register_buffer("stored_scales", torch.tensor(stored))
        # In a tuple, so that it is not registered here a second time: it belongs to the graph.
        self._input_quantiser = (input_quantiser,)

    def input_scale(self) -> Tensor:
        """() float32, the scale of this layer's input."""
        quantiser = self._input_quantiser[0]
        if quantiser is None:
            return torch.tensor(PIXEL_SCALE, device=self.layer.weight.device)
        return quantiser.scale_and_zero_point()[0]

    def scale(self) -> Tensor:
        """(C_out,) float32, see :func:`weight_scale`."""
        return weight_scale(self.layer.weight, self.layer.bias, self.input_scale(), self.scheme)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        state_dict.setdefault(f"{prefix}stored_weight_max", torch.tensor(float(LARGEST_WEIGHT[8])))
        state_dict.setdefault(f"{prefix}stored_scales", torch.tensor((1.0, 0.0)))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        (bits,) = (bits for bits, most in LARGEST_WEIGHT.items() if most == round(float(self.stored_weight_max)))
        self.scheme = Scheme(bits, *(bool(value) for value in self.stored_scales.tolist()))

    def forward(self, x: Tensor) -> Tensor:
        layer, scale = self.layer, self.scale()
        bias = None if layer.bias is None else _rounded(layer.bias.float(), self.input_scale() * scale)
        zero_point = torch.zeros_like(scale, dtype=torch.int32)
        weight = torch.fake_quantize_per_channel_affine(
            layer.weight.float(), scale, zero_point, 0, -self.scheme.weight_max, self.scheme.weight_max
        )
        if isinstance(layer, nn.Conv2d):
            return convolve(layer, x, weight, bias)
        return functional.linear(x, weight, bias)


def is_plain(layer: nn.Module) -> bool:
    """Whether a layer multiplies and adds its own parameters as they are (not, say, standardised ones)."""
    if isinstance(layer, nn.Conv2d):
        return type(layer).forward in (nn.Conv2d.forward, Conv2dSame.forward)
    return isinstance(layer, nn.Linear)


def convolve(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The arithmetic of a plain convolution (stride, padding) with other parameters than its own.

    TensorFlow's padding, which timm calls "same", depends on the input's size and may be one-sided; with zeros, which
    every quantiser represents exactly. The exporter makes it the convolution's own.
    """
    if isinstance(layer, Conv2dSame):
        x = pad_same(x, list(layer.kernel_size), list(layer.stride), list(layer.dilation))
    return layer._conv_forward(x, weight, bias)


def _rounded(x: Tensor, step: Tensor) -> Tensor:
    """``x`` at whole multiples of ``step``, with the gradient of ``x``."""
    return x + ((x / step).round() * step - x).detach()
