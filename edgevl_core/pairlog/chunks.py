"""Compressed bytes of a bag, unpacked with a bound on what may come out: MCAP's chunks, and rosbag2's messages."""

import struct
import zlib

import lz4.frame
import zstandard

CHUNK_HEAD = struct.Struct("<QQQII")  # start, end, uncompressed size, uncompressed CRC, length of compression's name
MAX_BYTES = 1 << 28
"""The most that one chunk or message may hold unpacked. A chunk is a megabyte as a rule, an image some."""
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def inflate(body: bytes, torn: bool) -> tuple[memoryview, str]:
    """The records inside a chunk's body as far as they can be had, and what is wrong with it: "" where nothing is.

    Bytes that fail their checksum are not handed on. A torn chunk has no whole to check, only its records' lengths.
    """
    nothing = memoryview(b"")
    if len(body) < CHUNK_HEAD.size:
        return nothing, " (it is too short)"
    _, _, size, crc, name_length = CHUNK_HEAD.unpack_from(body)
    name = body[CHUNK_HEAD.size : CHUNK_HEAD.size + name_length][:20].decode(errors="replace")
    if size > MAX_BYTES:
        return nothing, f" (it says it holds {size} bytes, {MAX_BYTES} are allowed)"
    data = memoryview(body)[CHUNK_HEAD.size + name_length + 8 :]
    try:
        if name == "zstd":
            with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as stream:
                raw = memoryview(stream.read(size + 1))
        elif name == "lz4":
            raw = memoryview(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1))
        elif name == "":
            raw = data
        else:
            return nothing, f" (compressed as {name!r}, which is not known)"
    except (zstandard.ZstdError, RuntimeError, EOFError, MemoryError):
        return nothing, " (it cannot be unpacked)"
    if torn:
        return raw[:size], " (it is cut)"
    if len(raw) != size or (crc and zlib.crc32(raw) != crc):
        return nothing, " (its checksum is wrong)"
    return raw, ""


def unpacked(data: bytes) -> bytes:
    """A CDR message that rosbag2 may have compressed by itself (compression mode MESSAGE).

    CDR begins with a zero byte and zstd with another one, so that the two cannot be mistaken. What cannot be unpacked
    is given back as it is: it is no CDR, and its reader says so.
    """
    if not data.startswith(ZSTD_MAGIC):
        return data
    try:
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as stream:
            raw = stream.read(min(zstandard.frame_content_size(data) + 1, MAX_BYTES) or MAX_BYTES)
    except (zstandard.ZstdError, MemoryError):
        return data
    return bytes(raw)
