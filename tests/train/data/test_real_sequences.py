"""Real pairs of many rooms: what their table says arrives in the bag, and the split cuts none of their sequences."""

import csv
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from edgevl_core.pairlog.pairs import read_pairs
from edgevl_train.data.split import split_pairs
from edgevl_train.datasets.kinds import import_collection
from edgevl_train.sections import SplitSection

pytestmark = pytest.mark.real
FOLDER = "real_rooms/nyu_train"


def test_real_rooms_keep_their_sequences(tmp_path: Path, real_data: Path) -> None:
    source = real_data / FOLDER
    if not source.is_dir():
        pytest.skip(f"EDGEVL_REAL_DATA={real_data} has no {FOLDER}")
    summary = import_collection(source, tmp_path / "bag")
    assert (summary.pairs, summary.unreadable, summary.notes) == (795, [], [])
    found = list(read_pairs(tmp_path / "bag").recorded())
    truths = [(pair.truth.room, pair.truth.home) for pair in found if pair.truth]
    with (source / "pairs.csv").open(newline="") as stream:
        assert truths == [(row["room"], row["sequence"]) for row in csv.DictReader(stream)]
    homes = np.array([home for _, home in truths])
    assert len(homes) == 795
    assert len(list(groupby(homes))) == len(set(homes)) == 139

    split = split_pairs(np.array([pair.stamp_ns for pair in found]), np.zeros(795, int), SplitSection(), seed=0)
    assert (split.by, len(split.val), split.dropped) == ("sequence", 80, 0)
    assert not set(homes[split.train]) & set(homes[split.val])
