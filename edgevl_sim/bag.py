"""Write simulated drives as an ordinary rosbag2."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import cv2

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.place_messages import (
    OCCUPANCY_GRID,
    ODOMETRY,
    POSE,
    occupancy_msg,
    odometry_msg,
    pose_msg,
)
from edgevl_core.pairlog.types import (
    CAMERA_INFO,
    IMAGE,
    SCENE_TRUTH,
    camera_info_msg,
    image_msg,
    serialize,
    truth_msg,
)
from edgevl_core.pairlog.writer import BagWriter
from edgevl_sim.apartment import room_order
from edgevl_sim.drive import Frame, check_drive, drive_room, first_stamp_ns, passes, stamp_offset_ns
from edgevl_sim.floorplan import CELL_M
from edgevl_sim.home_map import home_map
from edgevl_sim.odometer import Odometer
from edgevl_sim.render import Pose
from edgevl_sim.seeds import drive_rng, home_name, home_seed

FRAME_ID = "camera_optical_frame"
FRAME_TOPICS = {
    "camera/rgb/image_raw": IMAGE,
    "camera/depth/image_raw": IMAGE,
    "camera/rgb/camera_info": CAMERA_INFO,
    "truth": SCENE_TRUTH,
}
TOPICS = {**FRAME_TOPICS, "pose": POSE, "odom": ODOMETRY, "map": OCCUPANCY_GRID}
FRAMES_PER_TASK = 40  # bounds what a worker hands over at once: 40 frames are 16 MB
TELLING_FRACTION = 0.05  # a frame with less furniture than this names no room


@dataclass(frozen=True)
class BagSummary:
    """What was written. homes: their names in order. telling_frames: frames with at least 5 % furniture."""

    path: Path
    frames: int
    telling_frames: int
    homes: tuple[str, ...]
    first_stamp_ns: int
    last_stamp_ns: int
    message_bytes: int


class _Task(NamedTuple):
    home_seed: int
    room: str
    frames: range
    hz: float
    lights: str
    room_stamp_ns: int
    drive: int


class _Row(NamedTuple):
    stamp_ns: int
    messages: tuple[bytes, ...]  # in the order of FRAME_TOPICS
    telling: bool
    room: str
    pose: Pose  # in the room
    camera_height_m: float


class _Place:
    """Where the robot is while it drives through one home: the messages pose, odom and map."""

    def __init__(self, home_seed: int, drive: int) -> None:
        self._map = home_map(home_seed, drive)
        self._odometer = Odometer(drive_rng((home_seed, 120), drive))
        self._begun = False

    def begin(self, row: _Row) -> Iterator[tuple[str, bytes]]:
        """The home's map, once, at its first frame."""
        if not self._begun:
            self._begun = True
            yield "map", serialize(occupancy_msg(self._map.percent, CELL_M, (0.0, 0.0), row.stamp_ns))

    def of(self, row: _Row) -> Iterator[tuple[str, bytes]]:
        """pose and odom of a frame."""
        true = self._map.on_map(row.room, row.pose)
        drifted = self._odometer.move(true)
        yield "pose", serialize(pose_msg(true.x, true.y, row.camera_height_m, true.yaw, row.stamp_ns, "map"))
        yield "odom", serialize(odometry_msg(*drifted, row.stamp_ns, "odom", "base_link"))


def write_bag(  # noqa: PLR0913  (what a drive is, each with its usual value)
    path: Path | str,
    *,
    seed: int,
    split: str,
    homes: int,
    first_home: int = 0,
    drive: int = 0,
    frames_per_room: int = 8,
    hz: float = 0.25,
    lights: str = "on",
    workers: int = 1,
    start_stamp_ns: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> BagSummary:
    """Drive through homes first_home ... first_home + homes - 1 of a split, one after the other, into a new bag.

    Every frame is six messages of one stamp: rgb8, 16UC1 millimetres, camera_info and truth in the frame
    camera_optical_frame; pose, the camera's true place in the frame map; odom, which drifts from it. Each home begins
    with its map. Stamps rise by 1/hz from start_stamp_ns over the whole bag; see `drive` for hz and lights
    ("halfway": all homes lit, then the same drives again in the dark). drive: 1, 2, ... are the same homes, under
    the same names, on other days. The messages do not depend on `workers`,
    the number of processes; they are started by spawning, so a script that calls this with more than one needs
    the usual `if __name__ == "__main__"`. on_progress(frames done, frames in all) is called as frames are written.

    Raises UserError for values out of range and for a path that exists.
    """
    check_drive(frames_per_room, hz, lights, drive)
    if homes < 1:
        raise UserError(f"number of homes is {homes}: give 1 or more")
    if workers < 1:
        raise UserError(f"number of workers is {workers}: give 1 or more")
    seeds = [home_seed(seed, split, first_home + i) for i in range(homes)]
    start_ns = first_stamp_ns(start_stamp_ns, drive)
    tasks = list(_tasks(seeds, drive, frames_per_room, hz, lights, start_ns))
    total = sum(len(task.frames) for task in tasks)
    done = telling = size = 0
    last_ns = start_ns
    with BagWriter(path) as writer:
        for topic, msgtype in TOPICS.items():
            writer.add_topic(topic, msgtype)
        for rows, place in zip(_rendered(tasks, workers), _places(tasks), strict=True):
            for row in rows:
                for topic, message in (*place.begin(row), *zip(FRAME_TOPICS, row.messages), *place.of(row)):
                    writer.write(topic, message, row.stamp_ns)
                    size += len(message)
                telling += row.telling
                last_ns = row.stamp_ns
            done += len(rows)
            if on_progress is not None:
                on_progress(done, total)
    names = tuple(home_name(s) for s in seeds)
    return BagSummary(Path(path), done, telling, names, start_ns, last_ns, size)


def _tasks(
    seeds: list[int], drive: int, frames_per_room: int, hz: float, lights: str, start_ns: int
) -> Iterator[_Task]:
    index = 0
    for lit in passes(lights):
        for seed in seeds:
            for room in room_order(seed, drive):
                room_ns = start_ns + stamp_offset_ns(index, hz)
                for first in range(0, frames_per_room, FRAMES_PER_TASK):
                    frames = range(first, min(first + FRAMES_PER_TASK, frames_per_room))
                    yield _Task(seed, room, frames, hz, lit, room_ns, drive)
                index += frames_per_room


def _places(tasks: list[_Task]) -> Iterator[_Place]:
    """For each task the home it lies in; a home that is driven through again is begun anew."""
    for _, of_home in groupby(tasks, key=lambda task: (task.home_seed, task.lights)):
        place = None
        for task in of_home:
            place = place or _Place(task.home_seed, task.drive)
            yield place


def _rendered(tasks: list[_Task], workers: int) -> Iterator[list[_Row]]:
    """The rows of each task, in order; at most two tasks per worker are held at a time."""
    if workers == 1:
        yield from map(_render_task, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker) as pool:
        waiting: deque[Future[list[_Row]]] = deque()
        for task in tasks:
            waiting.append(pool.submit(_render_task, task))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _begin_worker() -> None:
    """One thread for OpenCV; and a worker ends with its parent, even one that is killed while its pool is half made."""
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, name="parent watch", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _render_task(task: _Task) -> list[_Row]:
    frames = drive_room(
        task.home_seed, task.room, task.frames, task.hz, task.lights, task.room_stamp_ns, drive_number=task.drive
    )
    return [_row(frame) for frame in frames]


def _row(frame: Frame) -> _Row:
    height, width = frame.depth_mm.shape
    stamp, focal = frame.stamp_ns, frame.focal_px
    fraction = frame.furniture_fraction
    messages = (
        image_msg(frame.rgb, "rgb8", stamp, FRAME_ID),
        image_msg(frame.depth_mm, "16UC1", stamp, FRAME_ID),
        camera_info_msg(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2, stamp, FRAME_ID),
        truth_msg(frame.room, frame.home, fraction, stamp, FRAME_ID),
    )
    encoded = tuple(serialize(message) for message in messages)
    return _Row(stamp, encoded, fraction >= TELLING_FRACTION, frame.room, frame.pose, frame.camera_height_m)
