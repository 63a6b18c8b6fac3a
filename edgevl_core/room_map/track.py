"""Where the camera was at a stamp, from the poses in a bag."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.place_messages import ODOMETRY, POSE, POSE_WITH_COVARIANCE, stand_of
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import deserialize, header_stamp_ns
from edgevl_core.room_map.transforms import MAP_FRAME, TF_TOPIC, camera_track
from edgevl_core.room_map.view import Stand

Pose = tuple[float, float, float]  # x, y, yaw
POSE_TYPES = (POSE, POSE_WITH_COVARIANCE, ODOMETRY)  # the likeliest to be in the frame of the map first
MAX_AGE_NS = 500_000_000
JUMP_M_S = 3.0  # between two poses that are farther apart than a robot drives, nothing is known


@dataclass(frozen=True)
class Track:
    """Poses by stamp: (N,) int64 nanoseconds, ascending; (N, 3) float64 x, y, yaw in the frame ``frame_id``."""

    stamp_ns: NDArray[np.int64]
    poses: NDArray[np.float64]
    topic: str
    frame_id: str

    def at(self, stamp_ns: int) -> Stand | None:
        """See :func:`stand_at`."""
        return stand_at(stamp_ns, self.stamp_ns, self.poses)


def stand_at(
    stamp_ns: int, stamps_ns: Sequence[int] | NDArray[np.int64], poses: Sequence[Pose] | NDArray[np.float64]
) -> Stand | None:
    """The pose at a stamp: that of this very stamp, or between its two neighbours.

    None where no pose is within half a second, or where the robot was carried between the two (REP 103 units).

    Args:
        stamps_ns: ascending.
        poses: x, y, yaw of each.
    """
    after = bisect_left(stamps_ns, stamp_ns)
    if after < len(stamps_ns) and stamps_ns[after] == stamp_ns:
        return Stand(*map(float, poses[after]))
    gaps = [abs(int(stamps_ns[row]) - stamp_ns) for row in (after - 1, after) if 0 <= row < len(stamps_ns)]
    if not gaps or min(gaps) > MAX_AGE_NS:
        return None
    if len(gaps) == 1:
        return Stand(*map(float, poses[min(after, len(stamps_ns) - 1)]))
    a, b = poses[after - 1], poses[after]
    span_ns = int(stamps_ns[after] - stamps_ns[after - 1])
    if math.dist(a[:2], b[:2]) > JUMP_M_S * span_ns * 1e-9:
        return None
    share = (stamp_ns - int(stamps_ns[after - 1])) / span_ns
    x, y = (float(a[axis] + share * (b[axis] - a[axis])) for axis in (0, 1))
    return Stand(x, y, float(a[2] + share * math.remainder(b[2] - a[2], 2 * math.pi)))


class LiveTrack:
    """The poses of the last seconds, as they come. A clock that is set back by more than a second begins anew."""

    def __init__(self, length_ns: int = 10_000_000_000) -> None:
        self._length_ns = length_ns
        self._stamps_ns: list[int] = []
        self._poses: list[Pose] = []

    @property
    def newest_ns(self) -> int:
        """Stamp of the newest pose; -1 before the first."""
        return self._stamps_ns[-1] if self._stamps_ns else -1

    @property
    def newest(self) -> Stand | None:
        """The newest pose; None before the first."""
        return Stand(*self._poses[-1]) if self._poses else None

    def add(self, stamp_ns: int, pose: Pose) -> None:
        """x, y, yaw on the map."""
        if stamp_ns < self.newest_ns - 1_000_000_000:
            self._stamps_ns.clear()
            self._poses.clear()
        row = bisect_left(self._stamps_ns, stamp_ns)
        if row < len(self._stamps_ns) and self._stamps_ns[row] == stamp_ns:  # a clock that stands still
            self._poses[row] = pose
            return
        self._stamps_ns.insert(row, stamp_ns)
        self._poses.insert(row, pose)
        old = bisect_left(self._stamps_ns, self.newest_ns - self._length_ns)
        del self._stamps_ns[:old], self._poses[:old]

    def at(self, stamp_ns: int) -> Stand | None:
        """See :func:`stand_at`."""
        return stand_at(stamp_ns, self._stamps_ns, self._poses)


def read_track(bag: Path, topic: str | None = None, camera_frame: str = "") -> Track:
    """Where the robot, or with transforms its camera, was over a bag.

    Args:
        topic: PoseStamped, PoseWithCovarianceStamped or Odometry, or ``tf``: the transforms from the map to the camera;
            None: the first there is of PoseStamped, PoseWithCovarianceStamped, transforms and Odometry.
        camera_frame: frame_id of the images; empty: transforms are not looked at.

    Raises:
        UserError: none there, the topic is of another type, or the transforms do not lead to the camera.
    """
    with BagReader(bag) as reader:
        types = {name: found.msgtype for name, found in reader.topics.items() if found.count}
        fitting = sorted((POSE_TYPES.index(kind), name) for name, kind in types.items() if kind in POSE_TYPES)
        wanted = None if topic is None else topic.lstrip("/")
        odometry_alone = all(POSE_TYPES[kind] == ODOMETRY for kind, _ in fitting)
        if camera_frame and (wanted == TF_TOPIC or (wanted is None and odometry_alone)):
            found = _from_transforms(reader, camera_frame, asked=wanted == TF_TOPIC or not fitting)
            if found is not None:
                return found
        if wanted is not None:
            fitting = [entry for entry in fitting if entry[1].lstrip("/") == wanted]
        if not fitting:
            what = f"pose topic {topic}" if topic else "pose"
            raise UserError(
                f"{bag}: no {what} in it of type {', '.join(POSE_TYPES)}; topics are {', '.join(sorted(types))}: "
                "record the robot's pose on the map as well, or name its topic"
            )
        chosen = fitting[0][1]
        messages = [deserialize(message.data, message.msgtype) for message in reader.messages([chosen])]
    stamps = np.array([header_stamp_ns(message) for message in messages], np.int64)
    poses = np.array([stand_of(message) for message in messages], np.float64)
    order = np.argsort(stamps, kind="stable")
    return Track(stamps[order], poses[order], chosen, messages[-1].header.frame_id)


def _from_transforms(reader: BagReader, camera_frame: str, *, asked: bool) -> Track | None:
    """None where there are none, or where they do not lead to the camera and nobody ``asked`` for them."""
    try:
        found = camera_track(reader, camera_frame)
    except UserError as error:
        if asked:
            raise UserError(f"{reader.path}: {error}") from error
        return None
    return None if found is None else Track(*found, TF_TOPIC, MAP_FRAME)
