"""Exits scored on words."""

import pytest
import torch
from torch.nn import functional

from edgevl_train.objectives.exits import Exits, exit_loss
from edgevl_train.objectives.soft_labels import label_divergence

pytestmark = pytest.mark.unit


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_at_gamma_1_it_is_soft_cross_entropy() -> None:
    student, teacher, bank = unit(5, 8), unit(5, 8, seed=1), unit(3, 8, seed=2)
    p = functional.softmax(10 * teacher @ bank.T, dim=1)
    entropy = -(p * p.log()).sum(1).mean()
    expected = label_divergence(student, teacher, bank, 10.0) + entropy
    assert exit_loss(student, teacher, bank, 10.0, 1.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_larger_gamma_weighs_the_teachers_own_answer_more() -> None:
    student, teacher, bank = unit(1, 8), unit(1, 8, seed=1), unit(3, 8, seed=2)
    p = functional.softmax(10 * teacher @ bank.T, dim=1)[0]
    log_q = functional.log_softmax(10 * student @ bank.T, dim=1)[0]
    answer = int(p.argmax())
    own = [float(i == answer) for i in range(3)]
    weights = [(p[i] + own[i]) ** 1.4 - own[i] for i in range(3)]
    expected = -sum(float(weight * q) for weight, q in zip(weights, log_q, strict=True))
    assert exit_loss(student, teacher, bank, 10.0, 1.4).item() == pytest.approx(expected, rel=1e-5)
    assert weights[answer] > p[answer]
    assert all(weights[i] < p[i] for i in range(3) if i != answer)


def test_each_stage_gets_an_embedding_of_unit_length() -> None:
    exits = Exits([4, 6], 8)
    found = exits([torch.randn(3, 4, 5, 5), torch.randn(3, 6, 2, 2)])
    assert [each.shape for each in found] == [(3, 8), (3, 8)]
    for each in found:
        torch.testing.assert_close(each.norm(dim=1), torch.ones(3))
