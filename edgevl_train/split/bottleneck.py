"""Fewer channels at the cut: two 1 x 1 convolutions in the quantised student's graph, 8 bit at the narrow place.

A compressed student is an ordinary quantised student with two layers more. So it is exported as any other, and the
narrow tensor is one of the places where the exported network can be cut.
"""

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, fx, nn

from edgevl_core.base.errors import UserError
from edgevl_train.quantise import QuantStudent, calibrate
from edgevl_train.quantise.fake import ActivationQuantiser, QuantisedLayer

NAME = "bottleneck"
_SAME_SHARE, _STEPS = 0.97, 1.01  # of the values, within so many quantisation steps: the file's tensor and the graph's


class Bottleneck(nn.Module):
    """C -> narrow -> C channels, each 1 x 1; the output has the range of the input, which the layers after it expect.

    Args:
        source: what quantises the input.
        channels, narrow: C, and how many travel.
    """

    def __init__(self, source: ActivationQuantiser, channels: int, narrow: int) -> None:
        super().__init__()
        self.encode = QuantisedLayer(nn.Conv2d(channels, narrow, 1), source)
        self.travels = ActivationQuantiser()
        self.decode = QuantisedLayer(nn.Conv2d(narrow, channels, 1), self.travels)
        self.after = ActivationQuantiser()
        self.after.load_state_dict(source.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32, quantised -> the same."""
        decoded: Tensor = self.after(self.decode(self.travels(self.encode(x))))
        return decoded


def widen_to(tensor: str, model: onnx.ModelProto, integers: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The values that a file's integers stand for: of the tensor of that name, by what dequantises it.

    Raises:
        UserError: the tensor is float.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] == tensor:
            zero_point = constants[node.input[2]].astype(np.float32)
            return (integers.astype(np.float32) - zero_point) * constants[node.input[1]]
    raise UserError(f"{tensor} is no integer tensor: --compress needs a cut where bytes travel, after a convolution")


def find_quantiser(quantised: QuantStudent, pixels: Tensor, values: Tensor) -> fx.Node:
    """The node of the graph that gives these values.

    Args:
        pixels: (N, 3, S, S) uint8.
        values: (N, C, H, W) float32, what the exported file has at the cut.

    Raises:
        UserError: none does.
    """
    seen: dict[fx.Node, Tensor] = {}
    modules = dict(quantised.network.named_modules())

    class Looker(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if n.op == "call_module" and isinstance(modules[str(n.target)], ActivationQuantiser):
                seen[n] = result
            return result

    with torch.no_grad():
        Looker(quantised.network).run(pixels)
    for node, found in seen.items():
        step = modules[str(node.target)].scale_and_zero_point()[0]
        if found.shape == values.shape and ((found - values).abs() <= _STEPS * step).float().mean() >= _SAME_SHARE:
            return node
    raise UserError("the run's student has no tensor as at this cut: choose another --at, after a convolution")


def narrowed(quantised: QuantStudent, node: fx.Node, features: Tensor, narrow: int, pixels: Tensor) -> Bottleneck:
    """Put a bottleneck behind ``node``, in place; it begins with the channels' principal components.

    Args:
        features: (N, C, H, W) float32, what ``node`` gives for many images: the components are taken from it.
        narrow: how many channels travel, 1..C - 1.
        pixels: (N, 3, S, S) uint8 of training data: the narrow place's range.

    Returns:
        What can be trained now.
    """
    network = quantised.network
    source = dict(network.named_modules())[str(node.target)]
    bottleneck = Bottleneck(source, features.shape[1], narrow)
    _begin_with_components(bottleneck, features)
    network.add_submodule(NAME, bottleneck)
    with network.graph.inserting_after(node):
        behind = network.graph.call_module(NAME, (node,))
    node.replace_all_uses_with(behind, delete_user_cb=lambda user: user is not behind)
    network.graph.lint()
    network.recompile()
    ranges = {name: each.clone() for name, each in quantised.state_dict().items() if "bottleneck.travels" not in name}
    calibrate(quantised, pixels.split(64))
    quantised.load_state_dict(ranges, strict=False)  # of the narrow place alone; the others stay as they were trained
    return bottleneck


def _begin_with_components(bottleneck: Bottleneck, features: Tensor) -> None:
    rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1]).double()
    mean = rows.mean(0)
    # Eigenvalues rise: the last vectors hold the most of what the channels tell.
    vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean)).eigenvectors
    encode, decode = bottleneck.encode.layer, bottleneck.decode.layer
    directions = vectors[:, -encode.weight.shape[0] :].T
    with torch.no_grad():
        encode.weight.copy_(directions[:, :, None, None])
        decode.weight.copy_(directions.T[:, :, None, None])
        for layer, bias in ((encode, -directions @ mean), (decode, mean)):
            if layer.bias is not None:
                layer.bias.copy_(bias)
