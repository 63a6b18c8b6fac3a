"""Rooms on the map: how many get their name, in homes that no student has seen. One table, with two simple rivals.

python benchmarks/rooms.py --bundle run/bundle [--bundle ...] [--homes 20] [--first-home 0] [--lights lit dark]
    [--cases ...] [--work DIR] [--json FILE] [--quick]

One drive through each home, lit and dark, 12 frames a room. Cases: the true pose; odometry that drifts by 2 % of the
way and turns (corrected where a room is entered, as localisation does, or never); a fifth of the embeddings replaced by
a random word's. vote by room: each part between doors gets the word that most frames said which were taken in it.
nearest frame: each cell gets the word of the frame that was taken nearest to it. Several --bundle: the spread over
students. The homes are of the split "test", simulated; bags and figures are kept in --work, and a run that was cut off
goes on; other code wants another directory. --quick: two homes, three frames a room; it keeps no bound. On one
core two seconds a drive and student, and four to render a drive.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
from remembered import remembered
from rooms_parts.drives import LIGHTS, Homes, seen
from rooms_parts.figures import CASES, figures
from rooms_parts.table import missed, show

from edgevl_core.base.atomic import atomic_write
from edgevl_core.bundle.student_bundle import Bundle, load_bundle
from edgevl_core.room_map.words import words_of
from edgevl_sim import home_seed
from edgevl_sim.home_map import home_map

SEED = 0


def measure(homes: Homes, home: int, light: str, bundle: Bundle, cases: Sequence[str]) -> Any:
    """One drive, one student: see :func:`rooms_parts.figures.figures`."""
    true = home_map(home_seed(homes.seed, "test", home))
    words = words_of(bundle.manifest, bundle.label_bank)
    return figures(seen(homes.bag(home, light), bundle), true, words, cases, (homes.seed, home, light))


def main() -> int:
    """Exit code 1 where a bound is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, action="append", required=True)
    parser.add_argument("--homes", type=int, default=20)
    parser.add_argument("--first-home", type=int, default=0)
    parser.add_argument("--lights", nargs="+", choices=list(LIGHTS), default=list(LIGHTS))
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--work", type=Path, default=Path("runs/rooms"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    homes = Homes(arguments.work, SEED, 3 if arguments.quick else 12)
    students = [load_bundle(path) for path in arguments.bundle]
    kept = arguments.work / "results" / f"{homes.frames_per_room}_{'_'.join(arguments.cases)}".replace(" ", "-")
    found: dict[str, Any] = {}
    for home in range(arguments.first_home, arguments.first_home + (2 if arguments.quick else arguments.homes)):
        for light, bundle in product(arguments.lights, students):
            name = f"{bundle.manifest.bundle_id[:12]}/{home}/{light}"
            found[name] = remembered(kept, name, partial(measure, homes, home, light, bundle, arguments.cases))
    if arguments.json:
        atomic_write(arguments.json, json.dumps(found, indent=1).encode())
    show(found)
    return 1 if missed(found) and not arguments.quick else 0


if __name__ == "__main__":
    sys.exit(main())
