"""What post-training quantisation can still do once the ranges are set: clipped weights and corrected biases.

A training with the quantisation is worth what it adds to the best of these, not to the plainest.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from edgevl_train.quantise.fake import QuantisedLayer
from edgevl_train.quantise.insert import QuantStudent, float_copy
from edgevl_train.quantise.scheme import Scheme, next_power_of_two

_CLIPS = [1 - 0.05 * step for step in range(13)]  # of the largest weight: 1.0 down to 0.4


@torch.no_grad()
def clip_weights(q: QuantStudent) -> QuantStudent:
    """Clip the weights that share a scale where their mean squared rounding error is least; in place, returned.

    With few bits the largest weight makes the steps coarse for all others. At 8 bits next to nothing is clipped.
    """
    for _, layer in _quantised_layers(q):
        weight = layer.layer.weight
        rows = weight.flatten(1) if layer.scheme.per_channel else weight.flatten()[None]
        largest = rows.abs().amax(1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)
        bounds = torch.stack([largest * share for share in _CLIPS])  # (clips, C_out, 1)
        errors = torch.stack([_rounding_error(rows, bound, layer.scheme) for bound in bounds])
        best = bounds.gather(0, errors.argmin(0).view(1, -1, 1))[0]
        weight.copy_(rows.clamp(-best, best).view_as(weight))
    return q


@torch.no_grad()
def correct_biases(q: QuantStudent, reference: QuantStudent, pixels: Tensor) -> QuantStudent:
    """Move each layer's bias by the mean error of its output, so that the mean over ``pixels`` is the float one's.

    Layer by layer in the network's order, each one seeing what the corrected ones before it give. Nagel et al.,
    "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2; with pictures in
    place of its statistics. A layer without a bias stays as it is.

    Args:
        q: calibrated; changed in place and returned.
        reference: the same student with the weights of the float one.
        pixels: (N, 3, S, S) uint8 of TRAINING data, both modalities.
    """
    wanted: dict[str, Tensor] = {}
    float_network = float_copy(reference)

    def record(name: str, output: Tensor) -> None:
        wanted[name] = _channel_mean(output)

    def correct(name: str, layer: QuantisedLayer, output: Tensor) -> Tensor:
        error = wanted[name] - _channel_mean(output)
        if layer.layer.bias is None:
            return output
        layer.layer.bias.add_(error)
        return output + (error.view(1, -1, 1, 1) if isinstance(layer.layer, nn.Conv2d) else error)

    layers = dict(_quantised_layers(q))
    hooks = [
        float_network.get_submodule(name).register_forward_hook(lambda _m, _x, y, name=name: record(name, y))
        for name in layers
    ]
    hooks += [
        layer.register_forward_hook(lambda module, _x, y, name=name: correct(name, module, y))
        for name, layer in layers.items()
    ]
    was_training = q.training
    try:
        float_network(pixels)
        q.eval()(pixels)
    finally:
        for hook in hooks:
            hook.remove()
        q.train(was_training)
    return q


def _quantised_layers(q: QuantStudent) -> Iterator[tuple[str, QuantisedLayer]]:
    return ((name, module) for name, module in q.network.named_modules() if isinstance(module, QuantisedLayer))


def _rounding_error(rows: Tensor, bound: Tensor, scheme: Scheme) -> Tensor:
    step, most = bound / scheme.weight_max, scheme.weight_max
    step = next_power_of_two(step) if scheme.power_of_two else step
    rounded = (rows / step).round().clamp(-most, most) * step
    return (rounded - rows).square().mean(1)


def _channel_mean(output: Tensor) -> Tensor:
    """(C,) mean over all but the channels: of (N, C, H, W), or of (..., C)."""
    return output.mean((0, 2, 3)) if output.ndim == 4 else output.flatten(0, -2).mean(0)
