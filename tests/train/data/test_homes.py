"""Drives of one home and of two, as clusters of embeddings: each room is a place of its own within its label."""

import numpy as np
import pytest

from edgevl_train.data.homes import unlike_bags, warnings

pytestmark = pytest.mark.unit
LABELS, DIM = 4, 32
BANK = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, LABELS)))[0].T.astype(np.float32)


def drive(home: int, seed: int, pairs: int = 120) -> np.ndarray:
    """(pairs, DIM): room after room; what a room looks like is the home's, what a frame adds is the drive's."""
    looks = np.random.default_rng(home).normal(size=(LABELS, 3, DIM))
    rng = np.random.default_rng([home, seed])
    label = np.arange(pairs) * LABELS // pairs
    view = looks[label, rng.integers(0, 3, pairs)]
    x = BANK[label] + 0.15 * view + 0.04 * rng.normal(size=(pairs, DIM))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def together(*drives: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lengths = [len(each) for each in drives]
    stamp_ns = np.concatenate([np.arange(n) * 10**9 for n in lengths])
    return np.concatenate(drives), stamp_ns, np.repeat(np.arange(len(drives)), lengths)


def test_two_days_of_one_home_are_alike_and_two_homes_are_not() -> None:
    assert unlike_bags(*together(drive(1, 0), drive(1, 1)), BANK) == []
    found = together(drive(1, 0), drive(1, 1), drive(2, 0))
    assert unlike_bags(*found, BANK) == [(0, 2), (1, 2)]
    (first, *_) = warnings(*found, BANK, ["monday", "tuesday", "monday"])
    assert "bags monday and monday look like two homes" in first
    assert "\n" not in first


def test_one_drive_or_a_handful_of_pairs_says_nothing() -> None:
    assert unlike_bags(*together(drive(1, 0)), BANK) == []
    assert unlike_bags(*together(drive(1, 0), drive(2, 0, pairs=10)), BANK) == []
