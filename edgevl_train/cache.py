"""The training cache: bags decoded once into memory-mapped uint8 images.

Every pair is stored as the robot's exact network input (``full``, student.size_px), and, where the recipe's
cache.size_px is larger, once more at that size (``wide``) for crops to be cut from. Both go through
:func:`edgevl_core.preprocess.to_input`. Depth is stored encoded: the nearest pixel's code is the code of the
nearest pixel, so crops commute with the encoding. The true room in a bag is not looked at.

On disk, all arrays raw in C order: ``full_rgb.u8``, ``full_depth.u8`` (N, S, S, 3); ``wide_rgb.u8``,
    ``wide_depth.u8``
(N, C, C, 3) where C > S; ``stamp_ns.npy``, ``bag.npy`` (N,) int64; ``index.json``.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.atomic import atomic_directory
from edgevl_core.errors import UserError
from edgevl_core.hashing import sha256_file
from edgevl_core.pairlog.pairs import PairReader, RgbdPair, read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.streams import find_streams
from edgevl_core.preprocess import Preprocess, to_input
from edgevl_train.recipe import Recipe

FORMAT = 1
INDEX = "index.json"


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


def hash_bag(path: Path) -> str:
    """SHA-256 over the names and contents of a bag's storage files (metadata.yaml aside: it may be rewritten)."""
    path = Path(path)
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix in (".mcap", ".db3", ".zstd"))
    lines = (f"{file.name} {sha256_file(file)}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def cache_key(bag_hashes: Sequence[str], recipe: Recipe) -> str:
    """Hex digest that names the cache of these bags under this recipe."""
    settings = {
        "format": FORMAT,
        "bags": list(bag_hashes),
        "preprocess": recipe.robot_preprocess().model_dump(),
        "size_px": recipe.cache.size_px,
        "max_skew_s": recipe.cache.max_skew_s,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def build_cache(
    bags: Sequence[Path],
    directory: Path,
    recipe: Recipe,
    on_progress: Callable[[int, int, str], None] = lambda done, total, message: None,
    *,
    bag_hashes: Sequence[str] | None = None,
) -> Cache:
    """Decode all pairs of ``bags`` into ``directory``, which appears whole or not at all.

    ``index.json`` counts, per bag, the messages, the pairs made of them, and what was lost on the way.

    Args:
        on_progress: called with pairs done, pairs expected (an upper bound), and a short line.

    Raises:
        UserError: a bag cannot be read or has no pairs; ``directory`` exists.
    """
    hashes = list(bag_hashes) if bag_hashes is not None else [hash_bag(bag) for bag in bags]
    expected = [expected_pairs(bag) for bag in bags]
    full = recipe.robot_preprocess()
    sizes = {"full": full}
    if recipe.cache.size_px > full.size_px:
        sizes["wide"] = full.model_copy(update={"size_px": recipe.cache.size_px})
    stamps: list[int] = []
    bag_of: list[int] = []
    reports = []
    with atomic_directory(directory) as temporary, ExitStack() as stack:
        files = {
            f"{size}_{kind}": stack.enter_context(open(temporary / f"{size}_{kind}.u8", "wb"))
            for size in sizes
            for kind in ("rgb", "depth")
        }
        pool = stack.enter_context(ThreadPoolExecutor(recipe.cache.workers))
        for number, bag in enumerate(bags):
            first = len(stamps)
            pairs = read_pairs(bag, max_skew_s=recipe.cache.max_skew_s)
            for stamp_ns, images in _ahead(pool, lambda pair: _inputs(pair, sizes), pairs, 4 * recipe.cache.workers):
                for name, image in images.items():
                    files[name].write(image.data)
                stamps.append(stamp_ns)
                bag_of.append(number)
                on_progress(len(stamps), sum(expected), f"{Path(bag).name}: {len(stamps) - first} pairs")
            if len(stamps) == first:
                raise UserError(
                    f"{bag}: no RGB and depth images within {recipe.cache.max_skew_s} s of each other "
                    f"(of at most {expected[number]}): check the stamps, or raise cache.max_skew_s"
                )
            reports.append(_bag_report(pairs, bag, hashes[number]))
        np.save(temporary / "stamp_ns.npy", np.array(stamps, np.int64))
        np.save(temporary / "bag.npy", np.array(bag_of, np.int64))
        index = {
            "key": cache_key(hashes, recipe),
            "pairs": len(stamps),
            "sizes_px": {size: preprocess.size_px for size, preprocess in sizes.items()},
            "bags": reports,
        }
        (temporary / INDEX).write_text(json.dumps(index, indent=2, ensure_ascii=False), encoding="utf-8")
    return open_cache(directory)


def open_cache(directory: Path) -> Cache:
    """Map a finished cache.

    Raises:
        UserError: a file is missing or has another size than the index says.
    """
    try:
        index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        stamp_ns, bag = np.load(directory / "stamp_ns.npy"), np.load(directory / "bag.npy")
        arrays = {}
        for size, side in index["sizes_px"].items():
            for kind in ("rgb", "depth"):
                shape = (index["pairs"], side, side, 3)
                file = directory / f"{size}_{kind}.u8"
                if file.stat().st_size != np.prod(shape):
                    raise ValueError(f"{file.name} holds {file.stat().st_size} bytes, not {np.prod(shape)}")
                arrays[f"{size}_{kind}"] = np.memmap(file, np.uint8, "r", shape=shape)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"training cache {directory} is damaged ({error}): remove it, it is made again") from error
    wide = "wide" if "wide" in index["sizes_px"] else "full"
    return Cache(
        arrays["full_rgb"],
        arrays["full_depth"],
        arrays[f"{wide}_rgb"],
        arrays[f"{wide}_depth"],
        stamp_ns,
        bag,
        index,
    )


def _inputs(pair: RgbdPair, sizes: dict[str, Preprocess]) -> tuple[int, dict[str, NDArray[np.uint8]]]:
    images = {}
    for size, preprocess in sizes.items():
        images[f"{size}_rgb"] = to_input(pair.rgb, preprocess)
        images[f"{size}_depth"] = to_input(pair.depth_m, preprocess)
    return pair.stamp_ns, images


def _ahead(pool: ThreadPoolExecutor, work: Callable[[Any], Any], items: Iterable[Any], depth: int) -> Iterator[Any]:
    """``map(work, items)`` in order, at most ``depth`` items ahead: pool.map would read the whole bag at once."""
    waiting: deque[Future[Any]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def expected_pairs(bag: Path) -> int:
    """Upper bound of the pairs in a bag, from its index alone.

    Raises:
        UserError: it cannot be read, or has no RGB or no depth.
    """
    with BagReader(bag) as reader:
        streams = find_streams(reader)
        return min(reader.topics[streams.rgb].count, reader.topics[streams.depth].count)


def _bag_report(pairs: PairReader, bag: Path, digest: str) -> dict[str, Any]:
    dropped = {reason: count for reason, count in pairs.stats.items() if reason != "pairs"}
    return {
        "name": Path(bag).name,
        "sha256": digest,
        "pairs": pairs.stats["pairs"],
        "dropped": dropped,
        "losses": pairs.losses,
    }
