"""Which home is which: one integer names a home, and no two splits ever share one."""

from __future__ import annotations

import numpy as np

from edgevl_core.base.errors import UserError

SPLITS = ("train", "val", "test")
HOMES_PER_SPLIT = 1 << 20


def home_seed(seed: int, split: str, index: int) -> int:
    """The integer that names home `index` of a split.

    The three numbers are packed, not hashed, so two homes are the same only if all three are: the
    homes of train, val and test are disjoint for every seed, and so are those of two seeds.

    Raises UserError for a negative seed, an unknown split, or an index outside [0, 2**20).
    """
    if split not in SPLITS:
        raise UserError(f"split {split!r} is unknown: choose one of {', '.join(SPLITS)}")
    if seed < 0:
        raise UserError(f"seed {seed} is negative: give an integer of 0 or more")
    if not 0 <= index < HOMES_PER_SPLIT:
        raise UserError(f"home {index} is out of range: accepted is 0 to {HOMES_PER_SPLIT - 1}")
    return (seed * len(SPLITS) + SPLITS.index(split)) * HOMES_PER_SPLIT + index


def home_name(seed: int) -> str:
    """The split and index packed in a home seed, "train-0007", for people and for the truth topic."""
    packed, index = divmod(seed, HOMES_PER_SPLIT)
    return f"{SPLITS[packed % len(SPLITS)]}-{index:04d}"


def drive_rng(key: tuple[int, ...], drive: int) -> np.random.Generator:
    """The source of chance of something that each drive through a home draws anew.

    Drive 0 has the key without a number, which is what it was drawn from before there were others.
    """
    return np.random.default_rng((*key, drive) if drive else key)
