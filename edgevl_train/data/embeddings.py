"""The embeddings that a student learns by, of every view of every pair, computed once and mapped from disk."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from edgevl_core.base.atomic import FULL, atomic_write
from edgevl_core.base.errors import UserError
from edgevl_train.data.cache import Cache
from edgevl_train.data.run_data import view_pixels
from edgevl_train.data.views import Views, crop
from edgevl_train.teacher.model import Teacher, as_noted_by_earlier, teacher_key

SAVE_EVERY = 20  # batches
EMBEDDINGS = "teacher_embeddings"


@dataclass(frozen=True)
class Shown:
    """One view of some pairs, for whoever embeds it: ``rows`` (B,) int64, of view number ``view``."""

    cache: Cache
    views: Views
    view: int
    rows: NDArray[np.int64]

    def rgb(self, device: torch.device | str = "cpu") -> Tensor:
        """(B, 3, C, C): the whole frames (view 0, uint8), or their crops, float32, at the cache's size."""
        images = torch.from_numpy(self.cache.wide_rgb[self.rows]).to(device)
        if self.view == 0:
            return images.permute(0, 3, 1, 2)
        drawn = (self.views.boxes[self.view, self.rows], self.views.flips[self.view, self.rows])
        boxes, flips = (torch.from_numpy(each).to(device) for each in drawn)
        return crop(images, boxes, flips, images.shape[1], nearest=False)

    def inputs(self, size_px: int) -> tuple[Tensor, Tensor]:
        """RGB and encoded depth as a student of that size is shown them: twice (B, 3, S, S) uint8."""
        rgb, depth = view_pixels(self.cache, self.views, self.rows, np.full(len(self.rows), self.view), size_px)
        return rgb.to(torch.uint8), depth.to(torch.uint8)


@dataclass(frozen=True)
class Encoding:
    """What is kept of a view: the files' name, how many numbers, and how they are made.

    Attributes:
        encode: -> (B, width), on the CPU.
        by: hex digest of whoever answers in the teacher's place; "" where it answers itself.
    """

    stem: str
    width: int
    encode: Callable[[Shown], Tensor]
    by: str = ""


def embed_views(
    teacher: Teacher,
    cache: Cache,
    views: Views,
    directory: Path,
    on_progress: Callable[[int, int, str], None] = lambda done, total, message: None,
    *,
    only_full: NDArray[np.int64] | None = None,
    fabric: Fabric | None = None,
) -> NDArray[np.float16]:
    """Embed the RGB of all views, or go on where an earlier call was cut off.

    The files are keyed by teacher, weights, data and views; those with another key are made anew. Which
    embedding is done is kept for each one, so that any number of processes may go on with them. Crops are cut
    from the cache at its own resolution and then resized to the teacher's (antialiased); of the whole frame the teacher
    sees what :meth:`Teacher.encode_image` shows it.

    Args:
        directory: where ``teacher_embeddings.f16``, ``.done`` (a byte each) and ``.json`` live.
        only_full: rows of which only view 0 is needed (validation); their other views are left zero.
        fabric: where several processes share the work, in one directory.

    Returns:
        (K, N, D) float16, memory-mapped, read-only; L2-normalised up to rounding.

    Raises:
        UserError: the disk is full; the files hold embeddings of another dimension.
    """
    encoding = Encoding(EMBEDDINGS, teacher.embed_dim, lambda shown: teacher.encode_pixels(shown.rgb(teacher.device)))
    return store_views(encoding, teacher, cache, views, directory, on_progress, only_full, fabric)


def store_views(
    encoding: Encoding,
    teacher: Teacher,
    cache: Cache,
    views: Views,
    directory: Path,
    on_progress: Callable[[int, int, str], None],
    only_full: NDArray[np.int64] | None,
    fabric: Fabric | None,
) -> NDArray[np.float16]:
    """(K, N, width) float16 of all views, as :func:`embed_views` says."""
    shape = (views.count, len(cache), encoding.width)
    full_rows = np.zeros(0, np.int64) if only_full is None else np.asarray(only_full, np.int64)
    key = _key(teacher, cache, views, full_rows, encoding.by)
    data, marks, meta = _files(directory, encoding.stem)
    rank, processes = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
    if rank == 0:
        content = {"key": key, "shape": shape, "teacher": teacher.id, "by": encoding.by}
        _prepare((data, marks, meta), content | {"only_full": full_rows.tolist()})
    _wait(fabric)
    wanted = np.ones(shape[:2], bool)
    wanted[1:, full_rows] = False
    missing = wanted & (np.fromfile(marks, np.uint8).reshape(shape[:2]) == 0)
    _wait(fabric)  # all have read what is missing before the first one changes it
    jobs = _batches(missing, teacher.batch)
    total = max(len(_batches(wanted, teacher.batch)), len(jobs))
    with _Writer(data, marks, shape) as writer:
        for number, (view, rows) in enumerate(jobs[rank::processes], 1):
            writer.write(view, rows, encoding.encode(Shown(cache, views, view, rows)).numpy())
            finished = total - len(jobs) + min(number * processes, len(jobs))
            on_progress(finished, total, f"view {view + 1} of {views.count}")
    _wait(fabric)
    return np.memmap(data, np.float16, "r", shape=shape)


def open_embeddings(
    directory: Path, teacher: Teacher, cache: Cache, views: Views
) -> tuple[NDArray[np.float16], NDArray[np.int64], NDArray[np.int64]]:
    """What an earlier run has left.

    Returns:
        (K, N, D) float16, memory-mapped, read-only; rows of which all views are there (its training pairs, and those
        that its split left out beside validation); rows of which view 0 alone is (its validation pairs).

    Raises:
        UserError: there is nothing, it is not finished, or it is of other pairs, views or another teacher.
    """
    shape = (views.count, len(cache), teacher.embed_dim)
    data, marks, meta = _files(directory, EMBEDDINGS)
    try:
        done = np.fromfile(marks, np.uint8).reshape(shape[:2]) > 0
        content = json.loads(meta.read_text())
        key, first = content["key"], np.array(content["only_full"], np.int64)
        whole = np.setdiff1d(np.flatnonzero(done.all(0)), first)
        models = as_noted_by_earlier(teacher)
        if (
            len(whole) + len(first) < len(cache)
            or not done[0].all()
            or key not in [_key(model, cache, views, first, content.get("by", "")) for model in models]
        ):
            raise ValueError("not finished, or of another teacher, other pairs or other views")
        return np.memmap(data, np.float16, "r", shape=shape), whole, first
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"teacher's embeddings in {directory} cannot be used again: {error}") from error


def _files(directory: Path, stem: str) -> tuple[Path, Path, Path]:
    """Embeddings, marks of what is done, and what they are of."""
    data, marks, meta = (directory / f"{stem}.{ending}" for ending in ("f16", "done", "json"))
    return data, marks, meta


def _key(teacher: Teacher, cache: Cache, views: Views, only_full: NDArray[np.int64], by: str) -> str:
    parts = [teacher_key(teacher), cache.key, views.key, hashlib.sha256(only_full.tobytes()).hexdigest()]
    parts += [by] if by else []
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class _Writer:
    """Writes embeddings and ticks them off, at the latest when the block ends, whatever ends it.

    Not through memory maps: two machines that share a page over a network disk would undo each other's rows.
    """

    def __init__(self, data: Path, marks: Path, shape: tuple[int, int, int]) -> None:
        self._paths, self._shape = (data, marks), shape
        self._pending: list[tuple[int, NDArray[np.int64]]] = []

    def __enter__(self) -> "_Writer":
        self._data, self._marks = (os.open(path, os.O_WRONLY) for path in self._paths)
        return self

    def __exit__(self, *error: object) -> None:
        self._save()
        os.close(self._data)
        os.close(self._marks)

    def write(self, view: int, rows: NDArray[np.int64], embeddings: NDArray[np.float32]) -> None:
        """``embeddings`` (B, D) of one view of ``rows``."""
        _, pairs, dim = self._shape
        for row, embedding in zip(rows.tolist(), embeddings.astype(np.float16), strict=True):
            os.pwrite(self._data, embedding.tobytes(), 2 * dim * (view * pairs + row))
        self._pending.append((view, rows))
        if len(self._pending) == SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        os.fsync(self._data)
        for view, rows in self._pending:
            for row in rows.tolist():
                os.pwrite(self._marks, b"\1", view * self._shape[1] + row)
        self._pending = []


def _batches(missing: NDArray[np.bool_], batch: int) -> list[tuple[int, NDArray[np.int64]]]:
    """(view, rows) of what is missing, (K, N) bool, in batches of one view each."""
    rows_of = [np.flatnonzero(row) for row in missing]
    return [
        (view, rows[start : start + batch]) for view, rows in enumerate(rows_of) for start in range(0, len(rows), batch)
    ]


def _wait(fabric: Fabric | None) -> None:
    if fabric is not None:
        fabric.barrier()


def _prepare(files: tuple[Path, Path, Path], content: Mapping[str, Any]) -> None:
    """Make the files, with all the room they need, unless an earlier run of the same ``content`` has."""
    data, marks, meta = files
    shape = content["shape"]
    sizes = {data: 2 * int(np.prod(shape)), marks: shape[0] * shape[1]}
    if (theirs := _made_before(meta)) is not None:
        key, dim = theirs
        whole = all(file.exists() and file.stat().st_size == size for file, size in sizes.items())
        if whole and key == content["key"]:
            return
        if dim != shape[2]:
            raise UserError(
                f"{data} holds embeddings of {dim} dimensions, teacher {content['teacher']} makes {shape[2]}: they are "
                "of another teacher; name that one, or choose a new --out"
            )
    meta.unlink(missing_ok=True)  # first: without it the files count for nothing
    for file, size in sizes.items():
        _reserve(file, size)
    atomic_write(meta, json.dumps(content).encode())


def _made_before(meta: Path) -> tuple[str, int] | None:
    """Key and dimensions of what an earlier run has left; None of nothing, or of a damaged file: it is made again."""
    try:
        content = json.loads(meta.read_text())
        return content["key"], content["shape"][2]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _reserve(file: Path, size: int) -> None:
    """A file of zeros that has all its blocks: a full disk is found out now, not after hours."""
    try:
        with file.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:
        file.unlink(missing_ok=True)
        if error.errno not in FULL:
            raise
        raise UserError(
            f"{file} needs {size / 2**20:.1f} MiB, which the disk does not have ({error.strerror}): make room, choose "
            "another --out, or lower views.count"
        ) from error
