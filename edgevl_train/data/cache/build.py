"""Bags into a cache: room on the disk is checked, blocks are decoded, appended, and the index is written."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lightning_fabric import Fabric

from edgevl_core.base.atomic import FULL
from edgevl_core.base.errors import UserError
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.pairlog.disk import free_bytes
from edgevl_core.pairlog.pairs import expected_pairs
from edgevl_train.data.cache.bags import hash_bag
from edgevl_train.data.cache.decode import Bag, bag_blocks
from edgevl_train.data.cache.joining import join
from edgevl_train.data.cache.layout import INDEX, Cache, Row, cache_key, file_rows, input_sizes, open_cache
from edgevl_train.data.cache.parts import Parts
from edgevl_train.sections import CacheSection
from edgevl_train.sharing import alone, among


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

    Several processes build a cache of each bag, the n-th of W every W-th bag, and join them to the cache that one
    process would have made. Until that has been done it takes twice the room.

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
    sizes_px = {size: preprocess.size_px for size, preprocess in sizes.items()}
    key = cache_key(hashes, robot, section)
    workers = section.workers or len(os.sched_getaffinity(0))
    folder = directory.with_name(f".{directory.name}.bags")

    def build(some: Sequence[Bag], into: Path) -> None:
        total, rows = sum(bag.expected for bag in some), file_rows(sizes_px)
        with Parts(into, key, rows) as parts:
            needed = _bytes_to_come(parts, some, rows)
            if needed > free(parts.staging):
                raise _no_room(directory, needed, free(parts.staging))
            try:
                with ThreadPoolExecutor(workers) as pool:
                    for bag in some:
                        for arrays, line in bag_blocks(bag, parts.of_bag(bag.number), section.pairs, sizes, pool):
                            parts.append(arrays, line)
                            on_progress(len(parts), total, f"{bag.path.name}: {_stored(parts, bag)} pairs")
                parts.finish(
                    {
                        "key": key,
                        "pairs": len(parts),
                        "sizes_px": sizes_px,
                        "bags": [parts.of_bag(bag.number)[-1]["report"] for bag in some],
                        "blocks": [{"pairs": block["pairs"], "sha256": block["sha256"]} for block in parts.blocks],
                    }
                )
            except OSError as error:
                if error.errno not in FULL:
                    raise
                raise _no_room(directory, _bytes_to_come(parts, some, rows), free(parts.staging)) from error

    def build_one(bag: Bag) -> None:
        part = folder / str(bag.number)
        if (part / INDEX).exists() and open_cache(part).key != key:
            shutil.rmtree(part)
        if not part.exists():
            build([bag], part)

    share = among(fabric)
    if share is alone:
        build(todo, directory)
    else:
        share(todo, build_one)
        needed = sum(file.stat().st_size for file in folder.rglob("*"))
        if needed > free(folder):
            raise _no_room(directory, needed, free(folder))
        join([folder / str(bag.number) for bag in todo], directory, share)
    shutil.rmtree(folder, ignore_errors=True)
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
