"""Puts fake quantisers into a fused graph where an integer runtime will find and fuse them.

1. What feeds a convolution or a linear layer is quantised.
2. A convolution's output is quantised, after its ReLU where one follows (an integer kernel clips for
nothing). 3. A sum of two quantised tensors is quantised once, after its ReLU where one follows: a residual
addition in integers. 4. Pooling by maximum and changes of shape keep the values: they share their input's
quantiser. 5. Everything else stays float: attention's products and soft-max, normalisation layers, gates,
curved activations.
"""

import copy
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from edgevl_train.quantise.fake import (
    ActivationQuantiser,
    InputQuantiser,
    QuantisedLayer,
    is_plain,
)
from edgevl_train.quantise.fuse import without_identities
from edgevl_train.quantise.scheme import EIGHT_BITS, Scheme
from edgevl_train.student.pixels import PixelNormalise

_CLIPPING = {nn.ReLU, nn.ReLU6, functional.relu, functional.relu_, functional.relu6, torch.relu, "relu"}
_ADDITION = {operator.add, operator.iadd, torch.add, "add", "add_"}
_SAME_VALUES = {nn.MaxPool2d, nn.Flatten, torch.flatten, torch.reshape, "flatten", "reshape", "view"}


class QuantStudent(nn.Module):
    """A fused student with fake quantisers; made by :func:`fake_quantise`.

    Attributes:
        network: the graph.
        float_layers: names of the convolutions and linear layers that stay float (none in ordinary
            backbones).
    """

    def __init__(self, network: fx.GraphModule, float_layers: list[str]) -> None:
        super().__init__()
        self.network = network
        self.float_layers = float_layers

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) uint8 or float 0..255 -> (N, D) float32, L2-normalised.

        Not for autocast: bfloat16 cannot hold the 256 levels of an activation.
        """
        return self.network(pixels)

    def quantisers(self) -> Iterator[ActivationQuantiser]:
        """Every activation quantiser, once, in graph order."""
        return (module for module in self.modules() if isinstance(module, ActivationQuantiser))

    def converted(self, into: Mapping[type[nn.Module], Callable[[Any], nn.Module]]) -> fx.GraphModule:
        """Copy of the network, each module of the given types replaced by what its function makes of it."""
        network = copy.deepcopy(self.network)
        for name, module in list(network.named_modules()):
            if type(module) in into:
                network.set_submodule(name, into[type(module)](module))
        return network.eval()


def fake_quantise(fused: fx.GraphModule, scheme: Scheme = EIGHT_BITS) -> QuantStudent:
    """Quantised copy of a fused student; its activation ranges are empty until ``calibrate``.

    Args:
        fused: from :func:`edgevl_train.quantise.fuse.fuse`; left as it is.
        scheme: of the weights; with 7 bits no product saturates on any processor.
    """
    inserter = _Inserter(copy.deepcopy(fused), scheme)
    inserter.run()
    return QuantStudent(inserter.module, inserter.float_layers)


def float_copy(q: QuantStudent) -> fx.GraphModule:
    """The float form of a quantised student: weights as trained, nothing rounded, and the graph it was made of."""
    network = q.converted(
        {
            InputQuantiser: lambda _: PixelNormalise(),
            ActivationQuantiser: lambda _: nn.Identity(),
            QuantisedLayer: lambda quantised: quantised.layer,
        }
    )
    return without_identities(network)


class _Inserter:
    """One walk through the graph; a *root* is the node that makes a value, before changes of its shape."""

    def __init__(self, module: fx.GraphModule, scheme: Scheme) -> None:
        self.module = module
        self.scheme = scheme
        self.modules = dict(module.named_modules())
        self.calls = Counter(node.target for node in module.graph.nodes if node.op == "call_module")
        # Nodes whose values are quantised, with the quantiser's name (None: the pixels).
        self.quantiser_of: dict[fx.Node, str | None] = {}
        self.quantisers: dict[str, ActivationQuantiser] = {}
        self.awaiting_clip: set[fx.Node] = set()
        self.float_layers: list[str] = []

    def run(self) -> None:
        nodes = list(self.module.graph.nodes)
        needed = {self._root(_source(node)) for node in nodes if self._is_quantisable(node)}
        for node in nodes:
            self._visit(node, node in needed)
        self.module.graph.lint()
        self.module.recompile()

    def _visit(self, node: fx.Node, needed: bool) -> None:
        kind = self._kind(node)
        if kind is PixelNormalise:
            self.module.set_submodule(str(node.target), InputQuantiser())
            self.quantiser_of[node] = None
            return
        if self._is_quantisable(node):
            self._quantise_layer(node)
        elif node.op == "call_module" and isinstance(self.modules[str(node.target)], nn.Conv2d | nn.Linear):
            self.float_layers.append(str(node.target))
        if kind in _SAME_VALUES and self.quantiser_of.get(_source(node)) is not None:
            self._call_after(node, self.quantiser_of[_source(node)])
        elif self._makes_integers(node, kind):
            if not needed and self._is_clipped(node):
                self.awaiting_clip.add(node)
            else:
                self._new_after(node)
        elif needed or (kind in _CLIPPING and node.args[0] in self.awaiting_clip):
            self._new_after(node)

    def _makes_integers(self, node: fx.Node, kind: Any) -> bool:
        """An integer kernel's output: a convolution, or a sum of two quantised tensors."""
        if kind in _ADDITION:
            return len(node.args) == 2 and all(argument in self.quantiser_of for argument in node.args)
        return self._is_quantisable(node) and isinstance(self.modules[str(node.target)], nn.Conv2d)

    def _is_clipped(self, node: fx.Node) -> bool:
        users = list(node.users)
        return len(users) == 1 and self._kind(users[0]) in _CLIPPING

    def _quantise_layer(self, node: fx.Node) -> None:
        name = self.quantiser_of[_source(node)]
        quantiser = self.quantisers[name] if name is not None else None
        layer = QuantisedLayer(self.modules[str(node.target)], quantiser, self.scheme)
        self.module.set_submodule(str(node.target), layer)

    def _new_after(self, node: fx.Node) -> None:
        name = f"quantiser_{node.name}"
        self.quantisers[name] = ActivationQuantiser(power_of_two=self.scheme.power_of_two)
        self.module.add_submodule(name, self.quantisers[name])
        self._call_after(node, name)

    def _call_after(self, node: fx.Node, name: str | None) -> None:
        with self.module.graph.inserting_after(node):
            quantised = self.module.graph.call_module(str(name), (node,))
        node.replace_all_uses_with(quantised, delete_user_cb=lambda user: user is not quantised)
        self.quantiser_of[quantised] = name

    def _root(self, node: fx.Node) -> fx.Node:
        while self._kind(node) in _SAME_VALUES:
            node = _source(node)
        return node

    def _kind(self, node: fx.Node) -> Any:
        if node.op == "call_module":
            return type(self.modules[str(node.target)])
        return node.target if node.op in ("call_function", "call_method") else None

    def _is_quantisable(self, node: fx.Node) -> bool:
        """Called once, and with a plain layer's arithmetic (not, say, a weight-standardised convolution)."""
        if node.op != "call_module" or self.calls[node.target] != 1:
            return False
        return is_plain(self.modules[str(node.target)])


def _source(node: fx.Node) -> fx.Node:
    """What a layer, or a change of shape, reads: its first input."""
    return node.all_input_nodes[0]
