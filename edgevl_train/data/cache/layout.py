"""What is in a cache's files, and opening them.

Every pair is stored as the robot's exact network input (``full``, student.size_px), and, where the recipe's
cache.size_px is larger, once more at that size (``wide``) for crops to be cut from. Depth is stored encoded: the
nearest pixel's code is the code of the nearest pixel, so crops commute with the encoding.

On disk, all arrays raw in C order: ``full_rgb.u8``, ``full_depth.u8`` (N, S, S, 3) uint8; ``wide_rgb.u8``,
``wide_depth.u8`` (N, C, C, 3) where C > S; ``stamp_ns.i64``, ``bag.i64`` (N,) int64; ``index.json``: key, pairs,
sizes_px, bags, and a checksum for each block of pairs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.camera.preprocess import Preprocess
from edgevl_train.sections import CacheSection

FORMAT = 3
INDEX = "index.json"


@dataclass(frozen=True)
class Row:
    """One pair's share of a file: dtype and shape."""

    dtype: type[np.generic]
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return np.dtype(self.dtype).itemsize * prod(self.shape)


@dataclass(frozen=True)
class Cache:
    """An open cache; see the module for the arrays. ``wide_*`` are ``full_*`` where both sizes are the same."""

    full_rgb: NDArray[np.uint8]
    full_depth: NDArray[np.uint8]
    wide_rgb: NDArray[np.uint8]
    wide_depth: NDArray[np.uint8]
    stamp_ns: NDArray[np.int64]
    bag: NDArray[np.int64]
    index: dict[str, Any]

    def __len__(self) -> int:
        return len(self.stamp_ns)

    @property
    def key(self) -> str:
        """Hex digest of the bags and of everything that decides the images."""
        return str(self.index["key"])


def input_sizes(robot: Preprocess, size_px: int) -> dict[str, Preprocess]:
    """The sizes stored, by name: "full", the robot's, and "wide" of ``size_px`` where that differs."""
    if size_px == robot.size_px:
        return {"full": robot}
    return {"full": robot, "wide": robot.model_copy(update={"size_px": size_px})}


def file_rows(sizes_px: Mapping[str, int]) -> dict[str, Row]:
    """The cache's files and what each holds of a pair."""
    images = {
        f"{size}_{kind}.u8": Row(np.uint8, (side, side, 3))
        for size, side in sizes_px.items()
        for kind in ("rgb", "depth")
    }
    return images | {name: Row(np.int64, ()) for name in ("stamp_ns.i64", "bag.i64")}


def cache_key(bag_hashes: Sequence[str], robot: Preprocess, section: CacheSection) -> str:
    """Hex digest that names the cache of these bags under these settings."""
    settings = {
        "format": FORMAT,
        "bags": list(bag_hashes),
        "preprocess": robot.model_dump(),
        "size_px": section.size_px,
        "max_skew_s": section.max_skew_s,
    }
    settings |= {name: topic for name, topic in (("rgb", section.rgb), ("depth", section.depth)) if topic}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def block_digest(buffers: Iterable[bytes | memoryview]) -> str:
    """SHA-256 of one block: the same pairs' bytes of every file, in :func:`file_rows`' order."""
    digest = hashlib.sha256()
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()


def open_cache(directory: Path, verify: bool = False) -> Cache:
    """Map a finished cache. The sizes of all files are checked; ``verify`` reads them whole for their checksums.

    Raises:
        UserError: a file is missing, or is not what the index says.
    """
    try:
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        arrays = {
            name: _map(directory / name, row, index["pairs"]) for name, row in file_rows(index["sizes_px"]).items()
        }
        if verify:
            _verify(list(arrays.values()), index["blocks"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"training cache {directory} is damaged ({error}): remove it, it is made again") from error
    full_rgb, full_depth = arrays["full_rgb.u8"], arrays["full_depth.u8"]
    return Cache(
        full_rgb,
        full_depth,
        arrays.get("wide_rgb.u8", full_rgb),
        arrays.get("wide_depth.u8", full_depth),
        np.asarray(arrays["stamp_ns.i64"]),
        np.asarray(arrays["bag.i64"]),
        index,
    )


def _map(file: Path, row: Row, pairs: int) -> NDArray[Any]:
    wanted, found = pairs * row.bytes, file.stat().st_size
    if found != wanted:
        raise ValueError(f"{file.name} holds {found} bytes, not {wanted}")
    return np.memmap(file, row.dtype, "r", shape=(pairs, *row.shape))


def _verify(arrays: Sequence[NDArray[Any]], blocks: Sequence[Mapping[str, Any]]) -> None:
    start = 0
    for block in blocks:
        stop = start + block["pairs"]
        if block_digest(array[start:stop].reshape(-1).data for array in arrays) != block["sha256"]:
            raise ValueError(f"the checksum of pairs {start} to {stop - 1} is wrong")
        start = stop
