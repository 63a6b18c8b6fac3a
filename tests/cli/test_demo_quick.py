"""``edgevl demo --quick`` as a whole: its figures are those of its own drives, its files small and free of places."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from edgevl_cli.demo.quick import BUNDLE, DAY, DRIVES, HOME, SEED, SPLIT
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.classify.classifier import Classifier
from edgevl_core.pairlog.pairs import read_pairs
from edgevl_core.room_map.track import read_track
from edgevl_sim import ROOMS, home_name, home_seed
from edgevl_sim.home_map import home_map
from tests.paths import ROOT

pytestmark = pytest.mark.unit
MOST_BYTES = 1_000_000
# Neither the workstation's libraries nor ROS 2 may be needed for the first picture.
PROGRAM = """
import sys
from edgevl_cli.main import app
app(standalone_mode=False)
assert not {"torch", "rclpy", "timm"} & set(sys.modules)
"""


def demo(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, "demo", "--quick", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """Where it wrote, what it said, its figures."""
    folder = tmp_path_factory.mktemp("quick")
    result = demo(cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "demo_quick", result.stdout, json.loads((folder / "demo_quick/summary.json").read_text())


@pytest.mark.parametrize("name", list(DRIVES))
def test_figures_are_those_of_the_truth_in_the_bag(done: tuple[Path, str, dict[str, Any]], name: str) -> None:
    classifier = Classifier(load_bundle(ROOT / BUNDLE, fall_back=True))
    right = {"rgb": 0, "depth": 0, "both": 0}
    pairs = list(read_pairs(ROOT / DRIVES[name]))
    for pair in pairs:
        assert pair.truth is not None
        assert pair.truth.furniture_fraction >= 0.05
        asked: dict[str, dict[str, Any]] = {"rgb": {"rgb": pair.rgb}, "depth": {"depth": pair.depth}}
        for kind, images in {**asked, "both": {"rgb": pair.rgb, "depth": pair.depth}}.items():
            right[kind] += classifier.classify(**images).label == pair.truth.room
    _, _, told = done
    assert told["frames"][name] == len(pairs) == 5 * len(ROOMS)
    assert told["top1"][name] == {kind: pytest.approx(count / len(pairs), abs=1e-4) for kind, count in right.items()}


def test_light_is_named_by_rgb_and_darkness_by_depth(done: tuple[Path, str, dict[str, Any]]) -> None:
    """Chance is 0.125; another processor rounds otherwise, so that bounds lie well below what was measured."""
    top1, rooms = done[2]["top1"], done[2]["rooms"]
    assert min(top1["lit"]["rgb"], top1["lit"]["both"], top1["dark"]["depth"], top1["dark"]["both"]) >= 0.6
    assert top1["dark"]["rgb"] < 0.4
    assert all(rooms[name]["rooms"] == 8 and rooms[name]["named"] >= 5 for name in DRIVES)


def test_there_is_one_picture_and_a_next_step(done: tuple[Path, str, dict[str, Any]]) -> None:
    out, said, _ = done
    assert sorted(path.name for path in out.iterdir()) == ["picture.png", "summary.json"]
    height, width = cv2.imread(str(out / "picture.png")).shape[:2]
    assert width > 4 * 320
    assert height > 6 * 240
    assert all(words in said for words in ("lit, 40 frames", "picture.png", "edgevl demo ", "edgevl log view"))


def test_the_home_is_the_one_that_is_named(done: tuple[Path, str, dict[str, Any]]) -> None:
    true = home_map(home_seed(SEED, SPLIT, HOME), DAY)
    for place in DRIVES.values():
        track = read_track(ROOT / place, "pose")
        for pair in read_pairs(ROOT / place):
            stand = track.at(pair.stamp_ns)
            assert stand is not None
            assert pair.truth is not None
            assert true.names[true.room[int(stand.y / 0.05), int(stand.x / 0.05)]] == pair.truth.room
            assert pair.truth.home == home_name(home_seed(SEED, SPLIT, HOME))


def test_ready_made_files_are_small_and_name_no_machine() -> None:
    for part in ([BUNDLE], list(DRIVES.values())):
        files = [file for place in part for file in (ROOT / place).rglob("*") if file.is_file()]
        assert sum(file.stat().st_size for file in files) < MOST_BYTES
        machines = [b"/" + name + b"/" for name in (b"tmp", b"home", b"root")]
        assert not any(place in file.read_bytes() for file in files for place in machines)


def test_what_is_refused(done: tuple[Path, str, dict[str, Any]]) -> None:
    for arguments, words in ((("--out", "demo_quick"), "exists already"), (("--seed", "3"), "leave --seed out")):
        command = [sys.executable, "-m", "edgevl_cli.main", "demo", "--quick", *arguments]
        result = subprocess.run(command, cwd=done[0].parent, capture_output=True, text=True, timeout=600, check=False)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert words in result.stderr
