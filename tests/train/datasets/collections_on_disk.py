"""Tiny pictures for made-up collections, and their bags read back."""

from pathlib import Path

import cv2
import numpy as np

from edgevl_core.pairlog.pairs import RgbdPair, read_pairs

RED = (200, 30, 20)


def write_rgb(file: Path) -> None:
    """A red (6, 8) image."""
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), np.full((6, 8, 3), RED[::-1], np.uint8))


def write_png16(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), values.astype(np.uint16))


def depth_mm(number: int) -> np.ndarray:
    """(3, 4) uint16: a hole, the smallest and the largest value, and ``number`` metres."""
    values = np.full((3, 4), 1000 * number, np.uint16)
    values[0, :3] = 0, 1, 65535
    return values


def pairs_of(bag: Path) -> list[RgbdPair]:
    pairs = read_pairs(bag)
    found = list(pairs)
    assert pairs.stats == {"pairs": len(found)}, "messages of the bag did not pair, or cannot be decoded"
    return found


def millimetres(pair: RgbdPair) -> np.ndarray:
    """The depth of a pair as uint16, NaN as 0; exact to the millimetre or the cast shows it."""
    return np.rint(np.nan_to_num(pair.depth_m) * 1000).astype(np.uint16)


def truths(pairs: list[RgbdPair]) -> set[tuple[str, str]]:
    """{(room, home)}; every frame of a collection counts in full."""
    found = [pair.truth for pair in pairs]
    assert all(truth is not None and truth.furniture_fraction == 1.0 for truth in found)
    return {(truth.room, truth.home) for truth in found if truth}
