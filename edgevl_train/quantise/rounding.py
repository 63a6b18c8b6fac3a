"""Rounds the weights of depthwise convolutions so that their errors cancel.

A depthwise filter is often one of differences: large weights that add up to nearly nothing. Rounded one by one, their
errors do not: on a smooth image, such as depth, the filter then answers with a constant that is not there. On real
depth this was nearly all that post-training quantisation of a MobileNetV2 lost (docs/results.md).
"""

import torch
from torch import Tensor, nn

from edgevl_train.quantise.fake import QuantisedLayer
from edgevl_train.quantise.insert import QuantStudent
from edgevl_train.quantise.scheme import LARGEST_WEIGHT


@torch.no_grad()
def keep_sums(q: QuantStudent) -> QuantStudent:
    """Round each depthwise filter's weights up or down so that its sum is kept to half a step; in place, returned.

    Call it after calibration: a layer's step may depend on the range of its input.
    """
    for module in q.modules():
        if isinstance(module, QuantisedLayer) and _is_depthwise(module.layer):
            weight = module.layer.weight
            steps = module.scale().view(-1, *[1] * (weight.ndim - 1))
            rounded = round_keeping_sums((weight / steps).flatten(1), module.scheme.weight_max)
            weight.copy_(rounded.view_as(weight) * steps)
    return q


def round_keeping_sums(x: Tensor, bound: int = LARGEST_WEIGHT[8]) -> Tensor:
    """Whole numbers near (C, K) float ``x``, |x| <= ``bound``, whose sums over K are those of ``x`` to 1/2.

    Those are moved to the other neighbour that are nearest to it. What lies at a bound stays, for the step is made from
    it; so a sum may differ by more where nearly all do.
    """
    rounded = x.round()
    fixed = rounded.abs() >= bound
    for _ in range(x.shape[1]):
        excess = (rounded - x).sum(1, keepdim=True)
        sign = excess.sign()
        over = ((rounded - x) * sign).masked_fill(fixed, -torch.inf)
        found, place = over.max(1, keepdim=True)
        move = (excess.abs() > 0.5) & (found > 0)
        if not move.any():
            break
        rounded.scatter_add_(1, place, -sign * move)
    return rounded


def _is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
