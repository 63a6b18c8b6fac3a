"""A teacher's checkpoint file: which one, what it says of itself, into the model."""

import argparse
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import numpy as np
import open_clip
import torch
from safetensors.torch import save_file

from edgevl_core.base.errors import UserError

WEIGHTS_FILE = "open_clip_model.safetensors"
LFS_POINTER = b"version https://git-lfs"
MAX_SAFETENSORS_HEADER = 100_000_000  # the library's own limit
# Numbers and a mask that a TorchScript archive keeps beside the weights.
NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask")


def find_weights(spec: str, place: Path) -> Path:
    """The checkpoint at ``place``, a file or a directory that holds one.

    Raises:
        UserError: none or several; a Git LFS pointer in its place.
    """
    file = _weights_in(spec, place) if place.is_dir() else place
    with file.open("rb") as stream:
        if stream.read(len(LFS_POINTER)) == LFS_POINTER:
            raise UserError(
                f"teacher {spec!r}: {file.name} is a Git LFS pointer, not the weights: `git lfs pull` gets them"
            )
    return file


def damage(file: Path) -> str:
    """What a file is that should be a checkpoint and is none, in words; "" where its form is whole."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(1 << 10)
    if not start.strip(b"\0"):
        return f"it is empty ({size} bytes, nothing but zeros): download it again"
    if start.lstrip()[:1] == b"<":
        return "it is a web page, not the weights: a download that failed; open its address in a browser to see why"
    if start[:4] == b"PK\3\4" and not zipfile.is_zipfile(file):
        return f"its end is missing after {size} bytes, as of half a download: download it again"
    if file.suffix == ".safetensors":
        return _safetensors_damage(file, size)
    if start[:4] != b"PK\3\4" and start[:1] != b"\x80":
        return "it is no checkpoint: neither torch's archive nor a pickle; name the file that holds the weights"
    return ""


def _safetensors_damage(file: Path, size: int) -> str:
    """The first 8 bytes are the length of the JSON header, which tells where each tensor ends."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > MAX_SAFETENSORS_HEADER:
            return "it is no safetensors file: name it by what it is (.pt, .bin), or download it again"
        try:
            header = json.loads(stream.read(length))
            whole = 8 + length + max(int(tensor["data_offsets"][1]) for tensor in header.values() if "dtype" in tensor)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return f"its header is damaged or cut off ({size} bytes): download it again"
    return f"it has {size} of {whole} bytes, half a download: download it again" if size < whole else ""


def says_quick_gelu(file: Path) -> bool | None:
    """The activation that the code in a TorchScript archive names, as OpenAI published CLIP; None: the file has none.

    Both at once, or neither, is None as well.
    """
    code = _archived_code(file)
    quick = re.search(r"\bclass QuickGELU\b|\b1\.702\b", code) is not None
    plain = re.search(r"\bclass GELU\b|\btorch\.gelu\(", code) is not None
    return quick if quick != plain else None


def load_weights(model: torch.nn.Module, file: Path) -> None:
    """Fill the model; raises what open_clip raises where the file does not fit.

    A checkpoint is never unpickled freely: of classes it may hold tensors, numpy's scalars and argparse's Namespace,
    which training scripts leave in it.
    """
    scalar: list[type] = [np.dtype, type(np.dtype(np.float64)), type(np.dtype(np.float32)), type(np.dtype(np.int64))]
    with torch.serialization.safe_globals([argparse.Namespace, _numpy_scalar(), *scalar]), _plain(file) as plain:
        open_clip.load_checkpoint(model, str(plain))


@contextmanager
def _plain(file: Path) -> Iterator[Path]:
    """The file itself, or what a TorchScript archive holds, which open_clip does not read, as a temporary file."""
    if not _archived_code(file):
        yield file
        return
    state = torch.jit.load(str(file), map_location="cpu").state_dict()
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / WEIGHTS_FILE
        save_file({key: value.contiguous().clone() for key, value in state.items() if key not in NO_WEIGHTS}, copy)
        del state
        yield copy


def _archived_code(file: Path) -> str:
    """The sources in a TorchScript archive; "" for any other file."""
    if not zipfile.is_zipfile(file):
        return ""
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if re.search(r"(^|/)code/.*\.py$", name)]
        return "\n".join(archive.read(name).decode("utf-8", "replace") for name in names)


def _numpy_scalar() -> Any:
    return np.float64(0).__reduce__()[0]


def _weights_in(spec: str, directory: Path) -> Path:
    found = sorted(file for suffix in ("safetensors", "pt", "pth", "bin") for file in directory.glob(f"*.{suffix}"))
    preferred = [file for file in found if file.name == WEIGHTS_FILE] or found
    if len(preferred) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise UserError(f"teacher {spec!r}: {directory} holds {len(found)} weight files ({names}); name one of them")
    return preferred[0]
