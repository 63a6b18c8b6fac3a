"""Poses of a log: those between which a kept pair lies, in whichever order they arrive."""

import random

import pytest

from edgevl_core.pairlog.companions import Neighbours

pytestmark = pytest.mark.unit
MS = 1_000_000


def written(events: list[tuple[str, int]]) -> list[int]:
    """Stamps that are written, from ("pose" or "kept", stamp in milliseconds) in the order of arrival."""
    stamps: list[int] = []
    neighbours = Neighbours(lambda cdr, stamp_ns: stamps.append(stamp_ns // MS))
    for kind, stamp_ms in events:
        neighbours.arrived(stamp_ms * MS, b"x") if kind == "pose" else neighbours.kept(stamp_ms * MS)
    return sorted(stamps)


def test_the_poses_on_both_sides_are_written_and_no_others() -> None:
    poses = [("pose", stamp) for stamp in range(0, 1000, 100)]
    assert written([*poses, ("kept", 450)]) == [400, 500]
    assert written([("kept", 450), *poses]) == [500]  # what was before it has not been heard
    assert written([*poses[:5], ("kept", 450), *poses[5:]]) == [400, 500]
    assert written([*poses, ("kept", 400)]) == [400, 500]
    assert written(poses) == []
    assert written([*poses, ("kept", 450), ("kept", 480), ("kept", 510)]) == [400, 500, 600]


@pytest.mark.parametrize("seed", range(20))
def test_every_kept_stamp_lies_between_two_written_poses(seed: int) -> None:
    rng = random.Random(seed)
    poses = sorted(rng.sample(range(5000), 60))
    kept = sorted(rng.sample(range(poses[0] + 1, poses[-1] - 1), 10))
    late_ms = rng.randrange(300)  # a pair is decided this long after its moment
    events = sorted([(stamp, "pose", stamp) for stamp in poses] + [(stamp + late_ms, "kept", stamp) for stamp in kept])
    found = written([(kind, stamp) for _, kind, stamp in events])
    assert len(found) == len(set(found)) <= 2 * len(kept)
    for stamp in kept:
        assert max(pose for pose in poses if pose <= stamp) in found
        assert stamp in found or min(pose for pose in poses if pose >= stamp) in found


def test_a_clock_that_is_set_back_has_neighbours_of_its_own() -> None:
    before = [("pose", 100_000 + stamp) for stamp in range(0, 1000, 100)]
    after = [("pose", stamp) for stamp in range(0, 1000, 100)]
    assert written([*before, ("kept", 100_450), *after, ("kept", 450)]) == [400, 500, 100_400, 100_500]
    assert written([*before, *after[:5], ("kept", 450), *after[5:]]) == [400, 500]
