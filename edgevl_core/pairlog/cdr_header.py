"""The header of a serialised message, read and rewritten in its CDR bytes: no image is deserialised.

Every message with a leading ``std_msgs/Header`` starts with: 4 bytes of encapsulation (the second byte's
lowest bit says little endian), int32 seconds, uint32 nanoseconds, uint32 length of frame_id with its
terminating zero, frame_id (OMG CDR; field order from builtin_interfaces/Time and std_msgs/Header).
"""

import struct

NS_PER_S = 1_000_000_000
_STAMP_AT = 4
_FRAME_AT = 12


def _order(cdr: bytes) -> str:
    if len(cdr) < _FRAME_AT + 4:
        raise ValueError(f"a serialised message of {len(cdr)} bytes is too short to hold a header")
    return "<" if cdr[1] & 1 else ">"


def stamp_ns(cdr: bytes) -> int:
    """Nanoseconds of the header's stamp. Raises ValueError where the bytes are too short to hold one."""
    seconds, nanoseconds = struct.unpack_from(_order(cdr) + "iI", cdr, _STAMP_AT)
    return int(seconds) * NS_PER_S + int(nanoseconds)


def stamp_ns_or_none(cdr: bytes) -> int | None:
    """As :func:`stamp_ns`; None where the bytes are too short."""
    try:
        return stamp_ns(cdr)
    except ValueError:
        return None


def frame_id(cdr: bytes) -> str:
    """The header's frame_id. Raises ValueError where the bytes are too short to hold it."""
    (length,) = struct.unpack_from(_order(cdr) + "I", cdr, _FRAME_AT)
    text = cdr[_FRAME_AT + 4 : _FRAME_AT + 4 + length]
    if len(text) < length:
        raise ValueError(f"frame_id of {length} bytes is longer than the message")
    return text.rstrip(b"\0").decode("utf-8", errors="replace")


def with_stamp(cdr: bytes, nanoseconds: int) -> bytes:
    """A copy of the message with another stamp; nothing else changes.

    Raises:
        ValueError: the bytes are too short to hold a stamp, or the stamp lies beyond what int32 seconds hold (2038).
    """
    changed = bytearray(cdr)
    try:
        struct.pack_into(_order(cdr) + "iI", changed, _STAMP_AT, *divmod(nanoseconds, NS_PER_S))
    except struct.error as error:
        raise ValueError(f"a stamp of {nanoseconds} ns does not fit into a header: {error}") from error
    return bytes(changed)
