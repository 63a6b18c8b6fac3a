"""One home, one drive: what a user's student is worth on another day, in any light, and elsewhere. One table.

python benchmarks/one_home.py [--work DIR] [--homes 8] [--first-home 0] [--seeds 0,1,2] [--base-epochs 12]
    [--parts ...] [--json FILE]

scratch: a new student from one drive of 320 frames, by config/train/one_drive.yaml. adapted: a student distilled from
110 homes goes on with that drive, by config/train/home.yaml. Both are judged on a second drive on another day. words:
two of the eight room types never entered in the drive that is adapted to; what is left of their words (the base student
has seen such rooms). strict: two of the types in none of the homes either that a student of many homes learns from.
All homes are simulated. What was made, and every figure, is kept in --work: a run that was cut off goes on; other code
or recipes want another directory. An hour on two cores.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from one_home_parts.judge import GAINS, frames, top1, unknown
from one_home_parts.material import DEMO, HOME, LABELS, ONE_DRIVE, Material
from one_home_parts.table import bounds, show
from remembered import remembered

from edgevl_core.base.atomic import atomic_write
from edgevl_core.camera.preprocess import Preprocess
from edgevl_sim import ROOMS
from edgevl_train.evaluation.predictors import bundle_predictor, teacher_predictor
from edgevl_train.recipe import load_recipe
from edgevl_train.teacher.loading import load_teacher

PARTS = ("scratch", "adapted", "words", "strict")
# Every room type is missing once.
MISSING = [tuple(ROOMS[i : i + 2]) for i in range(0, len(ROOMS), 2)]


def measure(material: Material, seeds: list[int], epochs: int, parts: set[str]) -> Iterator[tuple[str, Any]]:
    """(name, figures) of every run, each figured out once."""
    material.make_teacher()
    homes = range(material.first_home, material.first_home + material.homes)
    for home in homes:
        yield f"teacher/{home}", lambda home=home: _teacher(material, home)
    for seed in seeds if parts & {"adapted", "words"} else []:
        yield f"base/{seed}", lambda seed=seed: _elsewhere(material, material.base(seed, epochs))
    for seed in seeds:
        for home in homes:
            if "scratch" in parts:
                yield f"scratch/{seed}/{home}", lambda seed=seed, home=home: _scratch(material, seed, home)
            if "adapted" in parts:
                yield f"adapted/{seed}/{home}", lambda seed=seed, home=home: _adapted(material, seed, home, epochs)
    for seed in seeds:
        for number, rooms in enumerate(MISSING):
            home = homes[(number + len(MISSING) * seed) % material.homes]
            chosen = (material, seed, home, rooms, epochs)
            for share in (0.75, 0.0) if "words" in parts else ():
                yield f"words/{seed}/{number}/{share}", lambda c=chosen, s=share: _words(*c, s)
            if "strict" in parts:
                yield f"strict/{seed}/{number}", lambda s=seed, r=rooms: _strict(material, s, r, epochs)


def _teacher(material: Material, home: int) -> dict[str, Any]:
    predictor = teacher_predictor(
        load_teacher(material.teacher), LABELS, view=Preprocess(size_px=load_recipe(DEMO).cache.size_px)
    )
    pairs = frames(material.other_day(home))
    return {"light": {str(gain): top1(predictor, pairs, gain) for gain in GAINS}}


def _elsewhere(material: Material, run: Path) -> dict[str, Any]:
    return top1(bundle_predictor(run / "bundle"), frames(material.others()))


def _scratch(material: Material, seed: int, home: int) -> dict[str, Any]:
    demo = load_recipe(DEMO)
    student = f"student={json.dumps(demo.student.model_dump(include={'name', 'size_px', 'head', 'backbone'}))}"
    recipe = load_recipe(ONE_DRIVE, [student, f"cache.size_px={demo.cache.size_px}", f"seed={seed}", "threads=2"])
    return _other_day(material, material.run(f"scratch{seed}_{home}", material.drive(home), recipe), home)


def _adapted(material: Material, seed: int, home: int, epochs: int) -> dict[str, Any]:
    base = material.base(seed, epochs)
    recipe = load_recipe(HOME, [f"student.start_from={base}", f"seed={seed}", "threads=2"])
    run = material.run(f"adapted{seed}_{home}", material.drive(home), recipe)
    before = top1(bundle_predictor(base / "bundle"), frames(material.other_day(home)))
    decision = json.loads((run / "report.json").read_text())["decision"]
    found = {"before": before, "others": _elsewhere(material, run), "deploy": decision["deploy"]}
    return _other_day(material, run, home) | found


def _other_day(material: Material, run: Path, home: int) -> dict[str, Any]:
    predictor, pairs = bundle_predictor(run / "bundle"), frames(material.other_day(home))
    light = {str(gain): top1(predictor, pairs, gain) for gain in GAINS}
    return {"light": light, "unknown": unknown(predictor, pairs)}


def _words(
    material: Material, seed: int, home: int, rooms: tuple[str, ...], epochs: int, share: float
) -> dict[str, Any]:
    """Frames of two rooms that the adaptation never saw, all eight words to choose from."""
    base = material.base(seed, epochs)
    settings = [f"student.start_from={base}", f"seed={seed}", "threads=2", f"replay.share={share}"]
    name = f"words{seed}_{home}_{rooms[0].replace(' ', '-')}_{share}"
    run = material.run(name, material.without(material.drive(home), rooms), load_recipe(HOME, settings))
    pairs = [pair for pair in frames(material.other_day(home)) if pair.truth and pair.truth.room in rooms]
    teacher = teacher_predictor(
        load_teacher(material.teacher), LABELS, view=Preprocess(size_px=load_recipe(DEMO).cache.size_px)
    )
    models = {
        "teacher": teacher,
        "base": bundle_predictor(base / "bundle"),
        "adapted": bundle_predictor(run / "bundle"),
    }
    return {model: top1(predictor, pairs) for model, predictor in models.items()}


def _strict(material: Material, seed: int, rooms: tuple[str, ...], epochs: int) -> dict[str, Any]:
    """Frames, in other homes, of two rooms that were in no bag at all that the student learned from."""
    student = bundle_predictor(material.base(seed, epochs, rooms) / "bundle")
    pairs = [pair for pair in frames(material.others()) if pair.truth and pair.truth.room in rooms]
    teacher = teacher_predictor(load_teacher(material.teacher), LABELS, view=student.view)
    return {model: top1(predictor, pairs) for model, predictor in (("teacher", teacher), ("student", student))}


def main() -> int:
    """Exit code 1 where a bound is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/one_home"))
    parser.add_argument("--homes", type=int, default=8)
    parser.add_argument("--first-home", type=int, default=0)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--base-epochs", type=int, default=12)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = arguments.work / "results"
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    material = Material(arguments.work.resolve(), arguments.homes, arguments.first_home)
    steps = measure(material, seeds, arguments.base_epochs, set(arguments.parts))
    figures = {name: remembered(results, name, make) for name, make in steps}
    if arguments.json:
        atomic_write(arguments.json, json.dumps(figures, indent=1).encode())
    rows = bounds(figures)
    show(rows, figures)
    return 0 if all(row.reached for row in rows) else 1


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
