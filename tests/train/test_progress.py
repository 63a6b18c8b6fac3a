import io
import json
from pathlib import Path

import pytest

from edgevl_core.base.errors import UserError
from edgevl_train.progress import RunProgress

pytestmark = pytest.mark.unit
KEYS = {"state", "stage", "progress", "eta_s", "message", "bundle_path", "bundle_id", "exit_code", "wall_s"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def status(path: Path) -> dict:
    return json.loads(path.read_text())


def test_status_file_follows_the_run(tmp_path: Path) -> None:
    clock, path, stream = Clock(), tmp_path / "status.json", io.StringIO()
    with RunProgress(path, {"cache": 1, "train": 3}, stream=stream, clock=clock) as progress:
        progress.stage("cache")
        clock.now = 10
        progress.update(1, 1, "all")
        progress.stage("train")
        clock.now = 20
        progress.update(1, 3, "epoch 1")
        now = status(path)
        assert set(now) == KEYS
        assert (now["state"], now["stage"], now["message"]) == ("running", "train", "epoch 1")
        assert now["progress"] == pytest.approx(0.5)
        assert now["eta_s"] == pytest.approx(20)
        progress.result(tmp_path / "bundle", "abc")
    end = status(path)
    assert (end["state"], end["progress"], end["exit_code"], end["bundle_id"]) == ("succeeded", 1.0, 0, "abc")
    assert progress.wall_s() == {"cache": 10, "train": 10}
    assert "train" in stream.getvalue()


def test_a_run_that_is_gone_on_with_counts_the_time_before(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "status.json"
    shares = {"cache": 1, "train": 3}
    with RunProgress(path, shares, stream=io.StringIO(), clock=clock) as progress:
        progress.stage("cache")
        clock.now = 10
        progress.stage("train")
        clock.now = 35
    clock.now = 1000  # another process, later
    with RunProgress(path, shares, stream=io.StringIO(), clock=clock) as progress:
        progress.stage("train")
        clock.now = 1005
    assert progress.wall_s() == status(path)["wall_s"] == {"cache": 10, "train": 30}
    for content in ("", "[]", '{"state": "running"}'):  # nobody knows
        path.write_text(content)
        with RunProgress(path, shares, stream=io.StringIO(), clock=clock) as progress:
            assert progress.wall_s() == {}


def test_a_bundle_that_should_not_be_used_says_why(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    with RunProgress(path, {"a": 1}, stream=io.StringIO()) as progress:
        progress.stage("a")
        progress.result(tmp_path / "bundle", "abc", "keep the one before", "keep the one before")
    end = status(path)
    assert (end["state"], end["message"], end["refused"]) == ("succeeded", "keep the one before", "keep the one before")


def test_status_file_is_not_written_more_than_twice_a_second(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "status.json"
    with RunProgress(path, {"a": 1}, stream=io.StringIO(), clock=clock) as progress:
        progress.stage("a")
        progress.update(1, 10)
        assert status(path)["progress"] == 0
        clock.now = 0.6
        progress.update(2, 10)
        assert status(path)["progress"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (KeyboardInterrupt(), "cancelled", 130),
        (UserError("no bag"), "failed", 2),
        (ValueError("x"), "failed", 1),
    ],
)
def test_how_a_run_ends_badly(tmp_path: Path, error: BaseException, state: str, code: int) -> None:
    path = tmp_path / "status.json"
    progress = RunProgress(path, {"a": 1}, stream=io.StringIO())
    with pytest.raises(type(error)), progress:
        raise error
    assert (status(path)["state"], status(path)["exit_code"]) == (state, code)
    if state == "failed":
        assert str(error) in status(path)["message"]


def test_plain_lines_are_rare(tmp_path: Path) -> None:
    clock, stream = Clock(), io.StringIO()
    with RunProgress(None, {"a": 1}, stream=stream, clock=clock) as progress:
        progress.stage("a")
        for i in range(100):
            clock.now = i * 0.1
            progress.update(i, 100)
    assert len(stream.getvalue().splitlines()) <= 4
