"""Depthwise filters keep their sums when they are rounded."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from edgevl_train.quantise import calibrate, fake_quantise, fuse, keep_sums
from edgevl_train.quantise.fake import QuantisedLayer
from edgevl_train.quantise.rounding import round_keeping_sums
from edgevl_train.student.network import PixelNormalise, Student

pytestmark = pytest.mark.unit


@settings(max_examples=60)
@given(arrays(np.float32, (5, 9), elements=st.floats(-126, 126, width=32)))
def test_sums_are_kept_by_going_to_the_other_neighbour(x: np.ndarray) -> None:
    rounded = round_keeping_sums(torch.from_numpy(x)).numpy()
    assert np.array_equal(rounded, np.round(rounded))
    assert np.abs(rounded - x).max() < 1
    assert np.abs((rounded - x.astype(np.float64)).sum(1)).max() <= 0.5 + 1e-4


def test_what_the_step_is_made_from_stays() -> None:
    x = torch.tensor([[127.0, -126.6, 0.4, 0.4, 0.4]])
    assert round_keeping_sums(x).tolist()[0][:2] == [127, -127]
    assert round_keeping_sums(x).sum() == pytest.approx(x.sum(), abs=0.5)


class _Differences(nn.Module):
    """One depthwise convolution of random filters with a sum of 0, as large as they are found in trained networks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.spread, self.filters = nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 3, groups=32)
        with torch.no_grad():
            self.filters.weight.mul_(60)
            self.filters.weight.sub_(self.filters.weight.mean((2, 3), keepdim=True))
        self.num_features = 32

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.filters(torch.relu(self.spread(x))).mean((2, 3))


def test_smooth_images_come_through() -> None:
    student = Student("differences", _Differences(), nn.Linear(32, 16), 16).eval()
    level = torch.arange(20, 240, 10).view(-1, 1, 1, 1)
    pixels = (level + torch.randint(-1, 2, (len(level), 3, 16, 16))).byte()
    fused = fuse(student)
    assert isinstance(fused.get_submodule("normalise"), PixelNormalise)

    def error(quantised: nn.Module) -> float:
        with torch.no_grad():
            return float((quantised.eval()(pixels) - fused(pixels)).square().mean())

    plain, kept = calibrate(fake_quantise(fused), [pixels]), keep_sums(calibrate(fake_quantise(fused), [pixels]))
    for name, module in kept.named_modules():
        if name.endswith("filters") and isinstance(module, QuantisedLayer):
            steps = (module.layer.weight / module.scale().view(-1, 1, 1, 1)).detach()
            assert torch.allclose(steps, steps.round(), atol=1e-3)
            assert steps.abs().max() == pytest.approx(module.scheme.weight_max, abs=1e-3)
    assert error(kept) < error(plain) / 3
