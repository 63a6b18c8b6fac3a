"""How fast pairs are read at random from a training cache at 224 px, as an epoch reads them; run by ``make bench``.

The cache holds noise and has just been written, so that it lies in memory where that is large enough. RGB and depth of
one size are read in batches of 64, each batch from anywhere.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from edgevl_train.data.cache import Cache, open_cache
from edgevl_train.data.cache.layout import file_rows
from edgevl_train.data.cache.parts import Parts

SIZE_PX, PAIRS, BATCH, ROUNDS = 224, 2048, 64, 7
WANTED_PAIRS_S = 2500


def write_cache(directory: Path) -> Cache:
    """``PAIRS`` pairs of noise."""
    rng, files = np.random.default_rng(0), file_rows({"full": SIZE_PX})
    with Parts(directory, "noise", files) as parts:
        for number in range(PAIRS // 128):
            arrays = {name: rng.integers(0, 255, (128, *row.shape), row.dtype) for name, row in files.items()}
            parts.append(arrays, {"bag": number})
        blocks = [{"pairs": block["pairs"], "sha256": block["sha256"]} for block in parts.blocks]
        parts.finish({"key": "noise", "pairs": PAIRS, "sizes_px": {"full": SIZE_PX}, "bags": [], "blocks": blocks})
    return open_cache(directory)


def read_epoch(cache: Cache, order: np.ndarray) -> float:
    """Seconds to read both images of every pair, in this order."""
    start = time.perf_counter()
    for first in range(0, len(order), BATCH):
        rows = order[first : first + BATCH]
        _ = cache.wide_rgb[rows], cache.wide_depth[rows]
    return time.perf_counter() - start


def main() -> None:
    """Print the median of several epochs."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        cache = write_cache(Path(folder) / "cache")
        written_s = time.perf_counter() - start
        start = time.perf_counter()
        open_cache(Path(folder) / "cache", verify=True)
        verified_s = time.perf_counter() - start
        seconds = [read_epoch(cache, rng.permutation(PAIRS)) for _ in range(ROUNDS)]
    pairs_s = PAIRS / statistics.median(seconds)
    megabytes = 2 * SIZE_PX**2 * 3 / 1e6
    print(
        f"cache at {SIZE_PX} px, {PAIRS} pairs of {megabytes:.3f} MB: random reading {pairs_s:.0f} pairs/s "
        f"({pairs_s * megabytes:.0f} MB/s), median of {ROUNDS}, slowest {PAIRS / max(seconds):.0f}, "
        f"{WANTED_PAIRS_S} wanted"
    )
    print(f"writing {PAIRS / written_s:.0f} pairs/s, verifying all checksums {PAIRS / verified_s:.0f} pairs/s")


if __name__ == "__main__":
    main()
