"""Drives through unseen homes, and what a student says in each frame, with the pose that the robot believes in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.atomic import atomic_directory
from edgevl_core.bundle.student_bundle import Bundle
from edgevl_core.camera.depth import MeasuredDepth
from edgevl_core.classify.classifier import Classifier
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.room_map.correction import Correction
from edgevl_core.room_map.from_bags import camera_of
from edgevl_core.room_map.occupancy import OccupancyMap
from edgevl_core.room_map.rooms import Words
from edgevl_core.room_map.track import read_track
from edgevl_core.room_map.view import Intrinsics, Stand
from edgevl_sim import write_bag

LIGHTS = {"lit": "on", "dark": "off"}
POSES = ("true", "set right", "drifting", "by walls")


@dataclass(frozen=True)
class Frame:
    """One frame of a drive.

    Attributes:
        room: the true one.
        stand: where the robot believes its camera to be.
        odometry: where odometry says it is, in a frame of its own.
        embedding: (D,) float32 of length 1; temperature: of its modality; known: see RoomMap.add_frame.
    """

    room: str
    stand: Stand
    odometry: Stand
    embedding: NDArray[np.float32]
    temperature: float
    known: bool
    depth: MeasuredDepth
    camera: Intrinsics | None

    def word(self, words: Words) -> str:
        """What this frame alone says."""
        return words.names[int((words.vectors @ self.embedding).argmax())]


@dataclass(frozen=True)
class Homes:
    """Where the bags lie, and how long a drive is: frames in each of eight rooms, four seconds apart."""

    work: Path
    seed: int
    frames_per_room: int

    def bag(self, home: int, light: str) -> Path:
        """One drive through a home of the split ``test``, made where it is not there yet."""
        path = self.work / f"home{self.seed}_{home}_{light}_{self.frames_per_room}"
        if not path.exists():
            with atomic_directory(path) as made:
                write_bag(
                    made / "bag",
                    seed=self.seed,
                    split="test",
                    homes=1,
                    first_home=home,
                    frames_per_room=self.frames_per_room,
                    lights=LIGHTS[light],
                )
        return path / "bag"


def seen(bag: Path, bundle: Bundle) -> list[Frame]:
    """Every frame of a drive as the student of ``bundle`` sees it, at its true pose."""
    poses, odometry, pairs = read_track(bag, "pose"), read_track(bag, "odom"), read_pairs(bag)
    camera, classifier, frames = camera_of(bag, pairs.streams), Classifier(bundle), []
    for pair in pairs:
        scene, stand, drifted = (
            classifier.classify(pair.rgb, pair.depth_m),
            poses.at(pair.stamp_ns),
            odometry.at(pair.stamp_ns),
        )
        if pair.truth is None or stand is None or drifted is None:
            raise ValueError(
                f"{bag}: a frame without truth, pose or odometry; the simulator writes them all: remove it"
            )
        temperature = bundle.manifest.temperature.of(scene.modality)
        frames.append(
            Frame(pair.truth.room, stand, drifted, scene.embedding, temperature, scene.known, pair.depth_m, camera)
        )
    return frames


def believed(frames: Sequence[Frame], poses: str, occupancy: OccupancyMap) -> list[Frame]:
    """The same frames where the robot believes them to be, by one of ``POSES``.

    true: as they were. drifting: odometry from the drive's beginning to its end, with nothing that corrects it. set
    right: odometry that is corrected whenever a room is entered, as a robot does that knows its map. by walls: odometry
    that edgevl sets right by what depth sees of the walls.
    """
    if poses == "true":
        return list(frames)
    if poses == "by walls":
        correction = Correction(occupancy)
        correction.begin(frames[0].odometry, frames[0].stand)
        return [replace(frame, stand=correction.of(frame.odometry, frame.depth, frame.camera)) for frame in frames]
    moved = [frames[0]]
    for before, frame in pairwise(frames):
        entered = poses == "set right" and frame.room != before.room
        stand = frame.stand if entered else _moved(moved[-1].stand, before.odometry, frame.odometry)
        moved.append(replace(frame, stand=stand))
    return moved


def _moved(stand: Stand, before: Stand, after: Stand) -> Stand:
    """``stand`` after the step from ``before`` to ``after``."""
    dx, dy = after.x - before.x, after.y - before.y
    sine, cosine = math.sin(before.yaw), math.cos(before.yaw)
    step = Stand(cosine * dx + sine * dy, cosine * dy - sine * dx, after.yaw - before.yaw)
    return stand.of_camera(step)


def misled(frames: Sequence[Frame], share: float, words: Words, rng: np.random.Generator) -> list[Frame]:
    """A share of the frames, drawn by ``rng``, says a random word instead."""
    chosen = set(rng.permutation(len(frames))[: round(share * len(frames))].tolist())
    said = rng.integers(len(words.names), size=len(frames))
    return [
        replace(frame, embedding=words.vectors[said[row]]) if row in chosen else frame
        for row, frame in enumerate(frames)
    ]
