"""A discriminator, and a student that learns not to be told from the teacher."""

import math

import pytest
import torch

from edgevl_train.objectives.discriminator import Discriminator, reversed_gradient

pytestmark = pytest.mark.unit


def test_a_gradient_comes_back_with_its_sign_changed() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reversed_gradient(x)
    torch.testing.assert_close(y, x)
    (3 * y).sum().backward()
    assert x.grad.tolist() == [-3, -3]


def test_one_step_of_both_the_discriminator_tells_better_and_the_student_is_told_worse() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(4)
    student, teacher = torch.randn(8, 16, 4, requires_grad=True), torch.randn(8, 16, 4) + 1
    loss = discriminator(student, teacher)
    loss.backward()
    with torch.no_grad():
        worse = discriminator(student - 10 * student.grad, teacher)
        assert worse > loss  # the student's step along its gradient
        for parameter in discriminator.parameters():
            parameter -= 0.1 * parameter.grad
        assert discriminator(student, teacher) < loss


def test_what_cannot_be_told_apart_costs_log_2() -> None:
    discriminator = Discriminator(4)
    torch.nn.init.zeros_(discriminator.layers[-1].weight)
    torch.nn.init.zeros_(discriminator.layers[-1].bias)
    assert discriminator(torch.randn(2, 16, 4), torch.randn(2, 16, 4)).item() == pytest.approx(math.log(2))
