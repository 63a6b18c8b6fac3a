"""Structured pruning: the channels of a trained student that matter least are taken out, whole.

Which channels hang together (those of a residual sum, a convolution with its BatchNorm and with what reads it) is
found by Torch-Pruning's dependency graph; the importance of such a group is the mean L2 norm of its weights (Fang et
al., "DepGraph: Towards Any Structural Pruning", CVPR 2023). What is left is an ordinary, narrower network, which has
to be trained again: distillation does that.
"""

import copy
import warnings

import torch
from torch import nn

from edgevl_core.base.errors import UserError, one_line
from edgevl_train.student.network import Student
from edgevl_train.student.widths import RESIZABLE

# Integer kernels work on whole vectors: of fewer channels than a multiple of it a kernel takes as long.
MULTIPLE = 8


def prune(student: Student, share: float, size_px: int) -> Student:
    """A copy without about ``share`` of the channels of every layer; its input and its embedding stay.

    The same weights give the same copy.

    Args:
        share: 0 < share < 1; what is left of a layer is the nearest multiple of 8, and 8 at the least.
        size_px: side of its images.

    Raises:
        UserError: Torch-Pruning is not installed; a network with what cannot be pruned, which is named; nothing to
            take out.
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise UserError(
            "student.prune_share needs Torch-Pruning, which is not installed: pip install torch-pruning"
        ) from error
    check_prunable(student)
    pruned = copy.deepcopy(student).eval()
    before = _parameters(student)
    (*_, last) = (module for module in pruned.head.modules() if isinstance(module, nn.Linear))
    example = torch.zeros(1, 3, size_px, size_px)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parameters that it does not know, which check_prunable has refused
            graph = torch_pruning.DependencyGraph().build_dependency(pruned, example)
            importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
            for group in graph.get_all_groups(ignored_layers=[last], root_module_types=[nn.Conv2d, nn.Linear]):
                scores = importance(group)
                group.prune(scores.argsort()[: len(scores) - _left(len(scores), share)].tolist())
        with torch.no_grad():
            pruned(example)
    except Exception as error:  # whatever the library or the network raises
        reason = one_line(str(error), 160)
        raise UserError(
            f"student {student.name!r} cannot be pruned ({type(error).__name__}: {reason}): take one of plain or "
            "depthwise convolutions, or leave student.prune_share out"
        ) from error
    if _parameters(pruned) == before:
        raise UserError(
            f"student.prune_share={share:g}: no channel can go, for multiples of {MULTIPLE} are kept: ask for more"
        )
    return pruned


def check_prunable(student: Student) -> None:
    """Refuse what the dependency graph takes apart wrongly, or not at all.

    Raises:
        UserError: attention, convolutions in groups (other than depthwise), parameters of a layer that has no channels
            to take out; the first of these is named.
    """
    for name, module in student.named_modules():
        kind, why = type(module).__name__, ""
        if "attention" in kind.lower():
            why = "attention"
        elif isinstance(module, nn.Conv2d) and 1 < module.groups < module.in_channels:
            why = f"a convolution in {module.groups} groups"
        elif not isinstance(module, RESIZABLE) and next(module.parameters(recurse=False), None) is not None:
            why = f"parameters of a {kind}"
        if why:
            raise UserError(
                f"student {student.name!r} cannot be pruned: {name} has {why}; take one of plain or depthwise "
                "convolutions, or leave student.prune_share out"
            )


def _left(channels: int, share: float) -> int:
    """How many channels stay.

    >>> [_left(channels, 0.3) for channels in (6, 16, 32, 64, 128)]
    [6, 8, 24, 48, 88]
    """
    multiples = max(1, int(channels * (1 - share) / MULTIPLE + 0.5))
    return min(channels, multiples * MULTIPLE)


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
