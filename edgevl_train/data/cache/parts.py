"""The growing files of a cache: blocks of pairs with checksums, so that a build that was cut off goes on.

In ``.<name>.building`` beside the cache-to-be: its files, and ``journal.jsonl``: the key, then a line for each block.
Nothing is synced on the way. The checksums find out what a crash or a power cut has left: the build goes on after the
last block that is whole in all files.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.atomic import fsync_directory
from edgevl_core.base.errors import UserError
from edgevl_train.data.cache.layout import INDEX, Row, block_digest

JOURNAL = "journal.jsonl"


class Parts:
    """A cache being built; a context manager. What is not finished when it closes stays for the next build.

    Args:
        directory: the cache-to-be.
        key: parts of another key are thrown away.
        rows: the files and what each holds of a pair.

    Attributes:
        blocks: the journal's lines: ``bag`` (its number), ``recorded`` pairs gone through, ``pairs`` of them stored,
            ``sha256``, ``unreadable`` ones (stamp_ns, reason), and ``report`` in the last block of a bag.

    Raises:
        UserError: ``directory`` exists, or another process builds it.
    """

    def __init__(self, directory: Path, key: str, rows: Mapping[str, Row]) -> None:
        if directory.exists():
            raise UserError(f"{directory} exists already: choose a new name, or remove it first")
        self._directory, self._rows = directory, rows
        self.staging = directory.with_name(f".{directory.name}.building")
        self.staging.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self._journal = stack.enter_context((self.staging / JOURNAL).open("a+b", 0))
            try:
                fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"training cache {directory} is being built by another process: let it end") from None
            for path in self.staging.iterdir():
                if path.name not in {*rows, JOURNAL}:
                    path.unlink()
            # Without buffers: on a full disk their rest would be written, and fail, once more when a file is closed.
            self._files = {name: stack.enter_context((self.staging / name).open("ab", 0)) for name in rows}
            self.blocks = self._go_on(_line({"key": key}))
            self._stack = stack.pop_all()

    def __enter__(self) -> "Parts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __len__(self) -> int:
        return sum(block["pairs"] for block in self.blocks)

    def of_bag(self, number: int) -> list[dict[str, Any]]:
        """The blocks of one bag."""
        return [block for block in self.blocks if block["bag"] == number]

    def append(self, arrays: Mapping[str, NDArray[Any]], block: Mapping[str, Any]) -> None:
        """Write the rows of one block, then its line; ``pairs`` and ``sha256`` are added to ``block``."""
        buffers = [np.ascontiguousarray(arrays[name]).reshape(-1).data for name in self._rows]
        line = {**block, "pairs": len(arrays["stamp_ns.i64"]), "sha256": block_digest(buffers)}
        for file, buffer in zip(self._files.values(), buffers, strict=True):
            _write(file, buffer)
        _write(self._journal, _line(line))
        self.blocks.append(line)

    def finish(self, index: Mapping[str, Any]) -> None:
        """See :func:`publish`."""
        publish(self.staging, self._directory, index)

    def _go_on(self, header: bytes) -> list[dict[str, Any]]:
        """The blocks to go on after; the files are cut to them."""
        self._journal.seek(0)
        lines = self._journal.read().splitlines(keepends=True)
        if lines[:1] != [header]:
            lines = []
        blocks = list(self._whole(lines[1:]))
        pairs = sum(block["pairs"] for block in blocks)
        for file, row in zip(self._files.values(), self._rows.values(), strict=True):
            if os.fstat(file.fileno()).st_size != pairs * row.bytes:
                file.truncate(pairs * row.bytes)
        self._journal.truncate(sum(map(len, lines[: 1 + len(blocks)])))
        if not lines:
            _write(self._journal, header)
        return blocks

    def _whole(self, lines: list[bytes]) -> Iterator[dict[str, Any]]:
        """The first blocks whose line and bytes are all there."""
        with ExitStack() as stack:
            streams = [(stack.enter_context((self.staging / name).open("rb")), row) for name, row in self._rows.items()]
            for line in lines:
                try:
                    block = json.loads(line)
                except ValueError:
                    return
                parts = (stream.read(block["pairs"] * row.bytes) for stream, row in streams)
                if not line.endswith(b"\n") or block_digest(parts) != block["sha256"]:
                    return
                yield block


def publish(staging: Path, directory: Path, index: Mapping[str, Any]) -> None:
    """Add the index to the files in ``staging``, make all of it durable, and give it its name."""
    (staging / INDEX).write_text(json.dumps(index, indent=2, ensure_ascii=False), encoding="utf-8")
    for path in staging.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    staging.rename(directory)
    (directory / JOURNAL).unlink(missing_ok=True)
    fsync_directory(directory.parent)


def _write(file: RawIOBase, data: bytes | memoryview) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[file.write(rest) :]


def _line(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content) + "\n").encode()
