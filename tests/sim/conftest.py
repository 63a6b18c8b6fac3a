"""Homes driven once for all tests of the simulator, in small frames."""

import pytest

from edgevl_sim import Frame, drive, home_seed

SMALL = (60, 80)


@pytest.fixture(scope="session")
def small_homes() -> dict[str, list[list[Frame]]]:
    """Of "train" and "test" per home its frames, 3 per room, 60 x 80 pixels."""

    def homes(split: str, count: int) -> list[list[Frame]]:
        return [list(drive(home_seed(3, split, i), frames_per_room=3, size=SMALL)) for i in range(count)]

    return {"train": homes("train", 5), "test": homes("test", 3)}
