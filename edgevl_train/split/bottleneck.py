"""Fewer channels at the cut: two 1 x 1 convolutions in the quantised student's graph, 8 bit at the narrow place.

A compressed student is an ordinary quantised student with two layers more. So it is exported as any other, and the
narrow tensor is one of the places where the exported network can be cut.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, fx, nn

from edgevl_core.base.errors import UserError
from edgevl_train.quantise import QuantStudent, Scheme
from edgevl_train.quantise.fake import ActivationQuantiser, QuantisedLayer

NAME = "bottleneck"
_SAME_SHARE, _STEPS = 0.97, 1.01  # of the values, within so many quantisation steps: the file's tensor and the graph's


class Bottleneck(nn.Module):
    """C -> narrow -> C channels, each 1 x 1; the output has the range of the input, which the layers after it expect.

    Args:
        source: what quantises the input.
        channels, narrow: C, and how many travel.
        scheme: the student's own, of its other layers.
    """

    def __init__(self, source: ActivationQuantiser, channels: int, narrow: int, scheme: Scheme) -> None:
        super().__init__()
        self.encode = QuantisedLayer(nn.Conv2d(channels, narrow, 1), source, scheme)
        self.travels = ActivationQuantiser(power_of_two=scheme.power_of_two)
        self.decode = QuantisedLayer(nn.Conv2d(narrow, channels, 1), self.travels, scheme)
        self.after = ActivationQuantiser()
        self.after.load_state_dict(source.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32, quantised -> the same."""
        decoded: Tensor = self.after(self.decode(self.travels(self.encode(x))))
        return decoded


@dataclass(frozen=True)
class Scale:
    """What a file's integers stand for: (integers - zero_point) * step."""

    step: float
    zero_point: float

    def values(self, integers: NDArray[np.uint8]) -> Tensor:
        """float32, of the same shape."""
        return (torch.from_numpy(integers).float() - self.zero_point) * self.step


def scale_of(tensor: str, model: onnx.ModelProto) -> Scale:
    """The scale of the tensor of that name, by what dequantises it.

    Raises:
        UserError: the tensor is float.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] == tensor:
            return Scale(float(constants[node.input[1]]), float(constants[node.input[2]]))
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


def narrowed(quantised: QuantStudent, node: fx.Node, features: Tensor, narrow: int) -> Bottleneck:
    """Put a bottleneck behind ``node``, in place; it begins with the channels' principal components.

    Args:
        features: (N, C, H, W) float32, what ``node`` gives for many images: the components are taken from it, and the
            range of what travels.
        narrow: how many channels travel, 1..C - 1.

    Returns:
        What can be trained now.
    """
    network = quantised.network
    source: Any = network.get_submodule(str(node.target))  # an ActivationQuantiser
    scheme = next(module.scheme for module in network.modules() if isinstance(module, QuantisedLayer))
    bottleneck = Bottleneck(source, features.shape[1], narrow, scheme)
    _begin_with_components(bottleneck, features)
    network.add_submodule(NAME, bottleneck)
    with network.graph.inserting_after(node):
        behind = network.graph.call_module(NAME, (node,))
    node.replace_all_uses_with(behind, delete_user_cb=lambda user: user is not behind)
    network.graph.lint()
    network.recompile()
    return bottleneck


class Back(nn.Module):
    """What of a student comes after ``node``, for training: what comes before need not be run again for every step."""

    def __init__(self, quantised: QuantStudent, node: fx.Node) -> None:
        super().__init__()
        self.quantised = quantised
        nodes = list(quantised.network.graph.nodes)
        self._node, self._before = node, nodes[: nodes.index(node)]

    def train(self, mode: bool = True) -> "Back":
        """The bottleneck alone: a BatchNorm that could not be folded keeps its statistics."""
        super().train(False)
        self.quantised.network.get_submodule(NAME).train(mode)
        return self

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) float32, what ``node`` gives -> (N, D) float32, L2-normalised."""
        known = {**dict.fromkeys(self._before), self._node: features}
        embeddings: Tensor = fx.Interpreter(self.quantised.network).run(initial_env=known)
        return embeddings


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
        bottleneck.travels.observe(bottleneck.encode(features))
