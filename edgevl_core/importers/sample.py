"""What a collection gives to the writer: its samples in stamp order, and what is not among them."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FIRST_STAMP_NS = 1_700_000_000_000_000_000
FRAME_NS = 25_000_000
"""Between frames of a scene: more than max_skew, so that no frame can pair with the next one's depth, and so
little that a whole scene lies within the gap of a time-block split."""
SCENE_GAP_NS = 60_000_000_000
"""Between scenes, on top of FRAME_NS: more than the gap of any split."""


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
    """

    read: Callable[[], Pixels]
    room: str = ""
    scene: str = ""
    stamp_ns: int = 0


@dataclass
class Collection:
    """The samples of a source with strictly ascending stamps.

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
