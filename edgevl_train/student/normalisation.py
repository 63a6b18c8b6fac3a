"""The normalisation that a backbone's weights were made for, put into its first convolutions.

Weights of timm want (x / 255 - mean) / std. The student feeds (x - 128) / 64 to every backbone; the difference, affine
in each channel, goes into the convolutions that read the pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import edgevl_train.torchvision_ops  # noqa: F401  (before timm)

# isort: split
import torch
from timm.layers import Conv2dSame, get_same_padding
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.base.errors import UserError
from edgevl_train.student.pixels import PIXEL_SCALE, PIXEL_ZERO_POINT, PixelNormalise

_TOLERANCE = 1e-3  # of the output's length; float32's own error is a hundredth of it


@torch.no_grad()
def fold_normalisation(
    network: nn.Module, name: str, mean: Sequence[float], std: Sequence[float], size_px: int
) -> list[nn.Conv2d]:
    """Change the convolutions that read the pixels, in place, so that (x - 128) / 64 serves for (x / 255 - mean) / std.

    With a = 64 / (255 std) and b = (128 / 255 - mean) / std a channel's old input is a times its new one plus b: the
    weights take a, and what b adds to every output goes into the convolution's bias, or, where a BatchNorm follows a
    convolution without one, into its mean. Where neither is there, the convolution gets a bias.

    Args:
        name: of the backbone, for the error; size_px: side of the images it is tried with.

    Returns:
        Those convolutions. Where one pads with 0 the border is another colour than before.

    Raises:
        UserError: the network reads the pixels in another way than by convolutions, so that the result is not the same;
            it does not take images of that size.
    """
    colours = torch.tensor([list(mean), list(std)])
    gain = 1 / (255 * PIXEL_SCALE * colours[1])
    shift = (PIXEL_ZERO_POINT / 255 - colours[0]) / colours[1]
    pixels = torch.randint(0, 256, (1, 3, size_px, size_px), generator=torch.Generator().manual_seed(0)).float()
    training = network.training
    network.eval()
    try:
        theirs = (pixels / 255 - colours[0].view(-1, 1, 1)) / colours[1].view(-1, 1, 1)
        convolutions = _readers(network, theirs)
        with _without_borders(list(convolutions)):
            expected = network(theirs)
            for convolution, norm in convolutions.items():
                _fold(convolution, norm, gain, shift)
            actual = network(PixelNormalise()(pixels))
        error = float((actual - expected).norm() / expected.norm().clamp(min=torch.finfo().tiny))
    except (RuntimeError, AssertionError, ValueError) as failure:
        raise UserError(
            f"student {name!r} does not take images of {size_px} px: {failure}; choose another student.size_px, or "
            "leave sizes out of student.backbone"
        ) from failure
    finally:
        network.train(training)
    if not convolutions or not error < _TOLERANCE:
        raise UserError(
            f"student {name!r} with pretrained weights: it reads its pixels otherwise than by plain convolutions, so "
            "that the normalisation its weights were made for cannot be put into them; leave student.pretrained out, "
            "or take another backbone"
        )
    return list(convolutions)


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None, gain: Tensor, shift: Tensor) -> None:
    offset = torch.einsum("ochw,c->o", convolution.weight, shift)
    convolution.weight.mul_(gain.view(1, -1, 1, 1))
    if convolution.bias is not None:
        convolution.bias.add_(offset)
    elif norm is not None and norm.running_mean is not None:
        norm.running_mean.sub_(offset)
    else:
        convolution.bias = nn.Parameter(offset)


def _readers(network: nn.Module, images: Tensor) -> dict[nn.Conv2d, nn.BatchNorm2d | None]:
    """The convolutions that read ``images``, each with the BatchNorm that reads what it makes."""
    found: dict[nn.Conv2d, nn.BatchNorm2d | None] = {}
    made: list[tuple[Tensor, nn.Conv2d]] = []

    def look(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.Conv2d) and module.groups == 1 and _same(arguments[0], images):
            found[module] = None
        for output, convolution in made:
            if isinstance(module, nn.BatchNorm2d) and _same(arguments[0], output):
                found[convolution] = module

    def keep(module: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d) and module in found:
            made.append((output, module))  # held, so that no other tensor comes to lie in its place

    with _hooked(network, look, keep):
        network(images)
    return found


def _same(a: Tensor, b: Tensor) -> bool:
    return isinstance(a, Tensor) and a.data_ptr() == b.data_ptr() and a.shape == b.shape


@contextmanager
def _hooked(
    network: nn.Module,
    before: Callable[[nn.Module, tuple[Tensor, ...]], None],
    after: Callable[[nn.Module, tuple[Tensor, ...], Tensor], None],
) -> Iterator[None]:
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    handles = [layer.register_forward_pre_hook(before) for layer in layers]
    handles += [layer.register_forward_hook(after) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _without_borders(convolutions: Sequence[nn.Conv2d]) -> Iterator[None]:
    """The border's own colour instead of zero padding, for which a change of colours makes no difference."""
    before = [(each, each.padding) for each in convolutions]
    handles = []
    for convolution in convolutions:
        around = list(convolution._reversed_padding_repeated_twice)
        if isinstance(convolution, Conv2dSame):
            vars(convolution)["forward"] = nn.Conv2d.forward.__get__(convolution)

        def pad(module: nn.Module, arguments: tuple[Tensor], around: list[int] = around) -> Tensor:
            around = _one_sided(module, arguments[0]) if isinstance(module, Conv2dSame) else around
            return functional.pad(arguments[0], around, mode="replicate")

        handles.append(convolution.register_forward_pre_hook(pad))
        convolution.padding = (0, 0)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for convolution, padding in before:
            convolution.padding = padding
            vars(convolution).pop("forward", None)


def _one_sided(convolution: nn.Conv2d, x: Tensor) -> list[int]:
    """Left, right, top and bottom of TensorFlow's padding."""
    found = []
    for axis in (1, 0):
        size, kernel = x.shape[axis - 2], convolution.kernel_size[axis]
        total = get_same_padding(size, kernel, convolution.stride[axis], convolution.dilation[axis])
        found += [total // 2, total - total // 2]
    return found


def adopt_biases(network: nn.Module, has: Callable[[str], bool]) -> None:
    """Give convolutions without a bias one of 0 where ``has`` says, by the convolution's name, that weights have it."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.bias is None and has(name):
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
