"""What a collection gives to the writer: its samples in stamp order, and what is not among them."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevl_core.pairlog.sequences import SEQUENCE_GAP_S

FIRST_STAMP_NS = 1_700_000_000_000_000_000
FRAME_NS = 25_000_000
"""Between frames of a scene: more than max_skew, so that no frame can pair with the next one's depth, and so
little that a whole scene lies within the gap of a time-block split."""
SCENE_GAP_NS = 60_000_000_000
"""Between scenes, on top of FRAME_NS: more than the gap of any split, and than the pause that ends a sequence."""


class Pixels(NamedTuple):
    """One decoded sample: an encoded RGB file with ROS's name of its format, and (H, W) uint16 mm, 0 = invalid."""

    rgb: bytes
    rgb_format: str
    depth_mm: NDArray[np.uint16]


@dataclass(frozen=True)
class Sample:
    """One RGB-D pair that is read when it is written.

    Attributes:
        read: its pixels; raises OSError or ValueError, with the file in the message, where it cannot be read.
        room: the collection's scene label, in words; "" = none.
        scene: the place that was recorded; samples of one place belong on one side of a split.
        stamp_ns: set by the collection, or by :func:`by_scene`.
        furniture_fraction: of the truth; 1 in a labelled collection, where every frame counts.
    """

    read: Callable[[], Pixels]
    room: str = ""
    scene: str = ""
    stamp_ns: int = 0
    furniture_fraction: float = 1.0


@dataclass
class Collection:
    """The samples of a source in the order they were taken; their stamps ascend, but where a clock was set back.

    Attributes:
        unreadable: what was found to be broken before any image was read, one line each.
        left_out: readable but not wanted, counted by reason.
        notes: what a user should know about the choice that was made.
    """

    samples: list[Sample]
    unreadable: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def by_scene(samples: Iterable[Sample]) -> list[Sample]:
    """The samples with stamps: scene after scene, more than 60 s apart, each in the order given.

    Public collections are not recorded in one go, so the stamps only say what belongs together. Scenes are
    ordered by a hash of their names: in the order of the disk the last block of time would be a few classes.
    """
    scenes: dict[str, list[Sample]] = {}
    for sample in samples:
        scenes.setdefault(sample.scene, []).append(sample)
    stamped, stamp_ns = [], FIRST_STAMP_NS
    for scene in sorted(scenes, key=lambda name: hashlib.sha256(name.encode()).digest()):
        for sample in scenes[scene]:
            stamped.append(replace(sample, stamp_ns=stamp_ns))
            stamp_ns += FRAME_NS
        stamp_ns += SCENE_GAP_NS
    return stamped


def apart_by_scene(samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """The samples, whose scenes are runs in time order, with stamps that tell the scenes apart; and what was changed.

    Training knows sequences by SEQUENCE_GAP_S alone. So a scene that begins sooner than that after the one before
    begins a minute after it instead, and a pause of as much within a scene becomes half of it; whatever comes later
    moves along. All other steps in time stay as they are, and all of them where no sample names its scene.
    """
    if not any(sample.scene for sample in samples):
        return list(samples), []
    least_ns, gap = round(SEQUENCE_GAP_S * 1e9), f"{SEQUENCE_GAP_S:g} s"
    stamped, moved, shortened = list(samples[:1]), 0, 0
    for before, after in pairwise(samples):
        step_ns = after.stamp_ns - before.stamp_ns
        if before.scene != after.scene and step_ns < least_ns:
            step_ns, moved = SCENE_GAP_NS, moved + 1
        elif before.scene == after.scene and step_ns >= least_ns:
            step_ns, shortened = least_ns // 2, shortened + 1
        stamped.append(replace(after, stamp_ns=stamped[-1].stamp_ns + step_ns))
    notes = []
    if moved:
        notes.append(f"{moved} sequences that began less than {gap} after the one before were moved on to a minute")
    if shortened:
        notes.append(f"{shortened} pauses of {gap} or more within a sequence were shortened to {least_ns / 2e9:g} s")
    if notes:
        notes.append("later stamps moved along and are not the table's any more: training tells sequences by pauses")
    return stamped, notes
