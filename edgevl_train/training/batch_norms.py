"""BatchNorms that a backbone's file had folded into its convolutions, put back to work.

A file made from an integer or a deployed network says mean 0, variance 1 in every BatchNorm: as it is, it computes the
same, but in training each batch is normalised by its own statistics, which undoes what the convolutions had absorbed,
and validation falls to chance. With the statistics of real images, and weights and biases to match, it still computes
the same, and can be trained.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from edgevl_train.data.run_data import RunData, calibration_pixels
from edgevl_train.sections import StudentSection
from edgevl_train.student.network import Student

STATISTICS_PAIRS = 192


def restore_for(student: Student, data: RunData, section: StudentSection, say: Callable[[str], None]) -> None:
    """:func:`restore`, with RGB and depth of training pairs; nothing is done to a student whose BatchNorms work."""
    if not student.folded:
        return
    pixels = calibration_pixels(data, STATISTICS_PAIRS)
    restore(student, pixels.split(64))
    say(
        f"backbone file {section.pretrained} has its BatchNorms folded away: they are restored with the "
        f"statistics of {len(pixels)} images"
    )


@torch.no_grad()
def restore(student: Student, batches: Iterable[Tensor]) -> None:
    """Give the BatchNorms named in ``student.folded`` the statistics of their inputs; the answers stay the same.

    One pass: in eval mode every input is the original network's, whatever was measured before it.

    Args:
        batches: (N, 3, S, S) uint8 pixels each, at least one.
    """
    measured = {name: _Sums() for name in student.folded}
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    norms = {name: norm for name, norm in student.backbone.named_modules() if isinstance(norm, kinds)}
    handles = [norms[name].register_forward_pre_hook(sums) for name, sums in measured.items()]
    training = student.training
    student.eval()
    for pixels in batches:
        student(pixels)
    student.train(training)
    for handle in handles:
        handle.remove()
    for name, sums in measured.items():
        if sums.count:
            _set_statistics(norms[name], *sums.mean_and_variance())
    student.folded = []


@torch.no_grad()
def measure_anew(student: Student, batches: Iterable[Tensor]) -> None:
    """Give every BatchNorm the mean statistics of its inputs over the batches, each normalised by its own.

    For weights whose statistics are not known, such as an average's; ends in eval mode. What it computes changes.

    Args:
        batches: (N, 3, S, S) uint8 pixels each, at least one.
    """
    norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    student.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
        norm.train()
    for pixels in batches if norms else ():
        student(pixels)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    student.eval()


class _Sums:
    """A hook: count, sum and sum of squares of a BatchNorm's input, by channel."""

    def __init__(self) -> None:
        self.count = 0
        self.first = self.second = torch.zeros(())

    def __call__(self, _norm: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        x = arguments[0].double().transpose(0, 1).flatten(1)
        self.count += x.shape[1]
        self.first = self.first + x.sum(1)
        self.second = self.second + x.square().sum(1)

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        """(C,) float64 each."""
        mean = self.first / self.count
        return mean, (self.second / self.count - mean.square()).clamp(min=0)


def _set_statistics(norm: nn.BatchNorm1d | nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Other statistics, and the weight and bias with which they give the same function in eval mode."""
    running_mean, running_var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    slope = norm.weight.double() / (running_var.double() + norm.eps).sqrt()
    norm.bias.add_(slope * (mean - running_mean.double()))
    norm.weight.copy_(slope * (variance + norm.eps).sqrt())
    running_mean.copy_(mean)
    running_var.copy_(variance)
