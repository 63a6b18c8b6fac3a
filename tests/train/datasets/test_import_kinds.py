"""What all importers share: the order of the samples and the choice by layout."""

from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevl_core.base.errors import UserError
from edgevl_train.datasets.files import read_files
from edgevl_train.datasets.kinds import import_collection
from edgevl_train.datasets.sample import Sample, by_scene
from tests.train.datasets.collections_on_disk import write_rgb

pytestmark = pytest.mark.unit


@given(st.lists(st.text("abc", max_size=2), max_size=40))
def test_scenes_are_apart_and_each_in_its_own_order(scenes: list[str]) -> None:
    samples = [Sample(lambda: read_files(Path(), Path()), room=str(i), scene=scene) for i, scene in enumerate(scenes)]
    stamped = by_scene(samples)
    assert sorted(sample.room for sample in stamped) == sorted(sample.room for sample in samples)
    assert len(list(groupby(stamped, key=lambda sample: sample.scene))) == len(set(scenes))
    for before, after in pairwise(stamped):
        step_s = (after.stamp_ns - before.stamp_ns) / 1e9
        if before.scene == after.scene:
            assert 0.02 < step_s < 0.1
            assert int(before.room) < int(after.room)
        else:
            assert step_s > 60


def test_an_unknown_layout_names_all_that_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    write_rgb(tmp_path / "source" / "image" / "1.jpg")
    for source in (tmp_path / "source", tmp_path / "source" / "image" / "1.jpg"):
        with pytest.raises(UserError, match=r"pairs\.csv.*NYU Depth V2.*ScanNet.*EuroSAT.*SUN RGB-D"):
            import_collection(source, tmp_path / "bag")
    with pytest.raises(UserError, match="nowhere does not exist"):
        import_collection(tmp_path / "nowhere", tmp_path / "bag")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
