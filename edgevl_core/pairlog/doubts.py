"""A bag's pictures that cannot be read, or can be read and still may be wrong, judged by a few of them."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgevl_core.camera.depth import decode_depth
from edgevl_core.camera.doubts import DepthWatch, turn_doubt
from edgevl_core.camera.images import ImageFormatError, decode_rgb
from edgevl_core.camera.registration import Status
from edgevl_core.pairlog.calibration import bag_registration, read_calibration
from edgevl_core.pairlog.facts import log_facts
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.streams import Streams, find_streams
from edgevl_core.pairlog.types import deserialize

_FIRST, _LOOKED_AT = 256, 16  # so many of the first, evenly spread: the whole bag need not be read


def bag_doubts(path: Path | str, rgb: str | None = None, depth: str | None = None) -> list[str]:
    """As :func:`picture_doubts`, and whether depth shows what RGB shows; topics as for :func:`read_pairs`.

    Raises:
        UserError: it cannot be read, or a stream is missing.
    """
    with BagReader(path) as reader:
        streams = find_streams(reader, rgb, depth)
        return [*picture_doubts(reader, streams), *_registration_doubt(reader, streams)]


def picture_doubts(reader: BagReader, streams: Streams) -> list[str]:
    """What is or may be wrong with the pictures, one sentence each: no pictures, depth's unit, RGB on its side."""
    return [
        f"{topic}: {doubt}"
        for topic, doubts in ((streams.rgb, _rgb_doubts), (streams.depth, _depth_doubts))
        for doubt in doubts(_sample(reader, topic))
    ]


def _registration_doubt(reader: BagReader, streams: Streams) -> Iterator[str]:
    """Where no camera_info tells, as in bags that pair_logger did not write, sizes and frames of the images do.

    Imported collections have no camera_info at all: there depth of RGB's frame and aspect ratio is well.
    """
    calibration = read_calibration(reader, streams)
    sure = calibration.found.status is not Status.UNKNOWN
    if not sure:
        rgb = _size_and_frame(_sample(reader, streams.rgb), decode_rgb)
        depth = _size_and_frame(_sample(reader, streams.depth), decode_depth)
        alike = rgb and depth and rgb[2] == depth[2] and rgb[0] * depth[1] == rgb[1] * depth[0]
        if rgb and depth and not (alike and streams.camera_info is None):
            calibration.finder.images(rgb=rgb, depth=depth)
    found = bag_registration(calibration, log_facts(reader).get("registered", ""))
    if found.status is Status.NO:
        yield (
            f"{streams.depth}: depth {'is' if sure else 'may'} not{'' if sure else ' be'} registered to RGB "
            f"({found.reason}): let the driver align depth, or record camera_info of both cameras (docs/robots.md)"
        )


def _size_and_frame(images: Iterator[Any], decode: Callable[[Any], NDArray[Any]]) -> tuple[int, int, str] | None:
    """Of the first image that can be read: width and height in pixels, frame_id."""
    for image in images:
        try:
            height, width = decode(image).shape[:2]
        except ImageFormatError:
            continue
        return width, height, image.header.frame_id
    return None


def _rgb_doubts(images: Iterator[Any]) -> Iterator[str]:
    turns, looked_at, faults = [], 0, []
    for image in images:
        looked_at += 1
        try:
            decode_rgb(image)
            turns.append(turn_doubt(image))
        except ImageFormatError as error:
            faults.append(str(error))
    yield from _unreadable(faults, looked_at)
    yield from (turn for turn in turns[:1] if turn)


def _depth_doubts(images: Iterator[Any]) -> Iterator[str]:
    watch, looked_at, faults = DepthWatch(), 0, []
    for image in images:
        looked_at += 1
        try:
            watch.add(decode_depth(image))
        except ImageFormatError as error:
            faults.append(str(error))
    yield from _unreadable(faults, looked_at)
    if doubt := watch.doubt():
        yield doubt


def _unreadable(faults: list[str], looked_at: int) -> Iterator[str]:
    if faults:
        yield f"{len(faults)} of {looked_at} images looked at cannot be read: {faults[0]}"


def _sample(reader: BagReader, topic: str) -> Iterator[Any]:
    """Some messages of a topic; those that are no messages are left to those who read all."""
    step = max(1, min(reader.topics[topic].count, _FIRST) // _LOOKED_AT)
    for message in islice(reader.messages([topic]), 0, step * _LOOKED_AT, step):
        try:
            yield deserialize(message.data, message.msgtype)
        except ImageFormatError:
            continue
