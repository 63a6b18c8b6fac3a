"""One MCAP file, healthy or damaged: where its messages are, and how they are read.

The file is walked from record to record, which costs one small read per chunk. So no message hides behind an index that
is missing (MCAP leaves indexes to the writer) or wrong. The summary at its end, where there is one, names the topics
and promises their counts; without it the file is read once to count. Behind a damaged record the summary tells where
to go on.
"""

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, ChunkIndex, Footer, Metadata, Schema, Statistics

from edgevl_core.pairlog.chunks import CHUNK_HEAD, inflate, unpacked
from edgevl_core.pairlog.segments import CDR, Block, Message, Segment, Topic

MAGIC = b"\x89MCAP0\r\n"
_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_FOOTER_BYTES = _RECORD.size + 20 + len(MAGIC)
_PAGE_BYTES = 4096
_LOOSE_BYTES = 1 << 20  # records outside of chunks are read together, as many as a chunk would hold
_OPCODES = {int(opcode) for opcode in Opcode}
_FIRST_PRIVATE = 0x80


@dataclass
class _Piece:
    """A chunk, or a run of records outside of chunks: where it is, what is known of it before it is read."""

    at: int
    length: int
    start_ns: int
    chunk: bool
    torn: bool = False
    channels: frozenset[int] | None = None  # None: not known


@dataclass
class _Summary:
    """What stands behind the messages; ``counts`` by channel."""

    topics: dict[int, Topic] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    chunks: dict[int, ChunkIndex] = field(default_factory=dict)


@dataclass
class _Walk:
    """What a walk over the file has found."""

    pieces: list[_Piece] = field(default_factory=list)
    extras: list[tuple[int, int, int]] = field(default_factory=list)  # opcode, place and length of the body
    losses: list[str] = field(default_factory=list)
    complete: bool = False


def open_mcap(path: Path) -> Segment:
    """The file's content, as far as it can be had; damage is told in the segment's losses.

    Raises:
        OSError: the file cannot be opened or read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        summary = _summary(file, size)
        walk = _walk(file, size, {} if summary is None else summary.chunks)
    faults: list[str] = []
    promised = summary is not None and walk.complete and not walk.losses and _describes_all(summary)
    if summary is not None and promised:
        topics, counts = summary.topics, Counter(summary.counts)
    else:
        topics, counts = _scan(path, walk, {} if summary is None else summary.topics)
    trusted = {channel for piece in walk.pieces for channel in piece.channels or ()}
    if not {channel for channel, count in counts.items() if count} <= trusted:  # an index that leaves channels out
        for piece in walk.pieces:
            piece.channels = None
    merged: dict[str, Topic] = {}
    for channel, topic in topics.items():
        of_name = merged.setdefault(topic.name, Topic(topic.name, topic.msgtype, 0, topic.schema, topic.encoding))
        of_name.count += counts[channel]
    blocks = [Block(piece.start_ns, _reading(path, piece, topics, faults)) for piece in walk.pieces]
    return Segment(
        list(merged.values()),
        blocks,
        [f"{path.name}: {loss}" for loss in walk.losses],
        faults,
        whole=summary is not None and walk.complete and not walk.losses,
        promised=0 if summary is None else sum(summary.counts.values()),
        extras=lambda: _extras(path, walk, faults),
    )


def _describes_all(summary: _Summary) -> bool:
    return bool(summary.counts) and set(summary.counts) <= set(summary.topics)


def _reading(
    path: Path, piece: _Piece, topics: dict[int, Topic], faults: list[str]
) -> Callable[[Collection[str]], Iterator[Message]]:
    def read(names: Collection[str]) -> Iterator[Message]:
        wanted = {channel: topic for channel, topic in topics.items() if topic.name in names}
        if piece.channels is not None and piece.channels.isdisjoint(wanted):
            return iter(())
        found: list[Message] = []
        unknown = 0
        try:
            for opcode, content in _records(path, piece, faults):
                if opcode == Opcode.MESSAGE and len(content) >= _MESSAGE.size:
                    channel, _, stamp_ns, _ = _MESSAGE.unpack_from(content)
                    topic = wanted.get(channel)
                    if topic is not None:
                        data = bytes(content[_MESSAGE.size :])
                        data = unpacked(data) if topic.encoding == CDR else data
                        found.append(Message(topic.name, topic.msgtype, stamp_ns, data))
                    elif channel not in topics:
                        unknown += 1
        except OSError as error:
            faults.append(f"{path.name}: bytes {piece.at} and on cannot be read ({error.strerror})")
        if unknown:
            faults.append(f"{path.name}: {unknown} messages belong to topics whose description is lost")
        found.sort(key=lambda message: message.stamp_ns)
        return iter(found)

    return read


def _records(path: Path, piece: _Piece, faults: list[str]) -> Iterator[tuple[int, memoryview]]:
    """(opcode, body) of the records in a piece."""
    with path.open("rb") as file:
        body = _read(file, piece.at, piece.length)
    if not piece.chunk:
        return _split(memoryview(body))
    raw, fault = inflate(body, piece.torn)
    if fault and not piece.torn:
        faults.append(f"{path.name}: the chunk at byte {piece.at - _RECORD.size} is corrupt{fault}")
    return _split(raw)


def _split(raw: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at + _RECORD.size <= len(raw):
        opcode, length = _RECORD.unpack_from(raw, at)
        end = at + _RECORD.size + length
        if end > len(raw):
            return
        yield opcode, raw[at + _RECORD.size : end]
        at = end


def _scan(path: Path, walk: _Walk, known: dict[int, Topic]) -> tuple[dict[int, Topic], Counter[int]]:
    """Topics and counts by channel, with all of the file read; the pieces' start times are set, empty ones go."""
    topics, counts, schemas, unknown = dict(known), Counter[int](), dict[int, Schema](), 0
    faults: list[str] = []
    filled = []
    for piece in walk.pieces:
        stamps = []
        for opcode, content in _records(path, piece, faults):
            if opcode == Opcode.SCHEMA and (schema := _parsed(Schema, content)) is not None:
                schemas[schema.id] = schema
            elif opcode == Opcode.CHANNEL and (channel := _parsed(Channel, content)) is not None:
                topics.setdefault(channel.id, _topic(channel, schemas.get(channel.schema_id)))
            elif opcode == Opcode.MESSAGE and len(content) >= _MESSAGE.size:
                number, _, stamp_ns, _ = _MESSAGE.unpack_from(content)
                if number in topics:
                    counts[number] += 1
                    stamps.append(stamp_ns)
                else:
                    unknown += 1
        if stamps:
            piece.start_ns = min(stamps)
            filled.append(piece)
    walk.pieces[:] = filled
    walk.losses[:0] = [fault.removeprefix(f"{path.name}: ") for fault in faults]
    if unknown:
        walk.losses.append(f"{unknown} messages belong to topics whose description is lost")
    return topics, counts


def _topic(channel: Channel, schema: Schema | None) -> Topic:
    encoding = channel.message_encoding or CDR
    if schema is None:
        return Topic(channel.topic, "", 0, None, encoding)
    text = schema.data.decode(errors="replace")
    return Topic(channel.topic, schema.name, 0, (schema.encoding, text) if schema.encoding and text else None, encoding)


def _extras(path: Path, walk: _Walk, faults: list[str]) -> Iterator[Attachment | Metadata]:
    for opcode, at, length in walk.extras:
        with path.open("rb") as file:
            body = memoryview(_read(file, at, length))
        kind = Attachment if opcode == Opcode.ATTACHMENT else Metadata
        record = _parsed(kind, body)
        if record is None:
            faults.append(f"{path.name}: the {kind.__name__.lower()} at byte {at - _RECORD.size} is corrupt")
        else:
            yield record


def _parsed(kind: Any, content: memoryview) -> Any:
    """The record, None where its bytes are damaged."""
    try:
        return kind.read(ReadDataStream(BytesIO(content)))
    except Exception:  # damaged bytes make the library raise anything
        return None


def _read(file: IO[bytes], at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)


def _summary(file: IO[bytes], size: int) -> _Summary | None:
    """What the writer has put behind the messages when it closed the file; None where there is nothing of it."""
    tail = _read(file, max(0, size - _FOOTER_BYTES), _FOOTER_BYTES)
    if len(tail) < _FOOTER_BYTES or not tail.endswith(MAGIC) or tail[0] != Opcode.FOOTER:
        return None
    start = Footer.read(ReadDataStream(BytesIO(tail[_RECORD.size :]))).summary_start
    summary = _Summary()
    if not len(MAGIC) < start <= size - _FOOTER_BYTES:
        return summary
    schemas: dict[int, Schema] = {}
    for opcode, content in _split(memoryview(_read(file, start, size - _FOOTER_BYTES - start))):
        if opcode == Opcode.SCHEMA and (schema := _parsed(Schema, content)) is not None:
            schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL and (channel := _parsed(Channel, content)) is not None:
            if channel.schema_id == 0 or channel.schema_id in schemas:
                summary.topics.setdefault(channel.id, _topic(channel, schemas.get(channel.schema_id)))
        elif opcode == Opcode.CHUNK_INDEX and (chunk := _parsed(ChunkIndex, content)) is not None:
            summary.chunks[chunk.chunk_start_offset] = chunk
        elif opcode == Opcode.STATISTICS and (statistics := _parsed(Statistics, content)) is not None:
            counts = statistics.channel_message_counts
            summary.counts = counts if sum(counts.values()) == statistics.message_count else {}
    return summary


def _walk(file: IO[bytes], size: int, index: dict[int, ChunkIndex]) -> _Walk:
    """Every record from the first to the end of the messages, or to where the file breaks off."""
    walk = _Walk()
    if _read(file, 0, len(MAGIC)) != MAGIC:
        walk.losses.append(f"the file ({size} bytes) does not begin as MCAP does: nothing could be read")
        return walk
    zeros = _trailing_zeros(file, size)
    if zeros >= _PAGE_BYTES:  # the file's length reached the disk, its last pages did not
        walk.losses.append(f"its last {zeros} bytes are zeros: lost in a power cut")
        size -= zeros
    chunks = sorted(start for start, entry in index.items() if _is_chunk(file, entry))
    at = len(MAGIC)
    while True:
        head = _read(file, at, _RECORD.size + CHUNK_HEAD.size)
        if at + _RECORD.size > size:
            walk.losses.append(f"it ends at byte {at} without an index: cut short, or still being written")
            return walk
        opcode, length = _RECORD.unpack_from(head)
        body, end = at + _RECORD.size, at + _RECORD.size + length
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
            if known and opcode == Opcode.CHUNK and len(head) >= _RECORD.size + CHUNK_HEAD.size:
                start_ns = CHUNK_HEAD.unpack_from(head, _RECORD.size)[0]
                walk.pieces.append(_Piece(body, size - body, start_ns, chunk=True, torn=True))
            walk.losses.append(
                f"it is cut at byte {size}, inside a record that begins at byte {at}"
                if known
                else f"there are no records from byte {at} on: {size - at} bytes are damaged"
            )
            return walk
        if opcode == Opcode.CHUNK:
            start_ns = CHUNK_HEAD.unpack_from(head, _RECORD.size)[0] if length >= CHUNK_HEAD.size else 0
            entry = index.get(at)
            channels = frozenset(entry.message_index_offsets) if entry is not None else None
            walk.pieces.append(_Piece(body, length, start_ns, chunk=True, channels=channels or None))
        elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
            _add_loose(walk, opcode, head, at, end)
        elif opcode in (Opcode.METADATA, Opcode.ATTACHMENT):
            walk.extras.append((opcode, body, length))
        at = end


def _is_chunk(file: IO[bytes], entry: ChunkIndex) -> bool:
    head = _read(file, entry.chunk_start_offset, _RECORD.size)
    return head == _RECORD.pack(Opcode.CHUNK, max(0, entry.chunk_length - _RECORD.size))


def _add_loose(walk: _Walk, opcode: int, head: bytes, at: int, end: int) -> None:
    """A record outside of chunks: it goes into one piece with its neighbours."""
    is_message = opcode == Opcode.MESSAGE and len(head) >= _RECORD.size + _MESSAGE.size
    start_ns = _MESSAGE.unpack_from(head, _RECORD.size)[2] if is_message else 2**64 - 1
    last = walk.pieces[-1] if walk.pieces else None
    if last is not None and not last.chunk and last.at + last.length == at and last.length < _LOOSE_BYTES:
        last.length += end - at
        last.start_ns = min(last.start_ns, start_ns)
    else:
        walk.pieces.append(_Piece(at, end - at, start_ns, chunk=False))


def _trailing_zeros(file: IO[bytes], size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - (1 << 20))
        block = _read(file, start, end - start).rstrip(b"\0")
        if block:
            return size - start - len(block)
        end = start
    return size
