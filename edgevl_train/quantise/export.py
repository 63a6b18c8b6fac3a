"""ONNX files of a student: float, and int8 with explicit QuantizeLinear / DequantizeLinear pairs (QDQ).

The quantised graph is written as the runtimes want to see it, so nothing has to be repaired afterwards:
weights are stored as int8 and biases as int32 (scale = input x weight; without that ONNX Runtime does not
fuse linear layers), linear layers are Gemm, and the uint8 pixels go into DequantizeLinear without a float
image between. What the exporter leaves otherwise than the runtimes want it, ``polish`` changes.
"""

import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, fx, nn

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.errors import UserError
from edgevl_train.quantise.fake import (
    SMALLEST_RANGE,
    ActivationQuantiser,
    InputQuantiser,
    QuantisedLayer,
    convolve,
)
from edgevl_train.quantise.fuse import fuse
from edgevl_train.quantise.insert import QuantStudent, float_copy
from edgevl_train.quantise.onnx_passes import by_tensorrts_rules, polish, store_in_four_bits
from edgevl_train.quantise.scheme import LARGEST_WEIGHT
from edgevl_train.quantise.to_onnx import OPSET, to_onnx
from edgevl_train.student.network import Student
from edgevl_train.student.pixels import PIXEL_SCALE, PIXEL_ZERO_POINT

OPSET_OF_INT4 = 21
INPUT_NAME, OUTPUT_NAME = "pixels", "embedding"


def export_fp32(student: Student, path: Path | str, size_px: int) -> None:
    """Write the float student: (N, 3, S, S) uint8 -> (N, D) float32, L2-normalised; N is free."""
    _export(fuse(student).cpu(), Path(path), size_px)


def export_int8(q: QuantStudent, path: Path | str, size_px: int) -> None:
    """Write the quantised student: (N, 3, S, S) uint8 -> (N, D) float32, L2-normalised; N is free.

    ``q`` is left as it is.
    """
    _export(_integers(q), Path(path), size_px)


def export_int4(q: QuantStudent, path: Path | str, size_px: int) -> None:
    """Write a student whose weights were quantised to 4 bits with weights of ONNX's type INT4, two in a byte.

    For hardware that has such weights: on a CPU ONNX Runtime and OpenVINO run it, many times slower than
    :func:`export_int8`'s file, whose numbers are the same. Input, output and ``q`` as there.

    Raises:
        UserError: weights of more bits.
    """
    bits = {module.scheme.weight_bits for module in q.modules() if isinstance(module, QuantisedLayer)}
    if more := [each for each in bits if LARGEST_WEIGHT[each] > LARGEST_WEIGHT[4]]:
        raise UserError(f"weights of {max(more)} bits do not fit into INT4: train with stage2.weight_bits=4")
    _export(_integers(q), Path(path), size_px, OPSET_OF_INT4, (polish, store_in_four_bits))


def _integers(q: QuantStudent, activations: Callable[[ActivationQuantiser], nn.Module] | None = None) -> fx.GraphModule:
    network = q.converted(
        {
            InputQuantiser: lambda _: _PixelsDequantised(),
            ActivationQuantiser: activations or _asymmetric,
            QuantisedLayer: _IntegerLayer,
        }
    )
    return network.cpu()


def export_s8(q: QuantStudent, path: Path | str, size_px: int) -> None:
    """Write the quantised student by TensorRT's rules: s8 throughout, no zero points but 0, float biases.

    The ranges of activations are widened to be symmetric, so what is never negative has half the steps: it answers
    nearly, not exactly, as :func:`export_int8`'s file. The pixels lose nothing: less 128 they are s8. Input, output and
    ``q`` as there.
    """
    # As there in u8, so that the exporter has the structure already, but with zero points of 128: those are 0 in s8.
    _export(_integers(q, _symmetric), Path(path), size_px, passes=(by_tensorrts_rules, polish))


def export_float_of(q: QuantStudent, path: Path | str, size_px: int) -> None:
    """Write the float form of a quantised student, for robots whose runtime takes no int8 file.

    The weights are those that were trained through the quantisers; see :func:`float_copy`. Input, output and ``q`` as
    in :func:`export_int8`.
    """
    _export(float_copy(q).cpu(), Path(path), size_px)


def _dequantise(q: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
    inputs = [q, scale] if zero_point is None else [q, scale, zero_point]
    axes: dict[str, Any] = {"axis": 0} if scale.ndim else {}
    return torch.onnx.ops.symbolic("DequantizeLinear", inputs, axes, dtype=torch.float32, shape=q.shape)


class _PixelsDequantised(nn.Module):
    scale: Tensor
    zero_point: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(PIXEL_SCALE))
        self.register_buffer("zero_point", torch.tensor(PIXEL_ZERO_POINT, dtype=torch.uint8))

    def forward(self, pixels: Tensor) -> Tensor:
        return _dequantise(pixels, self.scale, self.zero_point)


class _QuantiseDequantise(nn.Module):
    scale: Tensor
    zero_point: Tensor

    def __init__(self, scale: Tensor, zero_point: Tensor) -> None:
        """``zero_point``: uint8, as the integers are."""
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", zero_point)

    def forward(self, x: Tensor) -> Tensor:
        inputs = [x, self.scale, self.zero_point]
        q = torch.onnx.ops.symbolic("QuantizeLinear", inputs, dtype=self.zero_point.dtype, shape=x.shape)
        return _dequantise(q, self.scale, self.zero_point)


def _asymmetric(quantiser: ActivationQuantiser) -> nn.Module:
    scale, zero_point = quantiser.scale_and_zero_point()
    return _QuantiseDequantise(scale, zero_point.to(torch.uint8))


def _symmetric(quantiser: ActivationQuantiser) -> nn.Module:
    extreme = torch.maximum(-quantiser.low, quantiser.high).clamp(min=SMALLEST_RANGE)
    return _QuantiseDequantise(
        quantiser.allowed(extreme / LARGEST_WEIGHT[8]), torch.tensor(PIXEL_ZERO_POINT, dtype=torch.uint8)
    )


class _IntegerLayer(nn.Module):
    """A convolution or linear layer whose weights and bias are stored as integers."""

    weight: Tensor
    weight_scale: Tensor
    weight_zero_point: Tensor
    bias: Tensor
    bias_scale: Tensor

    def __init__(self, quantised: QuantisedLayer) -> None:
        super().__init__()
        layer, scale = quantised.layer, quantised.scale().detach()
        per_channel = scale.view(-1, *[1] * (layer.weight.ndim - 1))
        most = quantised.scheme.weight_max
        weight = (layer.weight.detach() / per_channel).round().clamp(-most, most).to(torch.int8)
        bias = torch.zeros_like(scale) if layer.bias is None else layer.bias.detach()
        scale = scale if quantised.scheme.per_channel else scale[0]
        bias_scale = quantised.input_scale().detach() * scale
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", scale)
        self.register_buffer("weight_zero_point", torch.zeros_like(scale, dtype=torch.int8))
        self.register_buffer("bias", (bias.double() / bias_scale.double()).round().to(torch.int32))
        self.register_buffer("bias_scale", bias_scale)
        self.convolve = partial(convolve, _bare(layer)) if isinstance(layer, nn.Conv2d) else None

    def forward(self, x: Tensor) -> Tensor:
        weight = _dequantise(self.weight, self.weight_scale, self.weight_zero_point)
        bias = _dequantise(self.bias, self.bias_scale, None)
        if self.convolve is not None:
            return self.convolve(x, weight, bias)
        rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        shape = (rows.shape[0], weight.shape[0])
        y = torch.onnx.ops.symbolic("Gemm", [rows, weight, bias], {"transB": 1}, dtype=torch.float32, shape=shape)
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], weight.shape[0])


def _bare(layer: nn.Conv2d) -> nn.Conv2d:
    """The convolution's own arithmetic, without its float parameters; it is the same in training."""
    bare = copy.copy(layer)
    bare._parameters = dict.fromkeys(layer._parameters)
    return bare.eval()  # no part of the network that is exported, so nobody else would


class _FusibleGelu(nn.Module):
    """GELU in the order of operations that ONNX Runtime knows and merges; the exporter's own order it does not."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.erf(x / math.sqrt(2)) + 1) * 0.5


def with_fusible_gelu(network: nn.Module) -> None:
    """Replace every GELU of a network, in place, by the same that ONNX Runtime merges into one operator."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.GELU) and module.approximate == "none":
            network.set_submodule(name, _FusibleGelu())


def _export(
    network: fx.GraphModule,
    path: Path,
    size_px: int,
    opset: int = OPSET,
    passes: Sequence[Callable[[onnx.ModelProto], None]] = (polish,),
) -> None:
    with_fusible_gelu(network)
    # Training has weights in channels_last, for which the exporter writes a reshape as Range and Gather.
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # missing in torch's overloads
    for module in network.modules():
        if getattr(module, "inplace", False):
            # The exporter takes such an operator apart, at a third of its whole time.
            module.inplace = False  # type: ignore[assignment]
    example = torch.zeros(2, 3, size_px, size_px, dtype=torch.uint8)
    with _quiet():
        model = to_onnx(network, example, INPUT_NAME, OUTPUT_NAME, torch.export.Dim("batch", min=1, max=4096), opset)
    for change in passes:
        change(model)
    atomic_write(path, model.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns about its own internals; a failure still raises."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
