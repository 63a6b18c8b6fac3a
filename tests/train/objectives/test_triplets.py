"""Semi-hard triplets."""

import pytest
import torch
from torch.nn import functional

from edgevl_train.objectives.triplets import Triplets, mine_semi_hard, pairwise_distance, triplet_loss

pytestmark = pytest.mark.unit


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_pairwise_distance_is_euclidean_with_a_finite_gradient() -> None:
    x = unit(5, 7).requires_grad_()
    d = pairwise_distance(x)
    off = ~torch.eye(5, dtype=torch.bool)
    assert torch.allclose(d[off], torch.cdist(x, x)[off], atol=1e-5)
    d.sum().backward()
    assert x.grad.isfinite().all()


def on_circle(*degrees: float) -> torch.Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    return pairwise_distance(torch.stack([angle.cos(), angle.sin()], 1))


def test_semi_hard_negatives_lie_between_positive_and_margin() -> None:
    # Distances from row 0: positive at 10 degrees 0.17, at 30 degrees 0.52; negatives 5: 0.09 (too hard),
    # 20: 0.35, 25: 0.43 (semi-hard), 90: 1.41 (too easy).
    distance = on_circle(0, 10, 30, -5, -20, -25, -90)
    label = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    triplets = mine_semi_hard(distance, label, margin=0.3, negatives=3)
    mine = triplets.anchor == 0
    assert triplets.positive[mine].unique().tolist() == [1]
    assert sorted(triplets.negative[mine].tolist()) == [4, 5]


def test_no_more_negatives_than_asked_nearest_first() -> None:
    distance = on_circle(0, 1, -10, -11, -12, -13)
    triplets = mine_semi_hard(distance, torch.tensor([0, 0, 1, 1, 1, 1]), margin=0.3, negatives=2)
    assert triplets.negative[triplets.anchor == 0].tolist() == [2, 3]


def test_groups_keep_modalities_apart() -> None:
    distance = on_circle(0, 1, -10, 3, -8, -9)
    label, group = torch.tensor([0, 0, 1, 0, 1, 1]), torch.tensor([0, 1, 0, 0, 1, 0])
    triplets = mine_semi_hard(distance, label, 0.3, 3, group)
    assert (group[triplets.anchor] == group[triplets.positive]).all()
    assert (group[triplets.anchor] == group[triplets.negative]).all()
    crossing = mine_semi_hard(distance, label, 0.3, 3)
    assert (group[crossing.anchor] != group[crossing.positive]).any()


def test_anchor_without_positive_or_negative_gives_no_triplet() -> None:
    distance = on_circle(0, 1, 90)
    assert len(mine_semi_hard(distance, torch.tensor([0, 1, 2]), 0.3, 3).anchor) == 0
    empty = Triplets(*[torch.zeros(0, dtype=torch.int64)] * 3)
    assert triplet_loss(distance, empty, 0.3).item() == 0


def test_triplet_loss_against_its_formula() -> None:
    x = unit(12, 6)
    label = torch.arange(12) % 3
    distance = pairwise_distance(x)
    triplets = mine_semi_hard(distance, label, 0.5, 3)
    assert len(triplets.anchor) > 5
    expected = functional.triplet_margin_loss(
        x[triplets.anchor], x[triplets.positive], x[triplets.negative], margin=0.5, p=2
    )
    assert triplet_loss(distance, triplets, 0.5).item() == pytest.approx(expected.item(), abs=1e-4)
