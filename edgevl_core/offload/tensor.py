"""What travels between robot and base station: an array as bytes, and one line of text that says which.

The line goes into the field ``format`` of a sensor_msgs/CompressedImage, the bytes into ``data``; its header is the
frame's. No message type of edgevl's own is needed, and tools that record or count messages work.
"""

import math
import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.pairlog import types

MAX_IMAGES = 2  # of one frame: RGB and depth
_LINE = re.compile(r"edgevl ([0-9a-f]{12}) ([0-9]{1,18}) (uint8|int8|float32) ([0-9]{1,7}(?:x[0-9]{1,7}){0,5})")
_BYTES = {"uint8": 1, "int8": 1, "float32": 4}


class Label(NamedTuple):
    """What a message says of itself.

    Attributes:
        split_id: of the cut student that made it.
        number: of the question; its answer has the same.
        dtype: numpy's name.
        shape: images first.
    """

    split_id: str
    number: int
    dtype: str
    shape: tuple[int, ...]


class Header(NamedTuple):
    """Whose frame it is: its stamp in nanoseconds, and the camera's frame_id."""

    stamp_ns: int
    frame_id: str


def pack(header: Header, split_id: str, number: int, array: NDArray[Any]) -> bytes:
    """A serialised sensor_msgs/CompressedImage that holds the array, images first."""
    text = f"edgevl {split_id} {number} {array.dtype.name} {'x'.join(map(str, array.shape))}"
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return types.serialize(types.compressed_image_msg(data, text, *header))


def unpack(cdr: bytes) -> tuple[Header, Label, NDArray[np.uint8]]:
    """What :func:`pack` was given, the array as bytes: see :func:`array_of`.

    Raises:
        UserError: it is no such message.
    """
    message = types.deserialize(cdr, types.COMPRESSED_IMAGE)
    if message.header.stamp.nanosec >= 10**9:  # with the largest second no message could hold what it comes to
        raise UserError(f"a stamp of {message.header.stamp.nanosec} ns beside its seconds: look at what publishes it")
    header = Header(types.header_stamp_ns(message), message.header.frame_id)
    return header, _label(message.format), message.data


def _label(text: str) -> Label:
    found = _LINE.fullmatch(text)
    if found is None:
        raise UserError(f"{one_line(text, 60)!r} is no tensor of a cut student: look at what publishes it")
    return Label(found[1], int(found[2]), found[3], tuple(map(int, found[4].split("x"))))


def array_of(label: Label, data: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The bytes as an array of the dtype and shape that are expected, little endian.

    Raises:
        UserError: the label says otherwise, or there are more or fewer bytes.
    """
    if (label.dtype, label.shape) != (dtype, shape):
        said = f"{label.dtype} {'x'.join(map(str, label.shape))}"
        raise UserError(f"a tensor of {said}, expected {dtype} {'x'.join(map(str, shape))}")
    if len(data) != math.prod(shape) * _BYTES[dtype]:
        raise UserError(f"{len(data)} bytes for a tensor of {dtype} {'x'.join(map(str, shape))}")
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)
