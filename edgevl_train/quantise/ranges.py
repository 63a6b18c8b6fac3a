"""Sets the activation ranges of a fake-quantised student."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from edgevl_core.base.errors import UserError
from edgevl_train.quantise.fake import ActivationQuantiser
from edgevl_train.quantise.insert import QuantStudent

_SAMPLE = 1 << 16  # values a quantile is taken from, per tensor and batch


@torch.no_grad()
def calibrate(
    q: QuantStudent,
    batches: Iterable[Tensor],
    *,
    method: Literal["minmax", "percentile"] = "minmax",
    percentile: float = 99.99,
) -> QuantStudent:
    """Set every range from what float activations look like; ``q`` is changed in place and returned.

    Args:
        q: from :func:`fake_quantise`.
        batches: (N, 3, S, S) uint8 or float pixels of TRAINING data, both modalities.
        method: "minmax": the extremes over all batches; "percentile": per batch the given percentile from
            either end (of an even sample of the values), averaged over the batches, so that single outliers
            do not coarsen all.
        percentile: 50 < p <= 100.

    Raises:
        UserError: no batch; a method or percentile out of range.
    """
    if method not in ("minmax", "percentile") or not 50 < percentile <= 100:
        raise UserError(
            f"calibration method {method!r} with percentile {percentile}: accepted are 'minmax', and "
            "'percentile' with 50 < p <= 100"
        )
    ranges: dict[ActivationQuantiser, list[Tensor]] = {}

    def record(quantiser: ActivationQuantiser, inputs: tuple[Tensor, ...]) -> None:
        ranges.setdefault(quantiser, []).append(_range(inputs[0], method, percentile))

    was_training = q.training
    quantisers = list(q.quantisers())
    hooks = [quantiser.register_forward_pre_hook(record) for quantiser in quantisers]
    q.eval()
    _enable(quantisers, False)
    try:
        for pixels in batches:
            q(pixels)
    finally:
        for hook in hooks:
            hook.remove()
        _enable(quantisers, True)
        q.train(was_training)
    if not ranges:
        raise UserError("calibration data: 0 batches; at least one batch of training pixels is needed")
    for quantiser, seen in ranges.items():
        low, high = torch.stack(seen).unbind(dim=1)
        quantiser.low.copy_(low.min() if method == "minmax" else low.mean())
        quantiser.high.copy_(high.max() if method == "minmax" else high.mean())
    return q


def _range(x: Tensor, method: str, percentile: float) -> Tensor:
    """(2,) float32: low <= 0 <= high of one batch's tensor."""
    values = x.detach().float().flatten()
    if method == "minmax" or percentile == 100:
        low, high = torch.aminmax(values)
    else:
        values = values[:: max(1, -(-values.numel() // _SAMPLE))]
        tail = 1 - percentile / 100
        low, high = torch.quantile(values, torch.tensor([tail, 1 - tail], device=values.device))
    return torch.stack([low.clamp(max=0.0), high.clamp(min=0.0)])


def _enable(quantisers: list[ActivationQuantiser], enabled: bool) -> None:
    for quantiser in quantisers:
        quantiser.enabled = enabled
