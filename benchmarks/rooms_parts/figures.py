"""What a map with names is worth in a home whose true rooms are known."""

from collections.abc import Sequence

import numpy as np

from edgevl_core.room_map.judge import judge
from edgevl_core.room_map.occupancy import Grid, OccupancyMap
from edgevl_core.room_map.rooms import Words
from edgevl_sim.floorplan import CELL_M
from edgevl_sim.home_map import FREE, HomeMap
from rooms_parts.drives import LIGHTS, POSES, Frame, believed, misled
from rooms_parts.methods import METHODS, Named

# Poses, and the share of the frames that say a random word.
CASES = {
    "as it is": ("true", 0.0),
    "drift, set right": ("set right", 0.0),
    "drift": ("drifting", 0.0),
    "drift, by walls": ("by walls", 0.0),
    "a fifth wrong": ("true", 0.2),
    "drift, set right, a fifth wrong": ("set right", 0.2),
    "drift, by walls, a fifth wrong": ("by walls", 0.2),
}
FIGURES = ("rooms", "cells", "places", "goals")
assert {poses for poses, _ in CASES.values()} == set(POSES)


def figures(
    frames: Sequence[Frame], true: HomeMap, words: Words, cases: Sequence[str], key: tuple[int, int, str]
) -> dict[str, dict[str, dict[str, float]]]:
    """By case and method; "frames" is the share of single frames that are right.

    Args:
        key: seed, home and light: the same frames are wrong for every student.
    """
    occupancy = OccupancyMap(Grid(true.percent.shape, CELL_M, (0.0, 0.0)), true.percent)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for case in cases:
        poses, share = CASES[case]
        rng = np.random.default_rng([key[0], key[1], list(LIGHTS).index(key[2])])
        told = misled(believed(frames, poses, occupancy), share, words, rng)
        alone = float(np.mean([frame.word(words) == frame.room for frame in told]))
        found[case] = {name: of_map(make(told, occupancy, words), true, told) for name, make in METHODS.items()}
        found[case]["frames"] = {
            "right": alone,
            "astray_m": float(np.mean([_apart(a, b) for a, b in zip(frames, told, strict=True)])),
        }
    return found


def of_map(named: Named, true: HomeMap, frames: Sequence[Frame]) -> dict[str, float]:
    """Shares of 1.

    rooms: true rooms whose matched one has their name. cells: free cells in the matched room. places: frames whose
    believed pose is answered with the true room. goals: words whose found place lies in the room of that word.
    """
    judged = judge(np.where(true.percent == FREE, true.room, -1), true.names, named.numbers, named.labels)
    return {
        "rooms": len(judged.named) / len(true.names),
        "cells": judged.cells,
        "places": float(np.mean([named.word_at(f.stand.x, f.stand.y) == f.room for f in frames])),
        "goals": float(np.mean([_room_of(true, named.find(word)) == word for word in true.names])),
    }


def _room_of(true: HomeMap, place: tuple[float, float] | None) -> str:
    if place is None:
        return ""
    number = int(true.room[int(place[1] / CELL_M), int(place[0] / CELL_M)])
    return true.names[number] if number >= 0 else ""


def _apart(a: Frame, b: Frame) -> float:
    return float(np.hypot(a.stand.x - b.stand.x, a.stand.y - b.stand.y))
