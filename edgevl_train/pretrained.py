"""A backbone's weights from a local file, made to see what they were trained to see.

Weights of timm want (x / 255 - mean) / std. The student feeds (x - 128) / 64 to every backbone; the difference, affine
in each channel, goes into the convolutions that read the pixels.
"""

import logging
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

import edgevl_train.torchvision_ops  # noqa: F401  (before timm)

# isort: split
import timm
import torch
from timm.layers import Conv2dSame, get_same_padding
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.errors import UserError
from edgevl_train.pixels import PIXEL_SCALE, PIXEL_ZERO_POINT, PixelNormalise

_TOLERANCE = 1e-3  # of the output's length; float32's own error is a hundredth of it


def load_backbone(
    network: nn.Module,
    name: str,
    path: Path,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size_px: int | None = None,
) -> list[str]:
    """Load a timm backbone's weights into it, for pixels as the student feeds them.

    The network then answers (x - 128) / 64 as the file's would answer (x / 255 - mean) / std, but for what zero
    padding lets in at the borders: 0 is another colour there.

    Args:
        network: without a classifier; the file may have one.
        mean, std: of RGB in 0..1, what the weights were trained with; None: timm's for ``name``.
        size_px: side of the images it is built for; None: timm's for ``name``.

    Returns:
        The names of BatchNorms that the file has folded away, see folded.py.

    Raises:
        UserError: no such file, weights of another network, or pixels that are not read by convolutions alone.
    """
    network.load_state_dict(fitting(network, name, path))
    folded = folded_norms(network)
    config = timm.get_pretrained_cfg(name)
    mean, std = mean or config.mean, std or config.std
    fold_normalisation(network, name, mean, std, size_px or config.input_size[-1])
    return folded


def from_timm(network: nn.Module, name: str) -> None:
    """Begin with timm's own weights, which it downloads, or has downloaded before.

    Raises:
        UserError: it has none for ``name``, they cannot be had here, or they do not fit.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or not (config.hf_hub_id or config.url):
        raise UserError(f"timm has no weights of {name!r}: pass a .safetensors file of them as student.pretrained")
    try:
        with _quiet_download():
            theirs = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # whatever the download raises
        reason = " ".join(str(error).split())[:100]
        raise UserError(
            f"timm's weights of {name!r} cannot be had here ({reason}): pass a .safetensors file of them as "
            "student.pretrained"
        ) from error
    _take(network, theirs.state_dict(), f"timm's weights of {name!r}")
    made_for = theirs.pretrained_cfg
    fold_normalisation(network, name, made_for["mean"], made_for["std"], made_for["input_size"][-1])


def is_tower(network: nn.Module, tower: Any) -> bool:
    """Whether ``tower``, ``visual`` of an open_clip model, is the same timm network."""
    return hasattr(tower, "trunk") and not _differing(network.state_dict(), tower.trunk.state_dict())


def from_tower(network: nn.Module, head: nn.Module, tower: Any, preprocess: Mapping[str, Any], name: str) -> None:
    """Begin as a teacher's image tower, which is a timm network of the same kind: it sees RGB as its teacher does.

    Args:
        network, head: the student's, changed in place; a head of one linear layer takes the tower's projection.
        tower: ``visual`` of an open_clip model; preprocess: what it was made for, ``mean`` and ``std``.
        name: of the student.

    Raises:
        UserError: the tower is another network.
    """
    _take(network, tower.trunk.state_dict() if hasattr(tower, "trunk") else {}, "the teacher's image tower")
    projection = getattr(tower.head, "proj", None)
    linear = isinstance(head, nn.Linear) and isinstance(projection, nn.Linear)
    if linear and projection.weight.shape == head.weight.shape:
        with torch.no_grad():
            head.weight.copy_(projection.weight)
            head.bias.copy_(projection.bias) if projection.bias is not None else head.bias.zero_()
    size_px = timm.get_pretrained_cfg(name).input_size[-1]
    fold_normalisation(network, name, preprocess["mean"], preprocess["std"], size_px)


def _take(network: nn.Module, found: Mapping[str, Tensor], what: str) -> None:
    wanted = network.state_dict()
    if wrong := _differing(wanted, found):
        raise UserError(
            f"{what} does not fit the student: {len(wrong)} of its {len(wanted)} tensors are missing or of another "
            f"shape (first: {wrong[0]}): pass student.pretrained=FILE of this timm model, or choose the same network"
        )
    network.load_state_dict({key: found[key].detach().cpu() for key in wanted})


def _differing(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    return [key for key in wanted if key not in found or found[key].shape != wanted[key].shape]


@contextmanager
def _quiet_download() -> Iterator[None]:
    """timm and its downloader warn and advise, and where there is no network they try again for most of a minute."""
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    logging.disable(logging.WARNING)
    constants.HF_HUB_OFFLINE = offline or not _reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.disable(logging.NOTSET)


def _reachable(address: str) -> bool:
    """Whether the network knows a host; a proxy is believed to."""
    try:
        return bool(getproxies()) or bool(socket.getaddrinfo(urlparse(address).hostname, 443))
    except OSError:
        return False


def folded_norms(network: nn.Module) -> list[str]:
    """The BatchNorms whose statistics are 0 and 1 as of no real image, by name; none where they are the smaller part.

    So are those of a network that was never trained; nothing is lost by treating them alike.
    """
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    norms = {name: module for name, module in network.named_modules() if isinstance(module, kinds)}
    found = [name for name, norm in norms.items() if _is_identity(norm)]
    return found if 2 * len(found) > len(norms) else []


def _is_identity(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> bool:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None or not norm.affine:
        return False
    return not mean.any() and float((variance - 1).abs().max()) <= 2 * norm.eps


def fitting(network: nn.Module, name: str, path: Path) -> dict[str, Tensor]:
    """The tensors of a file that a timm network wants, without what else is in it.

    Raises:
        UserError: no such file, or weights of another network.
    """
    from safetensors.torch import load_file

    if path.suffix != ".safetensors" or not path.is_file():
        raise UserError(f"pretrained weights {path}: an existing .safetensors file is accepted; pass one, or none")
    wanted, found = network.state_dict(), load_file(path)
    if wrong := _differing(wanted, found):
        raise UserError(
            f"pretrained weights {path} do not fit {name!r}: {len(wrong)} of its {len(wanted)} tensors are missing or "
            f"of another shape (first: {wrong[0]}); pass weights of this timm model"
        )
    return {key: found[key] for key in wanted}


@torch.no_grad()
def fold_normalisation(
    network: nn.Module, name: str, mean: Sequence[float], std: Sequence[float], size_px: int
) -> None:
    """Change the convolutions that read the pixels, in place, so that (x - 128) / 64 serves for (x / 255 - mean) / std.

    With a = 64 / (255 std) and b = (128 / 255 - mean) / std a channel's old input is a times its new one plus b: the
    weights take a, and what b adds to every output goes into the convolution's bias, or, where a BatchNorm follows a
    convolution without one, into its mean. Where neither is there, the convolution gets a bias.

    Args:
        name: of the backbone, for the error; size_px: side of the images it is tried with.

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
        reason = " ".join(str(failure).split())
        raise UserError(
            f"student {name!r} does not take images of {size_px} px: {reason}; choose another student.size_px, or "
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

    def keep(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d) and module in found:
            made.append((output, module))  # held, so that no other tensor comes to lie in its place

    with _hooked(network, look, keep):
        network(images)
    return found


def _same(a: Tensor, b: Tensor) -> bool:
    return isinstance(a, Tensor) and a.data_ptr() == b.data_ptr() and a.shape == b.shape


@contextmanager
def _hooked(network: nn.Module, before: Callable, after: Callable) -> Iterator[None]:
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
            convolution.forward = nn.Conv2d.forward.__get__(convolution)

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
