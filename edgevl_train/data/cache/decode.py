"""One bag, decoded in blocks of pairs by threads: OpenCV decodes and resizes without Python's lock.

Reading a bag takes about a tenth of the time of decoding it, so that one thread reads for all. Images go through
:func:`edgevl_core.camera.preprocess.to_input`. The true room in a bag is not looked at.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.preprocess import Preprocess, to_input
from edgevl_core.pairlog.pairs import PairReader, PairSettings, RecordedPair, UnreadableImage
from edgevl_core.pairlog.readable import check_readable
from edgevl_train.data.cache.layout import file_rows

BLOCK_PAIRS = 128  # 90 MB at 224 and 256 px: held in memory, and the most that a crash costs
AHEAD_PAIRS = 64  # read before they are decoded


@dataclass(frozen=True)
class Bag:
    """One bag of a cache; ``expected``: upper bound of its pairs."""

    number: int
    path: Path
    sha256: str
    expected: int


def bag_blocks(
    bag: Bag,
    done: Sequence[Mapping[str, Any]],
    settings: PairSettings,
    sizes: Mapping[str, Preprocess],
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[dict[str, NDArray[Any]], dict[str, Any]]]:
    """Arrays by file name, and journal line (see :class:`Parts`), of the blocks that are not among ``done``.

    Raises:
        UserError: the bag has no pairs, or too many of them are broken.
    """
    if done and done[-1]["report"]:
        return
    gone, stored = (sum(block[count] for block in done) for count in ("recorded", "pairs"))
    faults = [fault for block in done for fault in block["unreadable"]]
    pairs = settings.read(bag.path)
    results = _ahead(pool, lambda pair: _decode(pair, bag.number, sizes), islice(pairs.recorded(), gone, None))
    ended = False
    while not ended:
        block = list(islice(results, BLOCK_PAIRS))
        good, broken = [row for row in block if "reason" not in row], [row for row in block if "reason" in row]
        ended = len(block) < BLOCK_PAIRS
        gone, stored, faults = gone + len(block), stored + len(good), faults + broken
        if ended and not gone:
            raise pairs.no_pairs()
        check_readable(pairs, [fault["reason"] for fault in faults], gone, gone if ended else bag.expected)
        yield (
            _arrays(good, sizes),
            {
                "bag": bag.number,
                "recorded": len(block),
                "unreadable": broken,
                "report": _report(bag, stored, faults, pairs) if ended else None,
            },
        )


def _decode(pair: RecordedPair, bag: int, sizes: Mapping[str, Preprocess]) -> dict[str, Any]:
    """The pair's row: an image or number by file name; ``stamp_ns`` and ``reason`` where it is broken."""
    try:
        images = pair.decode()
    except UnreadableImage as fault:
        return {"stamp_ns": pair.stamp_ns, "reason": str(fault)}
    row: dict[str, Any] = {"stamp_ns.i64": pair.stamp_ns, "bag.i64": bag}
    for size, preprocess in sizes.items():
        row[f"{size}_rgb.u8"] = to_input(images.rgb, preprocess)
        row[f"{size}_depth.u8"] = to_input(images.depth, preprocess)
    return row


def _arrays(good: Sequence[Mapping[str, Any]], sizes: Mapping[str, Preprocess]) -> dict[str, NDArray[Any]]:
    files = file_rows({size: preprocess.size_px for size, preprocess in sizes.items()})
    return {
        name: np.array([row[name] for row in good], file.dtype).reshape(-1, *file.shape) for name, file in files.items()
    }


def _ahead(pool: ThreadPoolExecutor, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """``map(work, items)`` in order, a bounded number of items ahead: pool.map would read the whole bag at once."""
    waiting: deque[Future[Any]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= AHEAD_PAIRS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _report(bag: Bag, stored: int, faults: Sequence[Mapping[str, Any]], pairs: PairReader) -> dict[str, Any]:
    broken = Counter(f"{fault['reason'].partition(':')[0]} unreadable" for fault in faults)
    return {
        "name": bag.path.name,
        "sha256": bag.sha256,
        "pairs": stored,
        "registered": str(pairs.registration),
        "dropped": dict(pairs.stats + broken),
        "unreadable": list(faults),
        "losses": list(pairs.losses),
    }
