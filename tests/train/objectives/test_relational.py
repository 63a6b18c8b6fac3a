"""Relations of a batch."""

import pytest
import torch
from torch.nn import functional

from edgevl_train.objectives.relational import relational_distance

pytestmark = pytest.mark.unit


def test_a_space_that_is_turned_as_a_whole_keeps_its_relations() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = functional.normalize(torch.randn(6, 8, generator=generator), dim=1)
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator))
    assert relational_distance(teacher @ turn, teacher).item() == pytest.approx(0, abs=1e-10)
    assert (teacher @ turn - teacher).abs().max() > 0.1


def test_it_is_the_mean_square_of_what_cosines_differ_by() -> None:
    # Two students at 60 degrees, their teachers at 90: of four cosines two differ, by 0.5.
    student, teacher = torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5]]), torch.eye(2)
    assert relational_distance(student, teacher).item() == pytest.approx(2 * 0.25 / 4)
