"""Write the samples of any collection as a rosbag2: the one loop that all importers share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.log_clock import LogClock
from edgevl_core.pairlog.readable import check_share
from edgevl_core.pairlog.staging import staged_bag
from edgevl_core.pairlog.types import (
    COMPRESSED_IMAGE,
    IMAGE,
    SCENE_TRUTH,
    compressed_image_msg,
    image_msg,
    serialize,
    truth_msg,
)
from edgevl_core.pairlog.writer import BagWriter
from edgevl_train.datasets.sample import Collection, Pixels, Sample

RGB_TOPIC = "camera/rgb/image_raw/compressed"
DEPTH_TOPIC = "camera/depth/image_raw"
TRUTH_TOPIC = "truth"
FRAME_ID = "camera_optical_frame"

OnProgress = Callable[[int, int], None]


@dataclass
class ImportSummary:
    """What an import wrote, and what it did not: broken pairs one line each, unwanted ones counted by reason."""

    pairs: int = 0
    bytes: int = 0
    unreadable: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write_collection(
    source: Path, collection: Collection, out: Path | str, on_progress: OnProgress = lambda done, total: None
) -> ImportSummary:
    """Write ``collection`` to the new bag ``out``: RGB as its files, depth as raw 16UC1, truth where it is known.

    No camera_info is written: the collections differ in what they know of their cameras. A pair with a room
    has furniture_fraction 1: in a labelled collection every frame counts.

    Args:
        source: where it came from, for messages.
        on_progress: called with (pairs done, pairs in all).

    Raises:
        UserError: there is nothing to write, more than 5 % of the pairs cannot be read, or ``out`` exists.
            ``out`` is then not made.
    """
    samples = collection.samples
    summary = ImportSummary(0, 0, list(collection.unreadable), collection.left_out, collection.notes)
    total = len(samples) + len(summary.unreadable)
    if not total:
        reasons = ", ".join(f"{count} {reason}" for reason, count in summary.left_out.items()) or "it has no pairs"
        raise UserError(f"{source} has nothing to import: {reasons}; give the whole collection or another --split")
    check_share(summary.unreadable, total, f"pairs of {source}")
    clock, last_ns = LogClock(), 0
    with staged_bag(out) as bag:
        bag.add_topic(RGB_TOPIC, COMPRESSED_IMAGE)
        bag.add_topic(DEPTH_TOPIC, IMAGE)
        if any(sample.room for sample in samples):
            bag.add_topic(TRUTH_TOPIC, SCENE_TRUTH)
        for done, sample in enumerate(samples, start=total - len(samples) + 1):
            try:
                pixels = sample.read()
            except (OSError, ValueError) as error:
                summary.unreadable.append(f"{error}")
                check_share(summary.unreadable, total, f"pairs of {source}")
            else:
                if sample.stamp_ns < last_ns:
                    clock.begin(clock.stretch + 1, sample.stamp_ns)
                last_ns = sample.stamp_ns
                _write(bag, sample, pixels, clock.at(last_ns))
                summary.pairs += 1
            on_progress(done, total)
    summary.bytes = bag.bytes_written
    return summary


def _write(bag: BagWriter, sample: Sample, pixels: Pixels, log_ns: int) -> None:
    stamp_ns = sample.stamp_ns
    messages = {
        RGB_TOPIC: compressed_image_msg(pixels.rgb, pixels.rgb_format, stamp_ns, FRAME_ID),
        DEPTH_TOPIC: image_msg(pixels.depth_mm, "16UC1", stamp_ns, FRAME_ID),
    }
    if sample.room:
        messages[TRUTH_TOPIC] = truth_msg(sample.room, sample.scene, sample.furniture_fraction, stamp_ns, FRAME_ID)
    for topic, message in messages.items():
        bag.write(topic, serialize(message), log_ns)
