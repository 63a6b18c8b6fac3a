"""A bag's pictures that can be read and still may be wrong, judged by a few of them."""

from itertools import islice
from pathlib import Path

import numpy as np

from edgevl_core.camera.depth import decode_measured
from edgevl_core.camera.doubts import DepthWatch, turn_doubt
from edgevl_core.camera.limits import ImageFormatError
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.streams import Streams, find_streams
from edgevl_core.pairlog.types import deserialize

_FIRST, _EVERY = 256, 16  # of so many messages, every sixteenth


def bag_doubts(path: Path | str, rgb: str | None = None, depth: str | None = None) -> list[str]:
    """As :func:`picture_doubts`, of the bag at ``path``; topics as for :func:`read_pairs`.

    Raises:
        UserError: it cannot be read, or a stream is missing.
    """
    with BagReader(path) as reader:
        return picture_doubts(reader, find_streams(reader, rgb, depth))


def picture_doubts(reader: BagReader, streams: Streams) -> list[str]:
    """What may be wrong with the pictures, one sentence each: the unit of depth, RGB that lies on its side."""
    doubts = []
    watch = DepthWatch()
    for message in islice(reader.messages([streams.depth]), 0, _FIRST, _EVERY):
        try:
            depth = decode_measured(deserialize(message.data, message.msgtype))
            watch.add(depth, is_millimetres=depth.dtype == np.uint16)
        except ImageFormatError:  # counted by those who read all of them
            continue
    if doubt := watch.doubt():
        doubts.append(f"{streams.depth}: {doubt}")
    for message in islice(reader.messages([streams.rgb]), 1):
        try:
            doubt = turn_doubt(deserialize(message.data, message.msgtype))
        except ImageFormatError:
            continue
        doubts += [f"{streams.rgb}: {doubt}"] if doubt else []
    return doubts
