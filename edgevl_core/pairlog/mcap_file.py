"""One MCAP file, healthy or damaged: where its messages are, and how they are read.

The file is walked from record to record (:mod:`edgevl_core.pairlog.mcap_walk`), so that no message hides behind an
index that is missing or wrong. The summary at its end, where there is one, names the topics and promises their counts;
without it the file is read once to count. Behind a damaged record the summary tells where to go on.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, ChunkIndex, Footer, Metadata, Schema, Statistics

from edgevl_core.pairlog.chunks import inflate
from edgevl_core.pairlog.mcap_walk import MAGIC, MESSAGE, RECORD, Piece, Walk, read_at, walk_file
from edgevl_core.pairlog.segments import CDR, MAX_OPEN_BYTES, Block, Message, Segment, Topic

_FOOTER_BYTES = RECORD.size + 20 + len(MAGIC)
_OBJECT_BYTES = 200  # of a Message, beside its data


@dataclass
class _Summary:
    """What stands behind the messages; ``counts`` by channel."""

    topics: dict[int, Topic] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    chunks: dict[int, ChunkIndex] = field(default_factory=dict)


def open_mcap(path: Path) -> Segment:
    """The file's content, as far as it can be had; damage is told in the segment's losses.

    Raises:
        OSError: the file cannot be opened or read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        summary = _summary(file, size)
        walk = walk_file(file, size, {} if summary is None else summary.chunks)
    faults: list[str] = []
    promised = summary is not None and walk.complete and not walk.losses and _describes_all(summary)
    if summary is not None and promised:
        topics, counts = summary.topics, Counter(summary.counts)
    else:
        topics, counts = _scan(path, walk, {} if summary is None else summary.topics)
        if summary is not None and not summary.topics and not walk.losses:
            promises = {channel: count for channel, count in summary.counts.items() if channel in topics}
            counts = Counter({**counts, **promises})
    trusted = {channel for piece in walk.pieces for channel in piece.channels or ()}
    if not {channel for channel, count in counts.items() if count} <= trusted:  # an index that leaves channels out
        for piece in walk.pieces:
            piece.channels = None
    for channel, topic in topics.items():
        topic.count = counts[channel]
    blocks = [Block(piece.start_ns, _reading(path, piece, topics, faults)) for piece in walk.pieces]
    return Segment(
        list(topics.values()),
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
    path: Path, piece: Piece, topics: dict[int, Topic], faults: list[str]
) -> Callable[[Collection[str]], tuple[Iterator[Message], int]]:
    def read(names: Collection[str]) -> tuple[Iterator[Message], int]:
        wanted = {channel: topic for channel, topic in topics.items() if topic.name in names}
        if piece.channels is not None and piece.channels.isdisjoint(wanted):
            return iter(()), 0
        found: list[Message] = []
        unknown = held = 0
        try:
            for opcode, content in _records(path, piece, faults):
                if opcode == Opcode.MESSAGE and len(content) >= MESSAGE.size:
                    channel, _, stamp_ns, _ = MESSAGE.unpack_from(content)
                    topic = wanted.get(channel)
                    if topic is not None:
                        held += len(content) + _OBJECT_BYTES
                        if held > MAX_OPEN_BYTES and found:
                            faults.append(
                                f"{path.name}: the messages from byte {piece.at} on take more than {MAX_OPEN_BYTES} "
                                f"bytes of memory: {len(found)} of them are read"
                            )
                            break
                        found.append(Message(topic.name, topic.msgtype, stamp_ns, bytes(content[MESSAGE.size :])))
                    elif channel not in topics:
                        unknown += 1
        except OSError as error:
            faults.append(f"{path.name}: bytes {piece.at} and on cannot be read ({error.strerror})")
        if unknown:
            faults.append(f"{path.name}: {unknown} messages belong to topics whose description is lost")
        found.sort(key=lambda message: message.stamp_ns)
        return iter(found), held

    return read


def _records(path: Path, piece: Piece, faults: list[str]) -> Iterator[tuple[int, memoryview]]:
    """(opcode, body) of the records in a piece."""
    with path.open("rb") as file:
        body = read_at(file, piece.at, piece.length)
    if not piece.chunk:
        return _split(memoryview(body))
    raw, fault = inflate(body, piece.torn)
    if fault and not piece.torn:
        faults.append(f"{path.name}: the chunk at byte {piece.at - RECORD.size} is corrupt{fault}")
    return _split(raw)


def _split(raw: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at + RECORD.size <= len(raw):
        opcode, length = RECORD.unpack_from(raw, at)
        end = at + RECORD.size + length
        if end > len(raw):
            return
        yield opcode, raw[at + RECORD.size : end]
        at = end


def _scan(path: Path, walk: Walk, known: dict[int, Topic]) -> tuple[dict[int, Topic], Counter[int]]:
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
            elif opcode == Opcode.MESSAGE and len(content) >= MESSAGE.size:
                number, _, stamp_ns, _ = MESSAGE.unpack_from(content)
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


def _extras(path: Path, walk: Walk, faults: list[str]) -> Iterator[Attachment | Metadata]:
    for opcode, at, length in walk.extras:
        with path.open("rb") as file:
            body = memoryview(read_at(file, at, length))
        kind = Attachment if opcode == Opcode.ATTACHMENT else Metadata
        record = _parsed(kind, body)
        if record is None:
            faults.append(f"{path.name}: the {kind.__name__.lower()} at byte {at - RECORD.size} is corrupt")
        else:
            yield record


def _parsed(kind: Any, content: memoryview) -> Any:
    """The record, None where its bytes are damaged."""
    try:
        return kind.read(ReadDataStream(BytesIO(content)))
    except Exception:  # damaged bytes make the library raise anything
        return None


def _summary(file: IO[bytes], size: int) -> _Summary | None:
    """What the writer has put behind the messages when it closed the file; None where there is nothing of it."""
    tail = read_at(file, max(0, size - _FOOTER_BYTES), _FOOTER_BYTES)
    if len(tail) < _FOOTER_BYTES or not tail.endswith(MAGIC) or tail[0] != Opcode.FOOTER:
        return None
    footer = Footer.read(ReadDataStream(BytesIO(tail[RECORD.size :])))
    start, summary = footer.summary_start, _Summary()
    if not len(MAGIC) < start <= size - _FOOTER_BYTES:
        return summary
    body = read_at(file, start, size - _FOOTER_BYTES - start)
    # Of all from the summary's first byte to the footer's own check sum; 0: the writer made none.
    changed = footer.summary_crc not in (0, zlib.crc32(tail[: -len(MAGIC) - 4], zlib.crc32(body)))
    schemas: dict[int, Schema] = {}
    for opcode, content in _split(memoryview(body)):
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
    # What is left of a changed one is a promise that has to be kept; what it says of topics and places is not believed.
    return _Summary(counts=summary.counts) if changed else summary
