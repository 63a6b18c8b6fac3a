"""Bags into a cache: room on the disk is checked, blocks are decoded, appended, and the index is written."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgevl_core.base.errors import UserError
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.pairlog.disk import free_bytes
from edgevl_core.pairlog.pairs import expected_pairs
from edgevl_train.data.cache.bags import hash_bag
from edgevl_train.data.cache.decode import Bag, bag_blocks
from edgevl_train.data.cache.layout import Cache, Row, cache_key, file_rows, input_sizes, open_cache
from edgevl_train.data.cache.parts import Parts
from edgevl_train.sections import CacheSection


def build_cache(
    bags: Sequence[Path],
    directory: Path,
    robot: Preprocess,
    section: CacheSection,
    on_progress: Callable[[int, int, str], None] = lambda done, total, message: None,
    *,
    bag_hashes: Sequence[str] | None = None,
    free: Callable[[Path], int] = free_bytes,
) -> Cache:
    """Decode all pairs of ``bags`` into ``directory``, which appears whole or not at all.

    A build that was cut off leaves its blocks beside it and goes on after them; the result is the same to the byte.
    ``index.json`` counts, per bag, the messages, the pairs made of them, what was lost on the way, and lists the pairs
    with an image that cannot be decoded.

    Args:
        robot: the student's preprocessing.
        on_progress: called with pairs done, pairs expected (an upper bound), and a short line.
        free: bytes free on the disk of a path.

    Raises:
        UserError: a bag cannot be read, has no pairs or too many broken ones; the disk is too small; ``directory``
            exists.
    """
    hashes = list(bag_hashes) if bag_hashes is not None else [hash_bag(bag) for bag in bags]
    todo = [Bag(i, Path(bag), hashes[i], expected_pairs(bag, section.pairs)) for i, bag in enumerate(bags)]
    total = sum(bag.expected for bag in todo)
    sizes = input_sizes(robot, section.size_px)
    sizes_px = {size: preprocess.size_px for size, preprocess in sizes.items()}
    key, rows = cache_key(hashes, robot, section), file_rows(sizes_px)
    workers = section.workers or len(os.sched_getaffinity(0))
    with Parts(directory, key, rows) as parts:
        needed = _bytes_to_come(parts, todo, rows)
        if needed > free(parts.staging):
            raise _no_room(directory, needed, free(parts.staging))
        try:
            with ThreadPoolExecutor(workers) as pool:
                for bag in todo:
                    for arrays, line in bag_blocks(bag, parts.of_bag(bag.number), section.pairs, sizes, pool):
                        parts.append(arrays, line)
                        on_progress(len(parts), total, f"{bag.path.name}: {_stored(parts, bag)} pairs")
            parts.finish(
                {
                    "key": key,
                    "pairs": len(parts),
                    "sizes_px": sizes_px,
                    "bags": [parts.of_bag(bag.number)[-1]["report"] for bag in todo],
                    "blocks": [{"pairs": block["pairs"], "sha256": block["sha256"]} for block in parts.blocks],
                }
            )
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _no_room(directory, _bytes_to_come(parts, todo, rows), free(parts.staging)) from error
    return open_cache(directory)


def _stored(parts: Parts, bag: Bag) -> int:
    return sum(block["pairs"] for block in parts.of_bag(bag.number))


def _bytes_to_come(parts: Parts, todo: Sequence[Bag], rows: Mapping[str, Row]) -> int:
    """Upper bound of what is still to be written."""
    pairs = 0
    for bag in todo:
        done = parts.of_bag(bag.number)
        if not (done and done[-1]["report"]):
            pairs += bag.expected - sum(block["recorded"] for block in done)
    return pairs * sum(row.bytes for row in rows.values())


def _no_room(directory: Path, needed: int, free: int) -> UserError:
    return UserError(
        f"training cache {directory}: {needed} bytes more are needed ({needed / 1e9:.3g} GB), {free} are free "
        f"({free / 1e9:.3g} GB): free some space, or lower cache.size_px; what is done so far is kept"
    )
