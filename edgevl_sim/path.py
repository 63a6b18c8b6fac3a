"""A robot's way through a room: places in free space, and at each a direction worth looking in."""

from __future__ import annotations

import math

import numpy as np

from edgevl_sim.floorplan import CELL_M, FloorPlan
from edgevl_sim.render import Pose

SPEED_M_S = 0.3
TURN_RAD_S = math.radians(60)
CANDIDATES = 20  # places looked at for each stop, and directions at each
YAWS = 8
RAYS = 40
OPEN_M = 1.6  # a view this deep is as good as any deeper one


class RoomPath:
    """A pose for every time from 0 on, the same however it is sampled.

    The robot moves along straight lines in free space at up to 0.3 m/s while it turns at up to 60 degrees/s; both
    start and stop gently. Legs are added as later times are asked for.
    """

    def __init__(self, plan: FloorPlan, fov_rad: float, rng: np.random.Generator) -> None:
        self._plan, self._fov, self._rng = plan, fov_rad, rng
        cells = np.argwhere(plan.free)
        self._places = ((cells[:, ::-1] + 0.5) * CELL_M).astype(np.float64)
        self._interest = np.ones(len(plan.sights))
        start = self._best(self._places[rng.integers(len(self._places), size=CANDIDATES)], None)
        self._stops = [start]
        self._times = [0.0]

    def pose(self, t_s: float) -> Pose:
        """Where the robot is t_s seconds after it entered the room. Times may be asked for in any order."""
        while self._times[-1] <= t_s:
            self._extend()
        i = int(np.searchsorted(self._times, t_s, side="right")) - 1
        a, b = self._stops[i], self._stops[i + 1]
        share = (t_s - self._times[i]) / (self._times[i + 1] - self._times[i])
        ease = share * share * (3 - 2 * share)
        return Pose(a.x + (b.x - a.x) * ease, a.y + (b.y - a.y) * ease, a.yaw + (b.yaw - a.yaw) * ease)

    def _extend(self) -> None:
        here = self._stops[-1]
        picks = self._places[self._rng.integers(len(self._places), size=4 * CANDIDATES)]
        straight = picks[self._clear(here, picks)]
        stop = self._best(straight[:CANDIDATES] if len(straight) else np.array([[here.x, here.y]]), here)
        # Turn the short way. A gentle start and stop peaks at 1.5 times the mean speed.
        swing = math.remainder(stop.yaw - here.yaw, 2 * math.pi)
        distance = math.hypot(stop.x - here.x, stop.y - here.y)
        takes = max(1.5 * distance / SPEED_M_S, 1.5 * abs(swing) / TURN_RAD_S, 0.5)
        self._stops.append(Pose(stop.x, stop.y, here.yaw + swing))
        self._times.append(self._times[-1] + takes)

    def _clear(self, here: Pose, there: np.ndarray) -> np.ndarray:
        """Which of the places (N, 2) are 0.3 to 2 m away, with nothing but free cells in between."""
        away = there - (here.x, here.y)
        distance = np.hypot(away[:, 0], away[:, 1])
        share = np.linspace(0, 1, 81)[None]
        columns = ((here.x + away[:, :1] * share) / CELL_M).astype(int)
        rows = ((here.y + away[:, 1:] * share) / CELL_M).astype(int)
        inside = (columns < self._plan.free.shape[1]) & (rows < self._plan.free.shape[0])
        free = (
            inside
            & self._plan.free[
                np.minimum(rows, len(self._plan.free) - 1), np.minimum(columns, self._plan.free.shape[1] - 1)
            ]
        )
        return (distance > 0.3) & (distance < 2.0) & free.all(axis=1)

    def _best(self, places: np.ndarray, here: Pose | None) -> Pose:
        """The place and direction, of a few drawn at random, that show most furniture and not what was just seen."""
        yaws = self._rng.uniform(-math.pi, math.pi, (len(places), YAWS))
        open_m = self._open_m(places)
        sights = self._plan.sights
        dx, dy = sights[None, :, 0] - places[:, :1], sights[None, :, 1] - places[:, 1:]
        distance, bearing = np.hypot(dx, dy), np.arctan2(dy, dx)
        ray = np.round(bearing / (2 * math.pi) * RAYS).astype(int) % RAYS
        hidden = distance > np.take_along_axis(open_m, ray, axis=1) + 0.7
        worth = sights[None, :, 3] / np.maximum(distance, 1.0) ** 1.5 * np.clip(distance - 0.35, 0.05, 1)
        worth = np.where(hidden, 0.1 * worth, worth) * self._interest
        seen = self._in_view(bearing, yaws)
        score = np.einsum("pks,ps->pk", seen, worth)
        # A view filled by something 40 cm away shows little, whatever it is.
        rays = np.arange(RAYS) * (2 * math.pi / RAYS)
        across = self._in_view(np.broadcast_to(rays, (len(places), RAYS)), yaws)
        depth = (across * np.minimum(open_m, OPEN_M)[:, None]).sum(axis=2) / across.sum(axis=2)
        score *= (depth / OPEN_M) ** 1.5
        if here is not None:
            swing = np.abs(_wrapped(yaws - here.yaw))
            score *= np.where(swing < 0.35, 0.6, np.where(swing > 2.4, 0.7, 1.0))
        i, k = np.unravel_index(int(np.argmax(score)), score.shape)
        # What has been looked at loses interest, and regains it slowly: the robot looks around.
        self._interest += 0.1 * (1 - self._interest)
        self._interest *= 1 - 0.15 * seen[i, k] * ~hidden[i]
        return Pose(float(places[i, 0]), float(places[i, 1]), float(yaws[i, k]))

    def _in_view(self, bearing: np.ndarray, yaws: np.ndarray) -> np.ndarray:
        """(P, K, N): how far each bearing (P, N) lies inside the field of view of each direction (P, K), 0 to 1."""
        off = np.abs(_wrapped(bearing[:, None, :] - yaws[:, :, None]))
        return np.clip((self._fov / 2 - off) / 0.25 + 0.5, 0, 1)

    def _open_m(self, places: np.ndarray) -> np.ndarray:
        """(P, RAYS): how far it is to the first thing or wall from each place (P, 2) all around, at most 5 m."""
        angle = np.arange(RAYS) * (2 * math.pi / RAYS)
        reach = np.arange(0, 5.0, 2 * CELL_M)
        rows, columns = self._plan.open.shape
        x = (places[:, :1, None] + reach * np.cos(angle)[:, None]) / CELL_M
        y = (places[:, 1:, None] + reach * np.sin(angle)[:, None]) / CELL_M
        inside = (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
        i, j = np.clip(y, 0, rows - 1).astype(np.intp), np.clip(x, 0, columns - 1).astype(np.intp)
        free = inside & self._plan.open[i, j]
        free[..., -1] = False
        return reach[np.argmin(free, axis=2)]


def _wrapped(angle: np.ndarray) -> np.ndarray:
    """The same angles in [-pi, pi)."""
    return np.mod(angle + math.pi, 2 * math.pi) - math.pi
