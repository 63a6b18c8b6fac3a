"""What an export holds of each pair of a bag, whatever the format; and the pair again where it is imported."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.camera.depth import to_millimetres
from edgevl_core.camera.images import encode_png
from edgevl_core.camera.picture_file import JPEG_MAGIC, PNG_MAGIC
from edgevl_core.pairlog.cdr_header import stamp_ns_or_none
from edgevl_core.pairlog.pairs import PairReader, RecordedPair, RgbdPair, Truth, UnreadableImage
from edgevl_core.pairlog.sequences import SEQUENCE_GAP_S
from edgevl_core.pairlog.types import COMPRESSED_IMAGE, deserialize

FORMAT_KEY = "edgevl_export"  # in the description of an export: which format it is
SUFFIX = {"jpeg": "jpg", "png": "png"}


@dataclass(frozen=True)
class ExportedPair:
    """One pair of the one pairing.

    Attributes:
        stamp_ns, depth_stamp_ns: of the images' headers.
        sequence: number of the run that it belongs to: a pause of 30 s begins another.
        rgb: the file as the camera's driver made it, or a PNG where the bag holds raw pixels; rgb_format "jpeg", "png".
        shape: (H, W) of RGB.
        depth_mm: (H', W') uint16 millimetres, 0 = invalid, cut to RGB's view where the bag says how.
    """

    stamp_ns: int
    depth_stamp_ns: int
    sequence: int
    rgb: bytes
    rgb_format: str
    shape: tuple[int, int]
    depth_mm: NDArray[np.uint16]
    truth: Truth | None

    def facts(self) -> dict[str, Any]:
        """All but the pictures, for JSON."""
        truth = self.truth
        of_truth = {} if truth is None else {name: getattr(truth, name) for name in Truth.__dataclass_fields__}
        stamps = {"stamp_ns": self.stamp_ns, "depth_stamp_ns": self.depth_stamp_ns}
        return {**stamps, "sequence": self.sequence, "rgb_format": self.rgb_format, **of_truth}


@dataclass
class ExportSummary:
    """What was written; ``unreadable``: pairs left out, one line each; ``notes``: what a person should know."""

    pairs: int = 0
    sequences: int = 0
    bytes: int = 0
    unreadable: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def exported_pairs(reader: PairReader, summary: ExportSummary) -> Iterator[ExportedPair]:
    """The pairs of a bag in time order; what is counted goes into ``summary``, complete at the end.

    Raises:
        UserError: no pair can be read, at the end.
    """
    rounded: Counter[str] = Counter()
    last_ns: int | None = None
    for recorded in reader.recorded():
        try:
            pair = recorded.decode()
        except UnreadableImage as fault:
            summary.unreadable.append(f"pair at {recorded.stamp_ns} ns: {fault}")
            continue
        # A clock that was set back begins another sequence, as a pause does.
        if last_ns is None or not 0 <= pair.stamp_ns - last_ns < round(SEQUENCE_GAP_S * 1e9):
            summary.sequences += 1
        last_ns = pair.stamp_ns
        summary.pairs += 1
        rounded["metres"] += pair.depth.dtype != np.uint16
        yield _exported(recorded, pair, summary.sequences - 1)
    summary.losses = list(reader.losses)
    if not summary.pairs:
        raise reader.no_pairs()
    if rounded["metres"]:
        summary.notes.append(f"depth of {rounded['metres']} pairs was in metres (32FC1): rounded to whole millimetres")
    if reader.registration.window is not None:
        summary.notes.append("depth is cut to RGB's field of view, as edgevl adapt reads it")


def _exported(recorded: RecordedPair, pair: RgbdPair, sequence: int) -> ExportedPair:
    rgb, rgb_format = _rgb_file(recorded, pair)
    depth_ns = stamp_ns_or_none(recorded.depth.data)
    return ExportedPair(
        stamp_ns=pair.stamp_ns,
        depth_stamp_ns=pair.stamp_ns if depth_ns is None else depth_ns,
        sequence=sequence,
        rgb=rgb,
        rgb_format=rgb_format,
        shape=(pair.rgb.shape[0], pair.rgb.shape[1]),
        depth_mm=to_millimetres(pair.depth),
        truth=pair.truth,
    )


def _rgb_file(recorded: RecordedPair, pair: RgbdPair) -> tuple[bytes, str]:
    """The message's own file, where it is one; raw pixels as PNG."""
    if recorded.rgb.msgtype == COMPRESSED_IMAGE:
        data = deserialize(recorded.rgb.data, COMPRESSED_IMAGE).data.tobytes()
        for magic, name in ((JPEG_MAGIC, "jpeg"), (PNG_MAGIC, "png")):
            if data.startswith(magic):
                return data, name
    return encode_png(pair.rgb), "png"


def depth_png(pair: ExportedPair) -> bytes:
    """A one-channel PNG of 16 bits, nothing lost."""
    return encode_png(pair.depth_mm)


def description(reader: PairReader, name: str) -> dict[str, Any]:
    """What an export says of itself and of its bag."""
    return {
        FORMAT_KEY: name,
        "bag": Path(reader.path).name,
        "rgb": reader.streams.rgb,
        "depth": reader.streams.depth,
        "max_skew_s": reader.max_skew_s,
        "depth_unit": "millimetres, 0 = no measurement",
        "depth_registered": str(reader.registration),
    }
