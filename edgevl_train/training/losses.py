"""Losses, each with the equation it comes from. All embeddings are L2-normalised, (B, D) float32."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

Distance = Callable[[Tensor, Tensor], Tensor]


def l1_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over elements of |s - t| (EdgeVL, arXiv 2403.04908, section 3.2)."""
    return (student - teacher).abs().mean()


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over pairs of 1 - cos(s, t)."""
    return 1 - (student * teacher).sum(-1).mean()


def mse_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over elements of (s - t)^2 (CLIP-KD, arXiv 2307.12732); for unit vectors 2 / D of the cosine distance."""
    return (student - teacher).square().mean()


def label_divergence(student: Tensor, teacher: Tensor, bank: Tensor, logit_scale: float) -> Tensor:
    """Mean KL divergence of the student's probabilities over a label set from the teacher's (Hinton et al., 2015).

    Both at the teacher's own logit scale; no further temperature, for these are the probabilities that are used.

    Args:
        student, teacher: (B, D), L2-normalised; bank: (C, D), text vectors.
    """
    wanted = functional.log_softmax(logit_scale * teacher @ bank.T, dim=1)
    given = functional.log_softmax(logit_scale * student @ bank.T, dim=1)
    return functional.kl_div(given, wanted, log_target=True, reduction="batchmean")


DISTANCES: dict[str, Distance] = {"l1": l1_distance, "cosine": cosine_distance, "mse": mse_distance}


def multi_positive_infonce(image: Tensor, text: Tensor, caption: Tensor, logit_scale: Tensor) -> Tensor:
    """CLIP's loss with images of one caption as positives of each other (UniCL, arXiv 2204.03610, eq. 3-5).

    Args:
        image: (B, D), L2-normalised.
        text: (C, D), L2-normalised, one row per distinct caption.
        caption: (B,) int64, which row of ``text`` belongs to each image.
        logit_scale: scalar.

    Returns:
        Mean of the image-to-text and the text-to-image term. With B distinct captions this is CLIP's loss.
    """
    logits = logit_scale * image @ text.T
    image_to_text = functional.cross_entropy(logits, caption)
    positive = functional.one_hot(caption, len(text)).T.to(logits.dtype)
    positive = positive[positive.sum(1) > 0]
    present = caption.unique()
    log_probability = functional.log_softmax(logits.T[present], dim=1)
    text_to_image = -((log_probability * positive).sum(1) / positive.sum(1)).mean()
    return (image_to_text + text_to_image) / 2
