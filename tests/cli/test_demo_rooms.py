"""The demo's last stage: names on the map of one home, beside the true plan; and the judge of it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevl_cli.demo.rooms import rooms_on_map
from edgevl_core.room_map.judge import judge
from edgevl_sim import ROOMS, home_seed, write_bag
from edgevl_sim.home_map import home_map
from tests.core.tiny import write_colour_bundle

pytestmark = pytest.mark.unit


def test_true_plan_and_drives_stand_side_by_side(tmp_path: Path) -> None:
    write_colour_bundle(tmp_path / "bundle")
    write_bag(tmp_path / "lit", seed=0, split="val", homes=1, drive=1, frames_per_room=1)
    true = home_map(home_seed(0, "val", 0), drive=1)
    drives = {"lit": tmp_path / "lit", "dark": tmp_path / "lit"}
    found = rooms_on_map(drives, tmp_path / "bundle", true, tmp_path / "rooms.png")
    assert found["lit"] == found["dark"]
    lit = found["lit"]
    assert (lit["named"], lit["rooms"], lit["frames"]) == (0, 8, 8)  # it only knows colours
    assert 0 < lit["frames_used"] <= 8
    assert set(lit["wrong"]) == set(ROOMS)
    assert 0.5 < lit["cells"] <= 1
    picture = cv2.imread(str(tmp_path / "rooms.png"))
    height, width = picture.shape[:2]
    assert width > 3 * 3 * (true.percent.shape[0] - 20)
    # The walls of the first pane stand in the others as well.
    walls = [
        (np.abs(part.astype(int) - (66, 60, 60)) < 3).all(axis=2)
        for part in np.split(picture[:, : width // 3 * 3], 3, 1)
    ]
    assert all(0.5 * walls[0].sum() < wall.sum() < 1.5 * walls[0].sum() for wall in walls)
    assert height > width / 4


def test_a_found_room_is_matched_with_one_true_room_only() -> None:
    true = np.array([[0, 0, 0, 1, 1, 1, -1]])
    whole = judge(true, ("kitchen", "bedroom"), np.array([[5, 5, 5, 5, 5, 5, 5]], np.int32), {5: "kitchen"})
    assert (whole.matched, whole.named, whole.cells) == ({"kitchen": 5}, ("kitchen",), 0.5)
    parted = np.array([[1, 1, 2, 2, 3, 3, 3]], np.int32)
    labels = {1: "kitchen", 2: "bedroom", 3: "office"}
    found = judge(true, ("kitchen", "bedroom"), parted, labels)
    assert (found.matched, found.named) == ({"kitchen": 1, "bedroom": 3}, ("kitchen",))
    assert found.cells == pytest.approx(4 / 6)
    nothing = judge(true, ("kitchen", "bedroom"), np.zeros((1, 7), np.int32), {})
    assert (nothing.matched, nothing.named, nothing.cells) == ({}, (), 0.0)
