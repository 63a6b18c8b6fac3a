"""Import a folder of RGB and depth image files, listed in pairs.csv, as a rosbag2.

pairs.csv has the columns stamp_s (seconds, ascending), rgb (a JPEG or PNG file) and depth (a 16-bit PNG of
millimetres, 0 = no measurement), with paths relative to the folder.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_core.errors import UserError
from edgevl_core.pairlog.staging import staged_bag
from edgevl_core.pairlog.types import COMPRESSED_IMAGE, IMAGE, compressed_image_msg, image_msg, serialize

PAIRS = "pairs.csv"
COLUMNS = ("stamp_s", "rgb", "depth")
RGB_TOPIC = "camera/rgb/image_raw/compressed"
DEPTH_TOPIC = "camera/depth/image_raw"
FRAME_ID = "camera_optical_frame"
MAX_UNREADABLE = 0.05
"""Share of unreadable pairs above which the folder is refused: that is no accident any more."""

_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"}


@dataclass
class ImportSummary:
    """What an import wrote, and the pairs it left out, one line each."""

    pairs: int = 0
    bytes: int = 0
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Row:
    stamp_ns: int
    rgb: Path
    depth: Path


def import_folder(
    source: Path | str, out: Path | str, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> ImportSummary:
    """Write the pairs of ``source`` to the new bag ``out``: RGB files byte for byte, depth as raw 16UC1.

    No camera_info is written: the folder does not say what the camera was.

    Args:
        on_progress: called with (pairs done, pairs in all).

    Raises:
        UserError: no pairs.csv, a column or value is wrong, stamps go back, more than 5 % of the pairs cannot
            be read, or ``out`` exists. ``out`` is then not made.
    """
    source = Path(source)
    rows = _read_rows(source)
    summary = ImportSummary()
    with staged_bag(out) as bag:
        bag.add_topic(RGB_TOPIC, COMPRESSED_IMAGE)
        bag.add_topic(DEPTH_TOPIC, IMAGE)
        for done, row in enumerate(rows, start=1):
            try:
                rgb, depth = _read_rgb(row.rgb), _read_depth(row.depth)
            except (OSError, ValueError) as error:
                summary.unreadable.append(f"{error}")
                _check_share(source, summary.unreadable, len(rows))
            else:
                image_format = _FORMATS[row.rgb.suffix.lower()]
                coded = compressed_image_msg(rgb, image_format, row.stamp_ns, FRAME_ID)
                bag.write(RGB_TOPIC, serialize(coded), row.stamp_ns)
                bag.write(DEPTH_TOPIC, serialize(image_msg(depth, "16UC1", row.stamp_ns, FRAME_ID)), row.stamp_ns)
                summary.pairs += 1
            on_progress(done, len(rows))
    summary.bytes = bag.bytes_written
    return summary


def _read_rows(source: Path) -> list[_Row]:
    table = source / PAIRS
    try:
        with open(table, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                raise UserError(
                    f"{table} has no column {', '.join(missing)} (it has "
                    f"{', '.join(reader.fieldnames or [])}): the first line must name {', '.join(COLUMNS)}"
                )
            rows = [_row(source, table, number, fields) for number, fields in enumerate(reader, start=2)]
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{source} holds no {PAIRS}: give a folder with a table of {', '.join(COLUMNS)}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} is no CSV text ({error}): save it as UTF-8 CSV") from error
    if not rows:
        raise UserError(f"{table} lists no pairs: add lines with {', '.join(COLUMNS)}")
    for number, (before, after) in enumerate(pairwise(rows), start=3):
        if after.stamp_ns <= before.stamp_ns:
            raise UserError(
                f"{table} line {number}: stamp_s {after.stamp_ns / 1e9} does not come after "
                f"{before.stamp_ns / 1e9}: sort the lines by stamp_s, without repeats"
            )
    return rows


def _row(source: Path, table: Path, number: int, fields: dict[str, str | None]) -> _Row:
    stamp, rgb, depth = (fields[name] or "" for name in COLUMNS)
    try:
        stamp_ns = int(Decimal(stamp.strip()).scaleb(9).to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        stamp_ns = -1
    if stamp_ns < 0:
        raise UserError(f"{table} line {number}: stamp_s {stamp!r} is no number of seconds >= 0")
    if Path(rgb).suffix.lower() not in _FORMATS:
        raise UserError(f"{table} line {number}: rgb {rgb!r} is no .jpg or .png file: convert it")
    if not depth:
        raise UserError(f"{table} line {number}: depth is empty: name a 16-bit PNG of millimetres")
    return _Row(stamp_ns, source / rgb, source / depth)


def _read_rgb(file: Path) -> bytes:
    """The file's bytes, once it has been shown to decode."""
    data = file.read_bytes()
    # An eighth of the size is enough to see that it decodes, and much cheaper for JPEG.
    if not data or cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8) is None:
        raise ValueError(f"{file}: no readable image")
    return data


def _read_depth(file: Path) -> NDArray[np.uint16]:
    data = np.frombuffer(file.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise ValueError(f"{file}: no readable image")
    if image.dtype != np.uint16 or image.ndim != 2:
        raise ValueError(f"{file}: {image.dtype} {image.shape}, not one channel of 16-bit millimetres")
    return np.asarray(image, np.uint16)


def _check_share(source: Path, unreadable: list[str], total: int) -> None:
    if len(unreadable) > MAX_UNREADABLE * total:
        raise UserError(
            f"{source}: {len(unreadable)} of its {total} pairs cannot be read, {MAX_UNREADABLE:.0%} may fail "
            f"(first: {unreadable[0]}): repair the folder, or remove the lines from {PAIRS}"
        )
