"""Where the robot was, from odometry: the pose at a stamp, and how far two poses lie apart."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

ODOMETRY = "nav_msgs/msg/Odometry"
_NS = 1_000_000_000


@dataclass(frozen=True)
class Pose:
    """Position in metres and orientation as a unit quaternion (x, y, z, w), in a fixed frame."""

    position_m: tuple[float, float, float]
    orientation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)


def pose_of(odometry: Any) -> Pose:
    """The pose of a nav_msgs/Odometry message."""
    p, q = odometry.pose.pose.position, odometry.pose.pose.orientation
    return Pose((p.x, p.y, p.z), (q.x, q.y, q.z, q.w))


def distance_m(a: Pose, b: Pose) -> float:
    """Straight line between two positions, metres."""
    return math.dist(a.position_m, b.position_m)


def turn_rad(a: Pose, b: Pose) -> float:
    """Angle of the rotation from one orientation to the other, 0..pi radians."""
    # q and -q are the same rotation. Normalised here: odometry of ROS 2 drivers is not always.
    norm = math.hypot(*a.orientation) * math.hypot(*b.orientation)
    if not norm:
        return 0.0  # all zeros: the driver knows no orientation
    cosine = abs(sum(x * y for x, y in zip(a.orientation, b.orientation))) / norm
    return 2.0 * math.acos(min(1.0, cosine))


class Track:
    """The latest poses by stamp.

    Args:
        max_age_s: how far a pose may be from the stamp that is asked for.
        memory_s: how long poses are remembered, in their own time.
    """

    def __init__(self, max_age_s: float = 0.5, memory_s: float = 5.0) -> None:
        self._max_age_ns, self._memory_ns = round(max_age_s * _NS), round(memory_s * _NS)
        self._poses: deque[tuple[int, Pose]] = deque()

    def add(self, stamp_ns: int, pose: Pose) -> None:
        """Take a pose. One older than the last (a clock that was set back) makes the track begin anew.

        One that is no number (a filter that has not begun) is passed over: no distance to it would ever be enough.
        """
        if not all(map(math.isfinite, (*pose.position_m, *pose.orientation))):
            return
        if self._poses and stamp_ns < self._poses[-1][0]:
            self._poses.clear()
        if self._poses and stamp_ns == self._poses[-1][0]:  # a clock that stands still
            self._poses.pop()
        self._poses.append((stamp_ns, pose))
        while self._poses[0][0] < stamp_ns - self._memory_ns:
            self._poses.popleft()

    def at(self, stamp_ns: int) -> Pose | None:
        """The pose nearest in time; None where none is near enough."""
        at, pose = min(self._poses, key=lambda entry: abs(entry[0] - stamp_ns), default=(0, None))
        return pose if pose is not None and abs(at - stamp_ns) <= self._max_age_ns else None
