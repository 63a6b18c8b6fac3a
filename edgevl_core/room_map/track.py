"""Where the camera was at a stamp, from the poses in a bag."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.place_messages import ODOMETRY, POSE, POSE_WITH_COVARIANCE, stand_of
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import deserialize, header_stamp_ns
from edgevl_core.room_map.view import Stand

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
        """The pose at a stamp: that of this very stamp, or between its two neighbours.

        None where no pose is within half a second, or where the robot was carried between the two (REP 103 units).
        """
        after = int(np.searchsorted(self.stamp_ns, stamp_ns))
        if after < len(self.stamp_ns) and self.stamp_ns[after] == stamp_ns:
            return Stand(*self.poses[after].tolist())
        gaps = [abs(int(self.stamp_ns[row]) - stamp_ns) for row in (after - 1, after) if 0 <= row < len(self.stamp_ns)]
        if not gaps or min(gaps) > MAX_AGE_NS:
            return None
        if len(gaps) == 1:
            return Stand(*self.poses[min(after, len(self.stamp_ns) - 1)].tolist())
        a, b = self.poses[after - 1], self.poses[after]
        span_ns = int(self.stamp_ns[after] - self.stamp_ns[after - 1])
        if math.dist(a[:2], b[:2]) > JUMP_M_S * span_ns * 1e-9:
            return None
        share = (stamp_ns - int(self.stamp_ns[after - 1])) / span_ns
        x, y = (a[:2] + share * (b[:2] - a[:2])).tolist()
        return Stand(x, y, float(a[2] + share * math.remainder(b[2] - a[2], 2 * math.pi)))


def read_track(bag: Path, topic: str | None = None) -> Track:
    """All poses of a bag.

    Args:
        topic: PoseStamped, PoseWithCovarianceStamped or Odometry; None: the first there is, in this order.

    Raises:
        UserError: none there, or the topic is of another type.
    """
    with BagReader(bag) as reader:
        types = {name: found.msgtype for name, found in reader.topics.items() if found.count}
        fitting = sorted((POSE_TYPES.index(kind), name) for name, kind in types.items() if kind in POSE_TYPES)
        if topic is not None:
            fitting = [entry for entry in fitting if entry[1].lstrip("/") == topic.lstrip("/")]
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
