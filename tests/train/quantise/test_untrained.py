"""Post-training quantisation at its best: clipped weights, corrected biases, the best of all by validation."""

from itertools import islice

import pytest
import torch
from torch import nn

from edgevl_train.quantise import (
    QuantStudent,
    Scheme,
    calibrate,
    clip_weights,
    correct_biases,
    fake_quantise,
    float_copy,
    fuse,
    search,
    untrained_students,
)
from edgevl_train.quantise.fake import QuantisedLayer
from edgevl_train.student.network import Student


def quantised(bits: int):
    return fake_quantise(fuse(small_student()), Scheme(bits))


def small_student() -> Student:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3, 2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    ]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    student = Student("small", nn.Sequential(*layers, *pool), nn.Linear(16, 8), 8).eval()
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
    return student


def rounding_error(layer: QuantisedLayer, weight: torch.Tensor) -> float:
    scale = layer.scale().view(-1, *[1] * (weight.ndim - 1))
    rounded = (layer.layer.weight / scale).round().clamp(-layer.scheme.weight_max, layer.scheme.weight_max) * scale
    return (rounded - weight).detach().square().sum().item()


def test_clipped_weights_are_rounded_with_less_error() -> None:
    plain, clipped = quantised(3), clip_weights(quantised(3))
    errors = [
        (rounding_error(after, before.layer.weight), rounding_error(before, before.layer.weight))
        for before, after in zip(plain.modules(), clipped.modules(), strict=True)
        if isinstance(before, QuantisedLayer)
    ]
    assert all(after <= before * (1 + 1e-6) for after, before in errors)
    assert sum(after for after, _ in errors) < 0.9 * sum(before for _, before in errors)


def test_biases_are_corrected_by_both_modalities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels are RGB and depth in turn, here dark and bright."""
    pixels = torch.randint(0, 100, (512, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    pixels[1::2] += 100
    seen: list[torch.Tensor] = []

    def correct(q: QuantStudent, reference: QuantStudent, some: torch.Tensor) -> QuantStudent:
        seen.append(some)
        return correct_biases(q, reference, some)

    monkeypatch.setattr(search, "correct_biases", correct)
    list(islice(untrained_students(small_student(), pixels, Scheme(4)), 2))
    bright = (seen[0].float().mean((1, 2, 3)) > 100).sum().item()
    assert len(seen[0]) == 64
    assert 16 <= bright <= 48


def test_corrected_biases_give_the_float_layers_means() -> None:
    pixels = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    reference = quantised(3)
    plain = calibrate(quantised(3), [pixels])
    corrected = correct_biases(calibrate(quantised(3), [pixels]), reference, pixels)

    def mean_error(q) -> list[float]:
        wanted, found = means(float_copy(reference), nn.Conv2d | nn.Linear), means(q.network.eval(), QuantisedLayer)
        return [float((wanted[name] - found[name]).abs().max()) for name in found]

    def means(network: nn.Module, kind: type) -> dict[str, torch.Tensor]:
        seen = {}
        for name, module in network.named_modules():
            if isinstance(module, kind) and not name.endswith(".layer"):
                module.register_forward_hook(
                    lambda _m, _x, y, name=name: seen.update(
                        {name: y.flatten(2).mean((0, 2)) if y.ndim == 4 else y.mean(0)}
                    )
                )
        network(pixels)
        return seen

    with torch.no_grad():
        assert max(mean_error(corrected)) < 0.1 * max(mean_error(plain))
