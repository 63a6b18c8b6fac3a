"""One storage file of a bag, healthy or damaged, behind one small record.

Healthy files are read by rosbags. A damaged MCAP file (no end, a torn or corrupt chunk) is walked record by
record, because its index is exactly what a power cut takes away.
"""

import heapq
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Schema

_MAGIC = b"\x89MCAP0\r\n"
_RECORD = struct.Struct("<BQ")
_CHUNK = struct.Struct("<QQQII")  # start, end, uncompressed size, uncompressed CRC, length of compression's name
_PAGE_BYTES = 4096
_MESSAGE = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time


@dataclass(frozen=True)
class Message:
    """One serialised message: ``stamp_ns`` is the bag's log time, ``data`` its CDR bytes."""

    topic: str
    msgtype: str
    stamp_ns: int
    data: bytes


@dataclass
class Topic:
    """A topic of a bag; ``schema`` is (encoding, definition), None where the bag carries none."""

    name: str
    msgtype: str
    count: int
    schema: tuple[str, str] | None = None


@dataclass
class Segment:
    """A file's content: topics, first log time, losses in plain words, and its messages in log-time order."""

    topics: list[Topic]
    start_ns: int
    messages: Callable[[Collection[str]], Iterator[Message]]
    losses: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(topic.count for topic in self.topics)


@dataclass
class _Scan:
    """What one pass over a damaged file found."""

    channels: dict[int, Topic] = field(default_factory=dict)
    block_starts: list[int] = field(default_factory=list)  # earliest log time of each block, in file order
    losses: list[str] = field(default_factory=list)


_Found = tuple[int, int, bytes]  # channel, log time, data


def salvage(path: Path) -> Segment:
    """What can still be read from an MCAP file that has lost its end or a part.

    Messages of a chunk torn in the middle are kept up to the tear. The file is read twice: once to count, and
    again (by :attr:`Segment.messages`) in log-time order with no more than the overlapping chunks in memory.
    """
    scan = _Scan()
    for block in _blocks(path, scan):
        scan.block_starts.append(min(stamp for _, stamp, _ in block))
        for channel, _, _ in block:
            scan.channels[channel].count += 1

    def messages(names: Collection[str]) -> Iterator[Message]:
        yield from _ordered(path, scan.block_starts, set(names))

    topics = [t for t in scan.channels.values() if t.count]
    losses = [f"{path.name}: {loss}" for loss in scan.losses]
    return Segment(topics, min(scan.block_starts, default=0), messages, losses)


def _ordered(path: Path, block_starts: list[int], names: set[str]) -> Iterator[Message]:
    """Messages in log-time order: one is released once no later block can hold an earlier one."""
    later_start = [2**64] * len(block_starts)
    for i in range(len(block_starts) - 2, -1, -1):
        later_start[i] = min(later_start[i + 1], block_starts[i + 1])
    scan = _Scan()
    waiting: list[tuple[int, int, Message]] = []
    order = 0
    for number, block in enumerate(_blocks(path, scan)):
        if number == len(block_starts):  # still being written: what came after the count is not promised
            break
        for channel, stamp, data in block:
            topic = scan.channels[channel]
            if topic.name in names:
                heapq.heappush(waiting, (stamp, order, Message(topic.name, topic.msgtype, stamp, data)))
                order += 1
        while waiting and waiting[0][0] <= later_start[number]:
            yield heapq.heappop(waiting)[2]


def _blocks(path: Path, scan: _Scan) -> Iterator[list[_Found]]:
    """Runs of messages in file order (a chunk, or one unchunked message), never empty; fills ``scan``."""
    schemas: dict[int, Schema] = {}
    unknown = 0
    with path.open("rb") as file:
        for opcode, body, at, torn in _records(file, path.stat().st_size, scan):
            if opcode == Opcode.CHUNK:
                raw, complete = _inflate(body, torn)
                if not complete and not torn:
                    scan.losses.append(f"the chunk at byte {at} is corrupt")
                records = _chunk_records(raw)
            elif torn:
                continue
            else:
                records = iter([(opcode, memoryview(body))])
            block: list[_Found] = []
            for inner, content in records:
                if inner == Opcode.SCHEMA:
                    schema = Schema.read(ReadDataStream(BytesIO(content)))
                    schemas[schema.id] = schema
                elif inner == Opcode.CHANNEL:
                    channel = Channel.read(ReadDataStream(BytesIO(content)))
                    scan.channels.setdefault(channel.id, _topic(channel, schemas.get(channel.schema_id)))
                elif inner == Opcode.MESSAGE and len(content) >= _MESSAGE.size:
                    channel_id, _, stamp_ns, _ = _MESSAGE.unpack_from(content)
                    if channel_id in scan.channels:
                        block.append((channel_id, stamp_ns, bytes(content[_MESSAGE.size :])))
                    else:
                        unknown += 1
            if block:
                yield block
    if unknown:
        scan.losses.append(f"{unknown} messages belong to topics whose description is lost")


def _topic(channel: Channel, schema: Schema | None) -> Topic:
    if schema is None:
        return Topic(channel.topic, "", 0)
    return Topic(channel.topic, schema.name, 0, (schema.encoding, schema.data.decode(errors="replace")))


def _records(file: IO[bytes], size: int, scan: _Scan) -> Iterator[tuple[int, bytes, int, bool]]:
    """(opcode, body, offset, torn) of the file's records up to its end or the cut."""
    if file.read(len(_MAGIC)) != _MAGIC:
        scan.losses.append(f"the file ({size} bytes) does not begin as MCAP does: nothing could be read")
        return
    zeros = _trailing_zeros(file, size)
    if zeros >= _PAGE_BYTES:  # the file's length reached the disk, its last pages did not
        scan.losses.append(f"its last {zeros} bytes are zeros: lost in a power cut")
        size -= zeros
    file.seek(len(_MAGIC))
    while True:
        at = file.tell()
        head = file.read(_RECORD.size)
        if at + _RECORD.size > size:
            scan.losses.append(f"it ends at byte {at} without an index: cut short, or still being written")
            return
        opcode, length = _RECORD.unpack(head)
        if opcode in (Opcode.DATA_END, Opcode.FOOTER):
            return
        torn = at + _RECORD.size + length > size
        yield opcode, file.read(min(length, size - at - _RECORD.size)), at, torn
        if torn:
            scan.losses.append(f"it is cut at byte {size}, inside a record that begins at byte {at}")
            return


def _trailing_zeros(file: IO[bytes], size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - (1 << 20))
        file.seek(start)
        block = file.read(end - start).rstrip(b"\0")
        if block:
            return size - start - len(block)
        end = start
    return size


def _inflate(body: bytes, torn: bool) -> tuple[memoryview, bool]:
    """The records inside a chunk's body, as far as they can be had, and whether that is all of them."""
    if len(body) < _CHUNK.size:
        return memoryview(b""), False
    _, _, raw_size, crc, name_length = _CHUNK.unpack_from(body)
    data_at = _CHUNK.size + name_length + 8
    compression = body[_CHUNK.size : _CHUNK.size + name_length]
    data = memoryview(body)[data_at:]
    try:
        if compression == b"zstd":
            raw = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        elif compression == b"lz4":
            raw = lz4.frame.LZ4FrameDecompressor().decompress(data)
        else:
            raw = bytes(data)
    except (zstandard.ZstdError, RuntimeError, EOFError):
        return memoryview(b""), False
    complete = len(raw) == raw_size and (crc == 0 or zlib.crc32(raw) == crc)
    # Bytes that fail their checksum are not handed on; a torn chunk has no whole to check, only its records'
    # lengths.
    return memoryview(raw if complete or torn else b""), complete


def _chunk_records(raw: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at + _RECORD.size <= len(raw):
        opcode, length = _RECORD.unpack_from(raw, at)
        end = at + _RECORD.size + length
        if end > len(raw):
            return
        yield opcode, raw[at + _RECORD.size : end]
        at = end
