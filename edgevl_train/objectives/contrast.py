"""Contrast in a batch: CLIP's between images and captions, CLIP-KD's between a student and its teacher."""

import torch
from torch import Tensor
from torch.nn import functional


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


def interactive_contrast(student: Tensor, teacher: Tensor, logit_scale: float) -> Tensor:
    """Interactive contrastive learning (CLIP-KD, arXiv 2307.12732, section 3.4): students against teachers.

    The paper contrasts the student's image with the teacher's captions. Here are none, so the teacher's embedding of
    the same picture stands in their place: a pair's own must be nearer than those of the batch's other pairs.

    Args:
        student, teacher: (B, D), L2-normalised.
    """
    own = torch.arange(len(teacher), device=teacher.device)
    return multi_positive_infonce(student, teacher, own, student.new_tensor(logit_scale))
