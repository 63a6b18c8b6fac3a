"""Contrast in a batch."""

import math

import pytest
import torch
from torch.nn import functional

from edgevl_train.objectives.contrast import interactive_contrast, multi_positive_infonce

pytestmark = pytest.mark.unit


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_infonce_with_distinct_captions_is_clips_loss() -> None:
    image, text = unit(6, 8), unit(6, 8, seed=1)
    logits = 10 * image @ text.T
    target = torch.arange(6)
    clip = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
    assert multi_positive_infonce(image, text, target, torch.tensor(10.0)).item() == pytest.approx(
        clip.item(), rel=1e-6
    )


def test_infonce_images_of_one_caption_do_not_repel_each_other() -> None:
    text = torch.eye(4)[:2]
    image, caption = text[[0, 0, 0, 1]], torch.tensor([0, 0, 0, 1])
    loss = multi_positive_infonce(image, text, caption, torch.tensor(50.0)).item()
    # What is left is the entropy of three equal positives, of which each gets a third: log 3, for one caption
    # of two.
    assert loss == pytest.approx(math.log(3) / 2 / 2, abs=1e-3)


def test_infonce_ignores_captions_that_no_image_has() -> None:
    image, text = unit(3, 8), unit(5, 8, seed=1)
    assert multi_positive_infonce(image, text, torch.tensor([0, 2, 2]), torch.tensor(5.0)).isfinite()


def test_interactive_contrast_wants_the_own_teacher_nearer_than_others() -> None:
    teacher = torch.eye(4)
    same = torch.full((4, 4), 0.5)  # all students alike: nothing is told apart
    assert interactive_contrast(same, teacher, 10.0).item() == pytest.approx(math.log(4))
    assert interactive_contrast(teacher, teacher, 10.0).item() == pytest.approx(
        math.log(1 + 3 * math.exp(-10)), rel=1e-3
    )
    assert interactive_contrast(teacher[[1, 0, 3, 2]], teacher, 10.0).item() > math.log(4)
