"""Nearness to a teacher's answers in words: soft cross-entropy over a bank of text vectors."""

from torch import Tensor
from torch.nn import functional


def label_divergence(student: Tensor, teacher: Tensor, bank: Tensor, logit_scale: float) -> Tensor:
    """Mean KL divergence of the student's probabilities over a label set from the teacher's (Hinton et al., 2015).

    Both at the teacher's own logit scale; no further temperature, for these are the probabilities that are used. Its
    gradient is that of the soft cross-entropy, which is larger by the teacher's own entropy.

    Args:
        student, teacher: (B, D), L2-normalised; bank: (C, D), text vectors.
    """
    wanted = functional.log_softmax(logit_scale * teacher @ bank.T, dim=1)
    given = functional.log_softmax(logit_scale * student @ bank.T, dim=1)
    return functional.kl_div(given, wanted, log_target=True, reduction="batchmean")
