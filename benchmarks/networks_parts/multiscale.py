"""A student whose last map is pooled at several scales, and what is far from the whole picture is left out."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgevl_train.student.network import Student

SCALES = (4, 2)  # cells a side


class Multiscale(nn.Module):
    """Attention without parameters of the whole picture to parts of it, after ADEM-VL (arXiv 2410.17779).

    The tokens are the means of the last map's cells at SCALES, the query is the mean of all. A token's weight is the
    softmax of its cosine to the query; the ``dropped`` share with the least cosines has none. The weighted mean is
    added to the query, and the head goes on as ever.
    """

    def __init__(self, student: Student, dropped: float, sharpness: float = 8.0) -> None:
        super().__init__()
        self.student, self.dropped, self.sharpness = student, dropped, sharpness

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, S, S) uint8 or float 0..255 -> (N, D), L2-normalised."""
        backbone = self.student.backbone
        cells = backbone.forward_features(self.student.normalise(pixels))  # type: ignore[operator]
        tokens = torch.cat([functional.adaptive_avg_pool2d(cells, side).flatten(2) for side in SCALES], 2)
        query = backbone.forward_head(cells, pre_logits=True)  # type: ignore[operator]
        cosine = functional.cosine_similarity(tokens, query[..., None], dim=1)
        least = cosine.detach().quantile(self.dropped, dim=1, keepdim=True) if self.dropped else -1.0
        weight = (self.sharpness * cosine).masked_fill(cosine < least, float("-inf")).softmax(1)
        return self.student._unit(self.student.head(query + (tokens * weight[:, None]).sum(2)))
