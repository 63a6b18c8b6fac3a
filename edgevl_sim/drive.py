"""A drive through a home: frames of RGB and depth, with the truth beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgevl_core.base.errors import UserError
from edgevl_sim.another_day import APART_NS
from edgevl_sim.apartment import build_room, camera_of, room_order
from edgevl_sim.parts import Floats
from edgevl_sim.path import RoomPath
from edgevl_sim.plans import ROOMS
from edgevl_sim.render import Pose, focal_px, render
from edgevl_sim.seeds import drive_rng, home_name
from edgevl_sim.sensor import exposure_of, sense_depth, sense_rgb

START_STAMP_NS = 1_700_000_000_000_000_000
LIGHTS = ("on", "off", "mixed", "halfway")
HEIGHT_PX, WIDTH_PX = 240, 320


class Frame(NamedTuple):
    """One moment of a drive.

    rgb (H, W, 3) uint8; depth_mm (H, W) uint16, 0 invalid; depth_true_m (H, W) float32, along the optical axis.
    furniture_fraction: share of the pixels that show furniture (not floor, walls, ceiling, doors, windows, rugs).
    light: 0 (off) to 1 (lit). Both cameras are one, at 0.15 to 0.4 m, in pixels of focal length focal_px.
    """

    stamp_ns: int
    rgb: npt.NDArray[np.uint8]
    depth_mm: npt.NDArray[np.uint16]
    depth_true_m: Floats
    room: str
    home: str
    furniture_fraction: float
    light: float
    focal_px: float
    camera_height_m: float
    pose: Pose


def drive(
    home_seed: int,
    *,
    drive_number: int = 0,
    frames_per_room: int = 8,
    hz: float = 0.25,
    lights: str = "on",
    start_stamp_ns: int | None = None,
    size: tuple[int, int] = (HEIGHT_PX, WIDTH_PX),
) -> Iterator[Frame]:
    """Drive through the eight rooms of a home, frames_per_room frames in each, stamps 1/hz seconds apart.

    The way through a room does not depend on hz, so a low rate samples the same way sparsely: 0.25 Hz spreads
    8 frames over half a minute, which is what training wants; 10 Hz is a live drive.
    lights: "on", "off", "mixed" (a random third of the rooms dimmed to 0.05 to 0.5) or "halfway" (the whole drive
    lit, then the same drive again in the dark). size is (height, width) in pixels.
    drive_number: 1, 2, ... are the same home on other days: another way, another light, some furniture moved, and
    stamps a day and more later unless start_stamp_ns is given.

    Raises UserError for lights, frames_per_room, hz or drive_number out of range.
    """
    check_drive(frames_per_room, hz, lights, drive_number)
    start_ns = first_stamp_ns(start_stamp_ns, drive_number)
    index = 0
    for lit in passes(lights):
        for room in room_order(home_seed, drive_number):
            first = start_ns + stamp_offset_ns(index, hz)
            yield from drive_room(home_seed, room, range(frames_per_room), hz, lit, first, size, drive_number)
            index += frames_per_room


def check_drive(frames_per_room: int, hz: float, lights: str, drive_number: int) -> None:
    """Raise UserError for what no drive can be made of."""
    if lights not in LIGHTS:
        raise UserError(f"lights {lights!r} is unknown: choose one of {', '.join(LIGHTS)}")
    if frames_per_room < 1:
        raise UserError(f"frames per room is {frames_per_room}: give 1 or more")
    if not 0 < hz <= 1000:
        raise UserError(f"rate {hz} Hz is out of range: give more than 0 and at most 1000")
    if drive_number < 0:
        raise UserError(f"drive {drive_number} is negative: give 0 for the first drive, 1 or more for another day")


def first_stamp_ns(start_stamp_ns: int | None, drive_number: int) -> int:
    """The stamp of a drive's first frame: the given one, or the day of the drive."""
    return START_STAMP_NS + drive_number * APART_NS if start_stamp_ns is None else start_stamp_ns


def passes(lights: str) -> tuple[str, ...]:
    """The lights of each time the home is driven through."""
    return ("on", "off") if lights == "halfway" else (lights,)


def stamp_offset_ns(index: int, hz: float) -> int:
    """Nanoseconds from the first frame to frame `index`; rounded from the start, so that no error adds up."""
    return round(index * 1e9 / hz)


def light_level(home_seed: int, room: str, lights: str, drive_number: int = 0) -> float:
    """How lit this room is, 0 to 1. Lights that are on give 1 on drive 0, 0.55 to 1 on others."""
    if lights == "off":
        return 0.0
    if lights == "on" and drive_number == 0:
        return 1.0
    rng = drive_rng((home_seed, 104, ROOMS.index(room)), drive_number)
    if lights == "on":
        return float(rng.uniform(0.55, 1.0))
    return float(rng.uniform(0.05, 0.5)) if rng.random() < 1 / 3 else 1.0


def drive_room(
    home_seed: int,
    room_name: str,
    frames: range,
    hz: float,
    lights: str,
    start_stamp_ns: int,
    size: tuple[int, int] = (HEIGHT_PX, WIDTH_PX),
    drive_number: int = 0,
) -> Iterator[Frame]:
    """Some of the frames of one room, number 0 being stamped start_stamp_ns; lights "on", "off" or "mixed".

    A frame depends on nothing but these arguments and its number, so that any part can be rendered anywhere.
    """
    number = ROOMS.index(room_name)
    room, camera = build_room(home_seed, room_name, drive_number), camera_of(home_seed)
    path = RoomPath(room.floor_plan, camera.fov_rad, drive_rng((home_seed, 105, number), drive_number))
    level = light_level(home_seed, room_name, lights, drive_number)
    exposure = exposure_of(drive_rng((home_seed, 106, number), drive_number), level)
    focal = focal_px(camera, size[1])
    for k in frames:
        pose = path.pose(k / hz)
        view = render(room, camera, pose, *size)
        rng = drive_rng((home_seed, 107, number, k, round(level * 1000)), drive_number)
        yield Frame(
            start_stamp_ns + stamp_offset_ns(k, hz),
            sense_rgb(view, exposure, rng),
            sense_depth(view, room.mesh, focal, rng),
            view.depth_m,
            room_name,
            home_name(home_seed),
            float(np.take(room.mesh.furniture, view.face).mean()),
            level,
            focal,
            camera.height_m,
            pose,
        )
