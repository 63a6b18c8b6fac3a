"""Distances to the teacher's embedding."""

import pytest
import torch

from edgevl_train.objectives.feature import DISTANCES

pytestmark = pytest.mark.unit


def test_distances_against_their_formulas() -> None:
    s, t = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    assert DISTANCES["l1"](s, t).item() == pytest.approx(2 / 4)
    assert DISTANCES["cosine"](s, t).item() == pytest.approx((1 + 0) / 2)
    assert DISTANCES["mse"](s, t).item() == pytest.approx(2 / 4)
    for distance in DISTANCES.values():
        assert distance(t, t).item() == pytest.approx(0, abs=1e-7)
