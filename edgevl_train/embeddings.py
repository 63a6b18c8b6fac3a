"""The teacher's embeddings of every view of every pair, computed once and mapped from disk."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgevl_core.atomic import atomic_write
from edgevl_train.cache import Cache
from edgevl_train.teacher import Teacher, teacher_key
from edgevl_train.views import Views, crop

SAVE_EVERY = 20  # batches


def embed_views(
    teacher: Teacher,
    cache: Cache,
    views: Views,
    directory: Path,
    on_progress: Callable[[int, int, str], None] = lambda done, total, message: None,
    *,
    only_full: NDArray[np.int64] | None = None,
) -> NDArray[np.float16]:
    """Embed the RGB of all views, or go on where an earlier call was cut off.

    The file is keyed by teacher, weights, data and views; a file with another key is made anew. Crops are cut
    from the cache at its own resolution and then resized to the teacher's (antialiased). The teacher
    sees the whole frame squashed to a square, where CLIP's own transform would cut off its sides: what lies there is in
    the student's image too.

    Args:
        directory: where ``teacher_embeddings.f16`` and ``teacher_embeddings.json`` live.
        only_full: rows of which only view 0 is needed (validation); their other views are left zero.

    Returns:
        (K, N, D) float16, memory-mapped, read-only; L2-normalised up to rounding.
    """
    data, meta = directory / "teacher_embeddings.f16", directory / "teacher_embeddings.json"
    shape = (views.count, len(cache), teacher.embed_dim)
    full_rows = np.zeros(0, np.int64) if only_full is None else np.asarray(only_full, np.int64)
    parts = (teacher_key(teacher), cache.key, views.key, hashlib.sha256(full_rows.tobytes()).hexdigest())
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    cropped = np.setdiff1d(np.arange(len(cache)), full_rows)
    jobs = [
        (view, rows[start : start + teacher.batch])
        for view in range(views.count)
        for rows in [np.arange(len(cache)) if view == 0 else cropped]
        for start in range(0, len(rows), teacher.batch)
    ]
    done = _done(meta, key, data, shape)
    out = np.memmap(data, np.float16, "r+" if done else "w+", shape=shape)

    def save(finished: int) -> None:
        out.flush()
        content = {
            "key": key,
            "shape": shape,
            "teacher": teacher.id,
            "batches_done": finished,
            "batches": len(jobs),
        }
        atomic_write(meta, json.dumps(content).encode())

    for number in range(done, len(jobs)):
        view, rows = jobs[number]
        images = torch.from_numpy(cache.wide_rgb[rows])
        if view == 0:
            pixels = images.permute(0, 3, 1, 2)
        else:
            boxes, flips = (
                torch.from_numpy(views.boxes[view, rows]),
                torch.from_numpy(views.flips[view, rows]),
            )
            pixels = crop(images, boxes, flips, images.shape[1], nearest=False)
        out[view, rows] = teacher.encode_pixels(pixels).numpy().astype(np.float16)
        on_progress(number + 1, len(jobs), f"view {view + 1} of {views.count}")
        if (number + 1) % SAVE_EVERY == 0 or number + 1 == len(jobs):
            save(number + 1)
    return np.memmap(data, np.float16, "r", shape=shape)


def _done(meta: Path, key: str, data: Path, shape: tuple[int, ...]) -> int:
    """Batches that an earlier run has finished, 0 where its file is of something else."""
    if not meta.exists() or not data.exists():
        return 0
    content = json.loads(meta.read_text())
    same = content["key"] == key and data.stat().st_size == 2 * np.prod(shape)
    return int(content["batches_done"]) if same else 0
