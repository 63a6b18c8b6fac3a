"""The widths of a student's layers, where they are not those of its timm model: after pruning.

Widths are {name of the layer: the first numbers of its weight's shape}: [outputs, inputs] of a linear layer, [outputs,
inputs / groups] of a convolution, [channels] of a BatchNorm. Only layers that differ are named. They stand in the
recipe, so whatever reads a student's weights can build it.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from edgevl_core.base.errors import UserError

Widths = Mapping[str, Sequence[int]]
_NORMS = nn.BatchNorm1d | nn.BatchNorm2d
RESIZABLE = nn.Conv2d | nn.Linear | _NORMS


def widths_of(student: nn.Module, full: nn.Module) -> dict[str, tuple[int, ...]]:
    """The widths of ``student``'s layers that differ from those of ``full``, the same network as timm makes it."""
    before = {name: _width(module) for name, module in full.named_modules() if isinstance(module, RESIZABLE)}
    after = {name: _width(module) for name, module in student.named_modules() if isinstance(module, RESIZABLE)}
    return {name: width for name, width in after.items() if width != before[name]}


@torch.no_grad()
def set_widths(student: nn.Module, widths: Widths) -> None:
    """Make layers narrower, in place; of the weights the first ones stay.

    Raises:
        UserError: a layer that is not there, that has no such width, or widths that do not fit each other.
    """
    for name, width in widths.items():
        try:
            module = student.get_submodule(name)
        except AttributeError as error:
            raise UserError(f"student.widths: the student has no layer {name!r}; leave widths to pruning") from error
        if not isinstance(module, RESIZABLE) or not _fits(tuple(width), _width(module)):
            was = f"of widths {list(_width(module))}" if isinstance(module, RESIZABLE) else type(module).__name__
            raise UserError(
                f"student.widths: {name}={list(width)}: the layer is {was}; accepted are as many numbers, from 1 to "
                "those: leave widths to pruning"
            )
        _cut(module, tuple(width))


def _width(module: nn.Module) -> tuple[int, ...]:
    if isinstance(module, _NORMS):
        return (module.num_features,)
    assert isinstance(module, nn.Conv2d | nn.Linear)
    return tuple(module.weight.shape[:2])


def _fits(width: tuple[int, ...], full: tuple[int, ...]) -> bool:
    return len(width) == len(full) and all(1 <= a <= b for a, b in zip(width, full, strict=True))


def _cut(module: nn.Module, width: tuple[int, ...]) -> None:
    for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        if tensor.ndim == 0:
            continue  # BatchNorm's count of batches
        cut = tensor[: width[0], : width[1]].clone() if tensor.ndim > 1 else tensor[: width[0]].clone()
        setattr(module, name, nn.Parameter(cut) if isinstance(tensor, nn.Parameter) else cut)
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = width
    elif isinstance(module, nn.Conv2d):
        depthwise = module.groups == module.in_channels > 1
        module.groups = width[0] if depthwise else 1
        module.out_channels, module.in_channels = width[0], width[1] * module.groups
    elif isinstance(module, _NORMS):
        (module.num_features,) = width
