"""SQLite's write-ahead log, as far as it takes to say what of it SQLite will not read (sqlite.org/fileformat2.html)."""

import struct
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

_HEAD = struct.Struct(">I4xI4xQII")  # magic, page size, salts, checksum
_FRAME = struct.Struct(">4xIQII")  # pages after a commit (else 0), salts, checksum
_BYTE_ORDER = {0x377F0682: "<u4", 0x377F0683: ">u4"}  # of the checksums, by magic
_WORD = 1 << 32


def lost_bytes(wal: Path) -> int:
    """Bytes of the log behind its last whole transaction. Frames from before the log was begun anew do not count."""
    with wal.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return size
        magic, page_bytes, salts, *checksum = _HEAD.unpack(head)
        if magic not in _BYTE_ORDER or page_bytes & (page_bytes - 1) or not 512 <= page_bytes <= 65536:
            return size
        order = _BYTE_ORDER[magic]
        if _advance((0, 0), head[:24], order, _weights(3)) != tuple(checksum):
            return size
        return size - _committed(file, size, page_bytes, salts, tuple(checksum), order)


def _committed(file: IO[bytes], size: int, page_bytes: int, salts: int, checksum: tuple[int, int], order: str) -> int:
    """Where the last transaction that SQLite reads ends; ``size`` where only older frames follow."""
    weights = _weights(1 + page_bytes // 8)
    at = committed = _HEAD.size
    while at + _FRAME.size + page_bytes <= size:
        head, page = file.read(_FRAME.size), file.read(page_bytes)
        pages, of_frame, *expected = _FRAME.unpack(head)
        if of_frame != salts:
            return size if at == committed and not _any_of(file, at, size, page_bytes, salts) else committed
        checksum = _advance(checksum, head[:8] + page, order, weights)
        if checksum != tuple(expected):
            return committed
        at += _FRAME.size + page_bytes
        committed = at if pages else committed
    return committed


def _any_of(file: IO[bytes], at: int, size: int, page_bytes: int, salts: int) -> bool:
    """Whether a later frame is of this log: then the one here is damaged, and not an old one."""
    for start in range(at, size - _FRAME.size - page_bytes + 1, _FRAME.size + page_bytes):
        file.seek(start)
        if _FRAME.unpack(file.read(_FRAME.size))[1] == salts:
            return True
    return False


def _weights(steps: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """What a checksum over so many steps of two words is made of: (2, 2) of the last one, (2, 2 * steps) of the words.

    A step is s0 += x0 + s1; s1 += x1 + s0, all modulo 2^32: linear, so that many steps are one product.
    """
    power = np.eye(2, dtype=object)
    step, words = np.array([[1, 1], [1, 2]], object), np.array([[1, 0], [1, 1]], object)
    columns = []
    for _ in range(steps):
        columns.append(power @ words % _WORD)
        power = power @ step % _WORD
    return power.astype(np.uint32), np.concatenate(columns[::-1], axis=1).astype(np.uint32)


def _advance(
    before: tuple[int, int], data: bytes, order: str, weights: tuple[NDArray[np.uint32], NDArray[np.uint32]]
) -> tuple[int, int]:
    """The checksum after ``data``."""
    of_before, of_words = weights
    words = np.frombuffer(data, order).astype(np.uint32)
    after = (of_before * np.array(before, np.uint32)).sum(1, dtype=np.uint32)
    after += (of_words * words).sum(1, dtype=np.uint32)
    return int(after[0]), int(after[1])
