"""Answers in words."""

import pytest
import torch
from torch.nn import functional

from edgevl_train.objectives.soft_labels import label_divergence

pytestmark = pytest.mark.unit


def test_label_divergence_is_kl_of_the_softmax_at_the_teachers_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher, bank = (functional.normalize(torch.randn(n, 8, generator=generator), dim=1) for n in (5, 5, 3))
    p, q = ((10.0 * x @ bank.T).softmax(1) for x in (teacher, student))
    assert label_divergence(student, teacher, bank, 10.0).item() == pytest.approx(
        (p * (p / q).log()).sum(1).mean().item(), rel=1e-4
    )
    assert label_divergence(teacher, teacher, bank, 10.0).item() == pytest.approx(0, abs=1e-6)
