"""The two layers of ``edgevl split --compress``: of the student's own scheme, and nothing else of it moves."""

import pytest
import torch
from torch import nn

from edgevl_train.quantise import Scheme, calibrate, fake_quantise, fuse
from edgevl_train.quantise.fake import ActivationQuantiser, QuantisedLayer
from edgevl_train.split.bottleneck import Back, narrowed
from edgevl_train.student.network import Student

pytestmark = pytest.mark.train


def test_a_bottleneck_has_the_students_scheme_and_alone_is_trained() -> None:
    torch.manual_seed(0)
    # The first BatchNorm stands before a convolution that pads, and cannot be folded.
    layers = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    scheme = Scheme(7, power_of_two=True)
    pixels = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    q = calibrate(fake_quantise(fuse(Student("small", backbone, nn.Linear(8, 8), 8).eval()), scheme), [pixels]).eval()
    node = next(
        node
        for node in q.network.graph.nodes
        if node.op == "call_module" and isinstance(q.network.get_submodule(node.target), ActivationQuantiser)
    )
    back = Back(q, node)
    bottleneck = narrowed(q, node, torch.rand(4, 8, 15, 15), 2)
    assert bottleneck.encode.scheme == bottleneck.decode.scheme == scheme
    assert bottleneck.travels.power_of_two == 1
    assert all(module.scheme == scheme for module in q.modules() if isinstance(module, QuantisedLayer))
    norms = [module for module in q.modules() if isinstance(module, nn.BatchNorm2d)]
    back.train()
    assert norms
    assert not any(norm.training for norm in norms)
    assert bottleneck.training
    assert not back.eval().quantised.network.get_submodule("bottleneck").training
