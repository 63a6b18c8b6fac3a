"""Odometry that drifts as a wheeled robot's does."""

from __future__ import annotations

import math

import numpy as np

from edgevl_sim.render import Pose

DISTANCE_ERROR = 0.02  # of the way; wheels of another size than the driver believes
TURN_ERROR_RAD_M = math.radians(1.0)  # a random walk, by the square root of the metres


class Odometer:
    """True poses in, odometry out: begins at (0, 0, 0), and errs by about 2 % of the way.

    Args:
        rng: its errors.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._scale = 1 + rng.choice([-1, 1]) * DISTANCE_ERROR
        self._last: Pose | None = None
        self._at = Pose(0.0, 0.0, 0.0)

    def move(self, pose: Pose) -> Pose:
        """The pose by odometry where the true one is ``pose``."""
        if self._last is not None:
            dx, dy = pose.x - self._last.x, pose.y - self._last.y
            c, s = math.cos(self._last.yaw), math.sin(self._last.yaw)
            ahead, left = (c * dx + s * dy) * self._scale, (c * dy - s * dx) * self._scale
            way = math.hypot(dx, dy)
            turn = pose.yaw - self._last.yaw + float(self._rng.normal(0, TURN_ERROR_RAD_M)) * math.sqrt(way)
            c, s = math.cos(self._at.yaw), math.sin(self._at.yaw)
            self._at = Pose(self._at.x + c * ahead - s * left, self._at.y + s * ahead + c * left, self._at.yaw + turn)
        self._last = pose
        return self._at
