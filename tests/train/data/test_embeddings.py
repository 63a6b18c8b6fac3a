"""The teacher's embeddings: computed once, gone on with by any number of processes, errors that say what to do."""

import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_train.data.embeddings import SAVE_EVERY, embed_views
from edgevl_train.data.run_data import RunData
from edgevl_train.teacher.model import Teacher
from tests.paths import ROOT

pytestmark = pytest.mark.train


def make_teacher(dim: int = 16, batch: int = 16) -> Teacher:
    spec = importlib.util.spec_from_file_location(
        "distributed_process", ROOT / "tests/train/training/distributed_process.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    teacher: Teacher = module.make_teacher(dim, batch)
    return teacher


class Stopped(Exception):
    """Cuts a run off."""


def run(data: RunData, directory: Path, teacher: Teacher, stop_at: int = 0) -> tuple[np.ndarray, list[int]]:
    """The embeddings, and the batches done as they were told; all of the validation rows but view 0 left out."""
    told: list[int] = []

    def on_progress(done: int, total: int, message: str) -> None:
        told.append(done)
        assert done <= total
        if done == stop_at:
            raise Stopped

    out = embed_views(teacher, data.cache, data.views, directory, on_progress, only_full=data.val)
    return np.array(out), told


def test_cut_off_it_goes_on_after_the_last_batch_with_any_batch_size(run_data: RunData, tmp_path: Path) -> None:
    teacher = make_teacher()
    for directory in (tmp_path / "whole", tmp_path / "cut"):
        directory.mkdir()
    whole, told = run(run_data, tmp_path / "whole", teacher)
    assert told == list(range(1, 20 + 2 * 16 + 1))  # 320 rows of view 0, 256 of the other two
    assert (whole[1:, run_data.val] == 0).all()
    assert np.abs(np.linalg.norm(whole[0].astype(np.float32), axis=1) - 1).max() < 2e-3
    with pytest.raises(Stopped):
        run(run_data, tmp_path / "cut", teacher, stop_at=SAVE_EVERY + 5)
    with pytest.raises(Stopped):
        run(run_data, tmp_path / "cut", make_teacher(batch=7), stop_at=90)
    rest, told = run(run_data, tmp_path / "cut", teacher)
    assert len(told) < 27  # what was done is not done again
    assert np.allclose(rest, whole, atol=1e-3)
    assert run(run_data, tmp_path / "cut", teacher)[1] == []


def test_a_teacher_of_another_dimension_is_named(run_data: RunData, tmp_path: Path) -> None:
    before, _ = run(run_data, tmp_path, make_teacher(16))
    with pytest.raises(UserError, match=r"16 dimensions, teacher tiny makes 24.*--out"):
        run(run_data, tmp_path, make_teacher(24))
    assert np.array_equal(run(run_data, tmp_path, make_teacher(16))[0], before)


def test_no_room_on_the_disk_is_said_before_anything_is_computed(
    run_data: RunData, tmp_path: Path, files_of_at_most: Callable[[int], AbstractContextManager[None]]
) -> None:
    needs = pytest.raises(UserError, match=r"teacher_embeddings.f16 needs 0.0 MiB.*views.count")
    with files_of_at_most(4096), needs:
        run(run_data, tmp_path, make_teacher(), stop_at=1)
    assert not list(tmp_path.iterdir())


def test_files_that_were_cut_short_are_made_anew(run_data: RunData, tmp_path: Path) -> None:
    whole, _ = run(run_data, tmp_path, make_teacher())
    file = tmp_path / "teacher_embeddings.f16"
    file.write_bytes(file.read_bytes()[:-100])
    again, told = run(run_data, tmp_path, make_teacher())
    assert told[0] == 1
    assert np.array_equal(again, whole)
    (tmp_path / "teacher_embeddings.json").write_text("{")
    again, told = run(run_data, tmp_path, make_teacher())
    assert told[0] == 1
    assert np.array_equal(again, whole)
