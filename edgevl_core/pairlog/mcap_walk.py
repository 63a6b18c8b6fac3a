"""The walk over an MCAP file from record to record: where its chunks are, and where it is damaged.

It costs one small read per chunk, and needs no index: MCAP leaves indexes to the writer.
"""

import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import IO

from mcap.opcode import Opcode
from mcap.records import ChunkIndex

from edgevl_core.pairlog.chunks import CHUNK_HEAD

MAGIC = b"\x89MCAP0\r\n"
RECORD = struct.Struct("<BQ")
MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_PAGE_BYTES = 4096
_LOOSE_BYTES = 1 << 20  # records outside of chunks are read together, as many as a chunk would hold
_OPCODES = {int(opcode) for opcode in Opcode}
_FIRST_PRIVATE = 0x80


@dataclass
class Piece:
    """A chunk, or a run of records outside of chunks: where it is, what is known of it before it is read."""

    at: int
    length: int
    start_ns: int
    chunk: bool
    torn: bool = False
    channels: frozenset[int] | None = None  # None: not known


@dataclass
class Walk:
    """What a walk over the file has found."""

    pieces: list[Piece] = field(default_factory=list)
    extras: list[tuple[int, int, int]] = field(default_factory=list)  # opcode, place and length of the body
    losses: list[str] = field(default_factory=list)
    complete: bool = False


def walk_file(file: IO[bytes], size: int, index: dict[int, ChunkIndex]) -> Walk:
    """Every record from the first to the end of the messages, or to where the file breaks off."""
    walk = Walk()
    if read_at(file, 0, len(MAGIC)) != MAGIC:
        walk.losses.append(f"the file ({size} bytes) does not begin as MCAP does: nothing could be read")
        return walk
    zeros = _trailing_zeros(file, size)
    if zeros >= _PAGE_BYTES:  # the file's length reached the disk, its last pages did not
        walk.losses.append(f"its last {zeros} bytes are zeros: lost in a power cut")
        size -= zeros
    chunks = sorted(start for start, entry in index.items() if _is_chunk(file, entry))
    at = len(MAGIC)
    while True:
        head = read_at(file, at, RECORD.size + CHUNK_HEAD.size)
        if at + RECORD.size > size:
            walk.losses.append(f"it ends at byte {at} without an index: cut short, or still being written")
            return walk
        opcode, length = RECORD.unpack_from(head)
        body, end = at + RECORD.size, at + RECORD.size + length
        number = bisect_right(chunks, at)
        following = chunks[number] if number < len(chunks) else None
        if opcode in (Opcode.DATA_END, Opcode.FOOTER) and following is None:
            walk.complete = True
            return walk
        known = opcode in _OPCODES or opcode >= _FIRST_PRIVATE
        if not known or end > (size if following is None else following):
            # Its own length cannot be believed; the index tells where the next chunk is.
            if following is not None:
                walk.losses.append(f"the record at byte {at} is corrupt: passed over up to byte {following}")
                at = following
                continue
            if known and opcode == Opcode.CHUNK and len(head) >= RECORD.size + CHUNK_HEAD.size:
                start_ns = CHUNK_HEAD.unpack_from(head, RECORD.size)[0]
                walk.pieces.append(Piece(body, size - body, start_ns, chunk=True, torn=True))
            walk.losses.append(
                f"it is cut at byte {size}, inside a record that begins at byte {at}"
                if known
                else f"there are no records from byte {at} on: {size - at} bytes are damaged"
            )
            return walk
        if opcode == Opcode.CHUNK:
            start_ns = CHUNK_HEAD.unpack_from(head, RECORD.size)[0] if length >= CHUNK_HEAD.size else 0
            entry = index.get(at)
            channels = frozenset(entry.message_index_offsets) if entry is not None else None
            walk.pieces.append(Piece(body, length, start_ns, chunk=True, channels=channels or None))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
            _add_loose(walk, opcode, head, at, end)
        elif opcode in (Opcode.METADATA, Opcode.ATTACHMENT):
            walk.extras.append((opcode, body, length))
        at = end


def _is_chunk(file: IO[bytes], entry: ChunkIndex) -> bool:
    head = read_at(file, entry.chunk_start_offset, RECORD.size)
    return head == RECORD.pack(Opcode.CHUNK, max(0, entry.chunk_length - RECORD.size))


def _add_loose(walk: Walk, opcode: int, head: bytes, at: int, end: int) -> None:
    """A record outside of chunks: it goes into one piece with its neighbours."""
    is_message = opcode == Opcode.MESSAGE and len(head) >= RECORD.size + MESSAGE.size
    start_ns = MESSAGE.unpack_from(head, RECORD.size)[2] if is_message else 2**64 - 1
    last = walk.pieces[-1] if walk.pieces else None
    if last is not None and not last.chunk and last.at + last.length == at and last.length < _LOOSE_BYTES:
        last.length += end - at
        last.start_ns = min(last.start_ns, start_ns)
    else:
        walk.pieces.append(Piece(at, end - at, start_ns, chunk=False))


def read_at(file: IO[bytes], at: int, length: int) -> bytes:
    """Up to ``length`` bytes from byte ``at`` on."""
    file.seek(at)
    return file.read(length)


def _trailing_zeros(file: IO[bytes], size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - (1 << 20))
        block = read_at(file, start, end - start).rstrip(b"\0")
        if block:
            return size - start - len(block)
        end = start
    return size
