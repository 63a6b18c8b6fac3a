"""Bags into a cache: room on the disk is checked, blocks are decoded, appended, and the index is written."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.pairlog.disk import free_bytes
from edgevl_core.pairlog.pairs import expected_pairs
from edgevl_train.data.cache.bags import hash_bag
from edgevl_train.data.cache.decode import Bag, bag_blocks
from edgevl_train.data.cache.layout import INDEX, Cache, Row, cache_key, file_rows, input_sizes, open_cache
from edgevl_train.data.cache.parts import Parts, joined
from edgevl_train.sections import CacheSection
from edgevl_train.sharing import alone, among

Blocks = Callable[[Bag, Sequence[Mapping[str, Any]]], Iterator[tuple[dict[str, NDArray[Any]], dict[str, Any]]]]


def build_cache(
    bags: Sequence[Path],
    directory: Path,
    robot: Preprocess,
    section: CacheSection,
    on_progress: Callable[[int, int, str], None] = lambda done, total, message: None,
    *,
    bag_hashes: Sequence[str] | None = None,
    free: Callable[[Path], int] = free_bytes,
    fabric: Fabric | None = None,
) -> Cache:
    """Decode all pairs of ``bags`` into ``directory``, which appears whole or not at all.

    A build that was cut off leaves its blocks beside it and goes on after them; the result is the same to the byte.
    ``index.json`` counts, per bag, the messages, the pairs made of them, what was lost on the way, and lists the pairs
    with an image that cannot be decoded.

    Several processes build a cache of each bag, the n-th of W every W-th bag, which the first one then joins to the
    cache that one process would have made. Until that has been done it takes twice the room.

    Args:
        robot: the student's preprocessing.
        on_progress: called with pairs done, pairs expected (an upper bound), and a short line.
        free: bytes free on the disk of a path.
        fabric: where several processes share the work, in one directory.

    Raises:
        UserError: a bag cannot be read, has no pairs or too many broken ones; the disk is too small; ``directory``
            exists.
    """
    hashes = list(bag_hashes) if bag_hashes is not None else [hash_bag(bag) for bag in bags]
    todo = [Bag(i, Path(bag), hashes[i], expected_pairs(bag, section.pairs)) for i, bag in enumerate(bags)]
    sizes = input_sizes(robot, section.size_px)
    key, share = cache_key(hashes, robot, section), among(fabric)
    workers = section.workers or len(os.sched_getaffinity(0))
    folder = directory.with_name(f".{directory.name}.bags")

    def decoded(pool: ThreadPoolExecutor) -> Blocks:
        return lambda bag, done: bag_blocks(bag, done, section.pairs, sizes, pool)

    def build(some: Sequence[Bag], into: Path) -> None:
        with ThreadPoolExecutor(workers) as pool:
            _build(some, into, key, sizes, decoded(pool), on_progress, free)

    def build_one(bag: Bag) -> None:
        part = folder / str(bag.number)
        if (part / INDEX).exists():
            if open_cache(part).key == key:
                return
            shutil.rmtree(part)
        build([bag], part)

    def join(_: None) -> None:
        _build(todo, directory, key, sizes, lambda bag, done: joined(folder / str(bag.number), done), on_progress, free)

    if share is alone:
        build(todo, directory)
    else:
        share(todo, build_one)
        share([None], join)
    shutil.rmtree(folder, ignore_errors=True)
    return open_cache(directory)


def _build(
    bags: Sequence[Bag],
    directory: Path,
    key: str,
    sizes: Mapping[str, Preprocess],
    blocks: Blocks,
    on_progress: Callable[[int, int, str], None],
    free: Callable[[Path], int],
) -> None:
    """A cache of the blocks of ``bags``, or what is missing of it."""
    sizes_px = {size: preprocess.size_px for size, preprocess in sizes.items()}
    total, rows = sum(bag.expected for bag in bags), file_rows(sizes_px)
    with Parts(directory, key, rows) as parts:
        needed = _bytes_to_come(parts, bags, rows)
        if needed > free(parts.staging):
            raise _no_room(directory, needed, free(parts.staging))
        try:
            for bag in bags:
                for arrays, line in blocks(bag, parts.of_bag(bag.number)):
                    parts.append(arrays, line)
                    on_progress(len(parts), total, f"{bag.path.name}: {_stored(parts, bag)} pairs")
            parts.finish(
                {
                    "key": key,
                    "pairs": len(parts),
                    "sizes_px": sizes_px,
                    "bags": [parts.of_bag(bag.number)[-1]["report"] for bag in bags],
                    "blocks": [{"pairs": block["pairs"], "sha256": block["sha256"]} for block in parts.blocks],
                }
            )
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _no_room(directory, _bytes_to_come(parts, bags, rows), free(parts.staging)) from error


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
