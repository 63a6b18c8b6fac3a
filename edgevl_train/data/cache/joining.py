"""One cache of the caches of its bags, which several processes have made: each copies what it made to its place."""

import json
import os
import shutil
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from edgevl_train.data.cache.layout import INDEX, file_rows
from edgevl_train.data.cache.parts import publish
from edgevl_train.sharing import Share

_CHUNK = 1 << 24


def join(parts: Sequence[Path], directory: Path, share: Share) -> None:
    """Make ``directory`` of the finished caches ``parts``, a bag each: the same bytes as one process would have made.

    Not through memory maps: two machines that share a page over a network disk would undo each other's rows.
    """
    indices: list[dict[str, Any]] = [json.loads((part / INDEX).read_text(encoding="utf-8")) for part in parts]
    first, *_ = indices
    starts = [0, *accumulate(index["pairs"] for index in indices)]
    rows, staging = file_rows(first["sizes_px"]), directory.with_name(f".{directory.name}.joining")

    def make_room(_: None) -> None:
        staging.mkdir(exist_ok=True)
        for name, row in rows.items():
            with (staging / name).open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, starts[-1] * row.bytes)

    def place(number: int) -> None:
        for name, row in rows.items():
            with (parts[number] / name).open("rb") as source, (staging / name).open("r+b") as target:
                target.seek(starts[number] * row.bytes)
                shutil.copyfileobj(source, target, _CHUNK)
                target.flush()
                os.fsync(target.fileno())

    index = (
        first
        | {"pairs": starts[-1]}
        | {key: [one for each in indices for one in each[key]] for key in ("bags", "blocks")}
    )
    share([None], make_room)
    share(range(len(parts)), place)
    share([None], lambda _: publish(staging, directory, index))
