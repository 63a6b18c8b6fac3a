"""Simulated drives as rosbag2."""

from pathlib import Path

import numpy as np
import pytest

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.pairlog.reader import BagReader
from edgevl_core.pairlog.types import deserialize
from edgevl_sim import ROOMS, drive, home_seed, write_bag
from edgevl_sim.bag import TOPICS

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home, one frame a room, lit and then dark."""
    path = tmp_path_factory.mktemp("bags") / "one"
    progress: list[tuple[int, int]] = []
    summary = write_bag(
        path,
        seed=1,
        split="val",
        homes=1,
        first_home=4,
        frames_per_room=1,
        hz=2.0,
        lights="halfway",
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert summary.homes == ("val-0004",)
    assert summary.frames == 16 == progress[-1][0] == progress[-1][1]
    assert summary.last_stamp_ns - summary.first_stamp_ns == 7_500_000_000
    return path


def test_what_goes_in_comes_out(bag: Path) -> None:
    pairs = list(read_pairs(bag))
    frames = list(drive(home_seed(1, "val", 4), frames_per_room=1, hz=2.0, lights="halfway"))
    assert len(pairs) == len(frames) == 16
    for pair, frame in zip(pairs, frames):
        assert pair.stamp_ns == frame.stamp_ns
        assert pair.skew_s == 0
        np.testing.assert_array_equal(pair.rgb, frame.rgb)
        np.testing.assert_allclose(np.nan_to_num(pair.depth_m), frame.depth_mm / 1000, atol=1e-6)
        assert pair.truth is not None
        assert (pair.truth.room, pair.truth.home) == (frame.room, "val-0004")
        assert pair.truth.furniture_fraction == pytest.approx(frame.furniture_fraction, abs=1e-6)
    assert {pair.truth.room for pair in pairs if pair.truth} == set(ROOMS)


def test_topics_and_camera(bag: Path) -> None:
    frame = next(drive(home_seed(1, "val", 4), frames_per_room=1))
    with BagReader(bag) as reader:
        assert {name: t.msgtype for name, t in reader.topics.items()} == TOPICS
        counts = {name: topic.count for name, topic in reader.topics.items()}
        assert counts.pop("map") == 2  # at the beginning of each of the two drives
        assert set(counts.values()) == {16}
        info = next(iter(reader.messages(["camera/rgb/camera_info"])))
    camera = deserialize(info.data, info.msgtype)
    assert camera.header.frame_id == "camera_optical_frame"
    assert (camera.width, camera.height) == (320, 240)
    assert camera.k[0] == camera.k[4] == pytest.approx(frame.focal_px)
    assert (camera.k[2], camera.k[5]) == (159.5, 119.5)


def test_workers_do_not_change_the_bag(bag: Path, tmp_path: Path) -> None:
    write_bag(
        tmp_path / "two",
        seed=1,
        split="val",
        homes=1,
        first_home=4,
        frames_per_room=1,
        hz=2.0,
        lights="halfway",
        workers=2,
    )
    with BagReader(bag) as one, BagReader(tmp_path / "two") as two:
        for a, b in zip(one.messages(), two.messages(), strict=True):
            assert (a.topic, a.stamp_ns, bytes(a.data)) == (b.topic, b.stamp_ns, bytes(b.data))


@pytest.mark.parametrize("wrong", [{"homes": 0}, {"workers": 0}, {"split": "dev"}, {"lights": "blue"}, {"hz": 0}])
def test_what_cannot_be_written_is_refused_before_anything_is(wrong: dict[str, object], tmp_path: Path) -> None:
    arguments: dict[str, object] = {"seed": 0, "split": "val", "homes": 1, **wrong}
    with pytest.raises(UserError):
        write_bag(tmp_path / "bag", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "bag").exists()


def test_a_bag_that_exists_is_not_overwritten(bag: Path) -> None:
    with pytest.raises(UserError):
        write_bag(bag, seed=0, split="val", homes=1)
