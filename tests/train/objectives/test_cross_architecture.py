"""From a convolutional student's map into the teacher's tokens."""

import pytest
import torch
from torch import nn

from edgevl_train.objectives.cross_architecture import GroupLinear, PartialCrossAttention
from edgevl_train.teacher.tokens import GRID

pytestmark = pytest.mark.unit


def test_a_student_whose_tokens_are_the_teachers_attends_as_it_does() -> None:
    projector = PartialCrossAttention(6, 6)
    for convolution in projector.project:
        assert isinstance(convolution, nn.Conv2d)
        nn.init.dirac_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    map_ = torch.randn(2, 6, GRID, GRID)
    tokens = map_.flatten(2).transpose(1, 2)
    assert projector(map_, tokens).item() == pytest.approx(0, abs=1e-10)
    assert projector(map_, tokens.flip(1)).item() > 0.01


def test_attention_is_partly_the_teachers_and_the_values_are_not() -> None:
    # The value-value map is never mixed: even a batch that swaps nearly all must learn.
    torch.manual_seed(0)
    projector = PartialCrossAttention(4, 6)
    map_, tokens = torch.randn(2, 4, 8, 8), torch.randn(2, GRID**2, 6)
    losses = {round(projector(map_, tokens).item(), 4) for _ in range(5)}
    assert len(losses) > 1  # p is drawn anew
    projector(map_, tokens).backward()
    assert projector.project[2].weight.grad.abs().sum() > 0


def test_each_neighbourhood_has_a_layer_of_its_own() -> None:
    projector = GroupLinear(3, 5)
    map_ = torch.randn(2, 3, GRID, GRID)
    projector(map_)[:, 6].sum().backward()
    used = projector.weight.grad.abs().sum((1, 2)).nonzero().flatten().tolist()
    assert used == [6]


def test_the_layer_of_a_mean_is_the_mean_of_the_layer() -> None:
    projector = GroupLinear(3, 5)
    map_ = torch.randn(1, 3, 2 * GRID, 2 * GRID)
    patches = map_[0, :, 2:4, 4:6].flatten(1).T  # the second row's third cell
    cell = GRID + 2
    expected = (patches @ projector.weight[cell] + projector.bias[cell]).mean(0)
    torch.testing.assert_close(projector(map_)[0, cell], expected)
