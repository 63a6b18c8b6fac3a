"""What a page of a bag shows: its facts, when it has pairs, a few of them as pictures, scenes, and the way driven."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.fusion import mean_luma, valid_share
from edgevl_core.camera.depth import encode_depth
from edgevl_core.log_view.scenes import Scene, read_scenes
from edgevl_core.page.pictures import depth_uri, rgb_uri
from edgevl_core.pairlog.info import LogInfo, log_info
from edgevl_core.pairlog.pairs import MAX_SKEW_S, RgbdPair, UnreadableImage, read_pairs
from edgevl_core.room_map.track import JUMP_M_S, read_track

SHOWN_PAIRS = 24
_MOST_POINTS = 1500
_LEAST_GAP_S = 2.0
_GAP = 5.0  # times the usual distance of two pairs

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class ShownPair:
    """A pair as it stands on the page.

    Attributes:
        at_s: since the bag's first message; rgb, depth: data URIs; room: the true one, "" where it is not recorded.
        luma: mean brightness, 0..255; valid: share of depth's pixels with a measurement; median_m: NaN without one.
    """

    at_s: float
    rgb: str
    depth: str
    room: str
    luma: float
    valid: float
    median_m: float

    @property
    def alt(self) -> str:
        """In words."""
        return f"{self.at_s:.0f} s into the drive{', ' + self.room if self.room else ''}"


@dataclass(frozen=True)
class Way:
    """The way driven, metres; a leg begins anew where the robot was carried. ``note``: what it is, or why it is not."""

    legs: Sequence[Sequence[tuple[float, float]]]
    length_m: float
    note: str


@dataclass(frozen=True)
class LogContent:
    """All of it.

    Attributes:
        stamp_ns: (N,) int64 of the pairs, in time order; rooms: N true rooms, "" where not recorded.
        scenes: what scene_classifier said, where its topic was recorded.
    """

    info: LogInfo
    stamp_ns: NDArray[np.int64]
    rooms: Sequence[str]
    shown: Sequence[ShownPair]
    scenes: Sequence[Scene]
    way: Way

    def seconds(self, stamp_ns: int) -> float:
        """Since the first pair, by the header stamps; the bag's own clock may be another."""
        return float(stamp_ns - int(self.stamp_ns[0])) / 1e9

    def gaps(self) -> list[tuple[float, float]]:
        """(seconds since the first pair, length) of the pauses, the longest first: five times the usual distance."""
        if len(self.stamp_ns) < 3:
            return []
        apart_s = np.diff(self.stamp_ns) / 1e9
        least = max(_LEAST_GAP_S, _GAP * float(np.median(apart_s)))
        rows = np.flatnonzero(apart_s >= least)
        return [
            (self.seconds(int(self.stamp_ns[row])), float(apart_s[row])) for row in rows[np.argsort(-apart_s[rows])]
        ]


def read_content(
    bag: Path,
    *,
    rgb: str | None = None,
    depth: str | None = None,
    max_skew_s: float = MAX_SKEW_S,
    on_progress: OnProgress = lambda done, total: None,
) -> LogContent:
    """Read a bag: its facts, its pairs, the answers and the way; only the pairs that are shown are decoded.

    Raises:
        UserError: as :func:`edgevl_core.pairlog.info.log_info`.
    """
    # Progress is of the two long readings, the first of which tells how many pairs there are: each counts as one half.
    info = log_info(bag, max_skew_s, rgb=rgb, depth=depth, on_progress=lambda done, total: on_progress(done, 2 * total))
    stamps: list[int] = []
    rooms: list[str] = []
    shown: list[ShownPair] = []
    if info.pairing is not None and info.pairing.pairs:
        reader = read_pairs(bag, rgb=rgb, depth=depth, max_skew_s=max_skew_s)
        wanted = set(np.linspace(0, info.pairing.pairs - 1, SHOWN_PAIRS).astype(int).tolist())
        for number, recorded in enumerate(reader.recorded()):
            stamps.append(recorded.stamp_ns)
            rooms.append(recorded.truth.room if recorded.truth else "")
            if number in wanted:
                try:
                    shown.append(_shown(recorded.decode(), stamps[0]))
                except UnreadableImage:
                    wanted.add(number + 1)  # health says that some cannot be read
            on_progress(info.pairing.pairs + number + 1, 2 * info.pairing.pairs)
    order = np.argsort(np.array(stamps, np.int64), kind="stable")
    return LogContent(
        info,
        np.array(stamps, np.int64)[order],
        [rooms[row] for row in order],
        shown,
        read_scenes(bag),
        _way(bag),
    )


def _shown(pair: RgbdPair, first_ns: int) -> ShownPair:
    codes = encode_depth(pair.depth_m, "metric")
    measured = pair.depth_m[np.isfinite(pair.depth_m)]
    return ShownPair(
        (pair.stamp_ns - first_ns) / 1e9,
        rgb_uri(pair.rgb),
        depth_uri(codes),
        pair.truth.room if pair.truth else "",
        float(mean_luma(pair.rgb)),
        float(valid_share(codes)),
        float(np.median(measured)) if measured.size else math.nan,
    )


def _way(bag: Path) -> Way:
    try:
        track = read_track(bag)
    except UserError:
        return Way(
            (), 0.0, "No pose was recorded: the way driven is not known. pair_logger records one with pose_topic."
        )
    points = track.poses[:, :2]
    steps_m, steps_s = np.hypot(*np.diff(points, axis=0).T), np.diff(track.stamp_ns) / 1e9
    carried = steps_m > JUMP_M_S * steps_s
    every = max(1, len(points) // _MOST_POINTS)
    legs = [leg[::every] for leg in np.split(points, np.flatnonzero(carried) + 1) if len(leg)]
    drifts = "" if track.frame_id in ("map", "") else ", which is not the map's and may drift"
    note = f"{len(points)} poses of {track.topic} in the frame {track.frame_id or 'without a name'}{drifts}."
    note += f" {len(legs)} legs: between them the robot was carried, or its pose jumped." if len(legs) > 1 else ""
    return Way([[(float(x), float(y)) for x, y in leg] for leg in legs], float(steps_m[~carried].sum()), note)
