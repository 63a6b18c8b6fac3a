"""Pretrained weights of a backbone: from a file, from timm, from a teacher's image tower."""

import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

import edgevl_train.torchvision_ops  # noqa: F401  (before timm)

# isort: split
import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn

from edgevl_core.base.errors import UserError, one_line
from edgevl_train.student.normalisation import fold_normalisation
from edgevl_train.student.stem import enlarge


def made_for(name: str) -> PretrainedCfg:
    """What timm says its weights of ``name`` were made for: side in pixels, mean and std of RGB in 0..1."""
    return timm.get_pretrained_cfg(name) or PretrainedCfg()


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
    config = made_for(name)
    mean, std = mean or config.mean, std or config.std
    _fit_stem(network, name, mean, std, size_px or config.input_size[-1])
    return folded


def from_timm(network: nn.Module, name: str, size_px: int) -> None:
    """Begin with timm's own weights, which it downloads, or has downloaded before.

    Args:
        size_px: side of the images that the network is built for; timm fits position embeddings to it.

    Raises:
        UserError: it has none for ``name``, they cannot be had here, or they do not fit.
    """
    config = made_for(name)
    if not (config.hf_hub_id or config.url):
        raise UserError(f"timm has no weights of {name!r}: pass a .safetensors file of them as student.pretrained")
    sized: dict[str, Any] = {"img_size": size_px} if config.fixed_input_size else {}
    try:
        with _quiet_download():
            theirs = timm.create_model(name, pretrained=True, num_classes=0, **sized)
    except Exception as error:  # whatever the download raises
        reason = one_line(str(error), 100)
        raise UserError(
            f"timm's weights of {name!r} cannot be had here ({reason}): pass a .safetensors file of them as "
            "student.pretrained"
        ) from error
    _load_matching(network, theirs.state_dict(), f"timm's weights of {name!r}")
    _fit_stem(network, name, config.mean, config.std, size_px)


def is_tower(network: nn.Module, tower: Any) -> bool:
    """Whether ``tower``, ``visual`` of an open_clip model, is the same timm network."""
    return hasattr(tower, "trunk") and not _differing(network.state_dict(), tower.trunk.state_dict())


def from_tower(
    network: nn.Module, head: nn.Module, tower: Any, preprocess: Mapping[str, Any], name: str, size_px: int
) -> None:
    """Begin as a teacher's image tower, which is a timm network of the same kind: it sees RGB as its teacher does.

    Args:
        network, head: the student's, changed in place; a head of one linear layer takes the tower's projection.
        tower: ``visual`` of an open_clip model; preprocess: what it was made for, ``mean`` and ``std``.
        name: of the student; size_px: side of its images.

    Raises:
        UserError: the tower is another network.
    """
    _load_matching(network, tower.trunk.state_dict() if hasattr(tower, "trunk") else {}, "the teacher's image tower")
    projection = getattr(tower.head, "proj", None)
    if (
        isinstance(head, nn.Linear)
        and isinstance(projection, nn.Linear)
        and projection.weight.shape == head.weight.shape
    ):
        with torch.no_grad():
            head.weight.copy_(projection.weight)
            head.bias.copy_(projection.bias) if projection.bias is not None else head.bias.zero_()
    _fit_stem(network, name, preprocess["mean"], preprocess["std"], size_px)


def _fit_stem(network: nn.Module, name: str, mean: Sequence[float], std: Sequence[float], size_px: int) -> None:
    """Weights just loaded, for pixels as the student feeds them, and as its first convolution reads them."""
    fold_normalisation(network, name, mean, std, size_px)
    enlarge(network)


def _load_matching(network: nn.Module, found: Mapping[str, Tensor], what: str) -> None:
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
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix != ".safetensors" or not path.is_file():
        raise UserError(f"pretrained weights {path}: an existing .safetensors file is accepted; pass one, or none")
    try:
        wanted, found = network.state_dict(), load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"pretrained weights {path} are no safetensors file ({error}): pass another, or none"
        ) from error
    if wrong := _differing(wanted, found):
        raise UserError(
            f"pretrained weights {path} do not fit {name!r}: {len(wrong)} of its {len(wanted)} tensors are missing or "
            f"of another shape (first: {wrong[0]}); pass weights of this timm model"
        )
    return {key: found[key] for key in wanted}
