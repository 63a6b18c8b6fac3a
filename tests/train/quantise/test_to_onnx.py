"""A structure is exported once: the next network of it gets its own weights, and what differs otherwise is exported."""

from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from edgevl_train.quantise import to_onnx as exporter
from edgevl_train.quantise.to_onnx import to_onnx

pytestmark = pytest.mark.train

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class _Small(nn.Module):
    """What two networks may have in common, and what not."""

    def __init__(self, *, stride: int = 1, factor: float = 1.0, constant: float = 1.0, tied: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, stride=stride, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        if tied:
            self.second.weight = self.first.weight
        self.factor = factor
        self.constant = torch.tensor([constant])  # no part of the network's state
        self.register_buffer("hidden", torch.tensor([constant / 2]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)).mean((2, 3)) * self.factor + self.constant + self.hidden


@pytest.fixture(autouse=True)
def exports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often torch's exporter was called; nothing is kept from other tests."""
    calls: list[int] = []
    export = torch.onnx.export

    def counted(*arguments: object, **named: object) -> object:
        calls.append(1)
        return export(*arguments, **named)

    monkeypatch.setattr(torch.onnx, "export", counted)
    monkeypatch.setattr(exporter, "_kept", {})
    return calls


def _made(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(seed)
    return make().eval()


def _bytes(network: nn.Module) -> bytes:
    return to_onnx(network, X, "x", "y", torch.export.Dim("n", min=1, max=64)).SerializeToString()


def _check(network: nn.Module) -> None:
    """The model answers as the network does."""
    session = ort.InferenceSession(_bytes(network))
    with torch.no_grad():
        np.testing.assert_allclose(session.run(None, {"x": X.numpy()})[0], network(X).numpy(), atol=1e-5)


def test_the_next_network_of_a_structure_has_its_own_weights_and_takes_no_export(exports: list[int]) -> None:
    networks = [_made(seed, _Small) for seed in (0, 1)]
    kept = [_bytes(network) for network in networks]
    assert len(exports) == 1
    for network in networks:
        _check(network)
    exporter._kept.clear()
    assert _bytes(networks[1]) == kept[1]  # as if it had been the first
    assert kept[0] != kept[1]


@pytest.mark.parametrize(
    "other",
    [{"stride": 2}, {"factor": 2.0}, {"constant": 2.0}, {"tied": True}],
    ids=lambda difference: next(iter(difference)),
)
def test_what_differs_by_more_than_weights_is_exported(other: dict[str, float], exports: list[int]) -> None:
    for network in (_made(0, _Small), _made(0, lambda: _Small(**other))):
        _check(network)
    assert len(exports) == 2


def test_the_layout_of_weights_is_part_of_the_structure(exports: list[int]) -> None:
    _check(_made(0, _Small))
    _check(_made(0, _Small).to(memory_format=torch.channels_last))
    assert len(exports) == 2


def test_equal_weights_in_the_first_network_are_not_taken_for_one_by_the_next() -> None:
    equal = _made(0, _Small)
    equal.second.load_state_dict(equal.first.state_dict())
    for network in (equal, _made(1, _Small)):
        _check(network)


def test_a_network_without_a_pickle_is_exported_each_time(exports: list[int]) -> None:
    for seed in (0, 1):
        network = _made(seed, _Small)
        network.unpicklable = lambda: None
        _check(network)
    assert len(exports) == 2
    assert not exporter._kept


def test_only_a_few_structures_are_kept_and_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "_MOST_KEPT", 2)
    for factor in (1.0, 2.0, 3.0):
        _bytes(_made(0, lambda factor=factor: _Small(factor=factor)))
    assert len(exporter._kept) == 2
    weights = {name for name, _ in _Small().named_parameters()}
    tensors = [tensor for _, model in exporter._kept.values() for tensor in model.graph.initializer]
    assert not any(tensor.raw_data for tensor in tensors if tensor.name in weights)
