"""A room map against the true rooms: which room is which, and how much of the floor is in the right one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Judgement:
    """What a room map is worth where the truth is known.

    Attributes:
        matched: true room -> the number of the found one that overlaps it most (intersection over union), one to one.
        named: the true rooms whose found one has their name.
        cells: share of the free cells of the true rooms that lie in the room matched with theirs.
    """

    matched: dict[str, int]
    named: tuple[str, ...]
    cells: float


def judge(
    true: NDArray[np.integer], names: Sequence[str], numbers: NDArray[np.int32], labels: Mapping[int, str]
) -> Judgement:
    """Compare found rooms with true ones.

    Args:
        true: (rows, columns) of each free cell which of ``names`` it belongs to; -1: of no room, not counted.
        numbers: (rows, columns) the found room of each cell, 0: none.
        labels: found room -> its name.
    """
    inside = true >= 0
    both = np.zeros((len(names), int(numbers.max(initial=0)) + 1))
    np.add.at(both, (true[inside], numbers[inside]), 1)
    union = both.sum(axis=1, keepdims=True) + both.sum(axis=0) - both
    overlap = both / np.maximum(union, 1)
    overlap[:, 0] = 0
    matched: dict[str, int] = {}
    right = 0.0
    for flat in np.argsort(-overlap, axis=None, kind="stable").tolist():
        room, number = divmod(flat, overlap.shape[1])
        if overlap[room, number] == 0:
            break
        if names[room] not in matched and number not in matched.values():
            matched[names[room]] = number
            right += both[room, number]
    named = tuple(name for name in names if name in matched and labels.get(matched[name]) == name)
    return Judgement(matched, named, right / max(int(inside.sum()), 1))
