"""A fleet: is one student merged from many robots' worth as much as each robot's own? One table.

python benchmarks/fleet.py [--work DIR] [--homes 5] [--epochs 4] [--base RUN --teacher SPEC] [--proxies BAG]

Each of some simulated homes has a robot, whose student goes on from one base with one drive of 320 frames
(config/train/home.yaml). `edgevl merge` makes one student of them, by pairs of homes that are no robot's: it averages
their weights, or has them teach one on proxy pairs, which goes on from the base, or is of another network and size and
new; also by robots of both networks. Against: the base; each robot's own student, in its own home and in the others';
what the teacher alone, or beside the students, makes of the proxy pairs; a student adapted to all drives together,
whose pictures have left their homes. Judged by true rooms, on another day in each home, and in 20 homes that nobody
knows. --base, --teacher: a finished run and its teacher, instead of those made here from 110 homes; --proxies: a bag to
learn from, instead of 40 further simulated homes. It must show homes that the base has not learned from. What was made,
and every figure, is kept in --work: a run that was cut off goes on.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from one_home_parts.judge import frames, top1
from one_home_parts.material import DEMO, HOME, LABELS, Material
from remembered import remembered
from rich.console import Console
from rich.table import Table

from edgevl_core.base.atomic import atomic_write
from edgevl_train.adapt import adapt
from edgevl_train.evaluation.predictors import bundle_predictor
from edgevl_train.merge.runs import merge_recipe
from edgevl_train.merge.students import distil_recipe
from edgevl_train.recipe import Recipe, load_recipe

CHOICES = ("all", "greedy", "layers")
CAMERAS = ("rgb", "depth", "rgbd")
AT_HAND_HOMES = (8, 200)  # how many, and from which on: none that base or robots have seen
PROXY_HOMES = (40, 300)
NEW_EPOCHS = 12  # of a student with random weights
# Another network than the base's, and larger pictures.
OTHER = "student={name: mobilenetv4_conv_small, size_px: 80, backbone: {output_stride: 16}}"
# config/train/home.yaml on pairs of many homes, a few of each, and with nothing of the base's training.
ON_PROXIES = ("one_home=false", "replay.share=0", "temporal.window_s=0")
Figures = Mapping[str, Any]


def measure(
    material: Material, base: Path, epochs: int, threads: int, proxies: Path | None
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """(name, what makes it and judges it) of every student, in the order in which they need each other."""
    homes = range(material.homes)
    settings = [f"student.start_from={base}", f"stage1.epochs={epochs}", f"threads={threads}"]
    recipe = load_recipe(HOME, settings)
    robots = [material.work / f"robot{home}" for home in homes]

    def robot(home: int) -> dict[str, Any]:
        return judged(material, material.run(robots[home].name, material.drive(home), recipe))

    def together() -> dict[str, Any]:
        run, many = material.work / "together", recipe.model_copy(update={"one_home": False})
        drives = [material.drive(home) for home in homes]
        adapt(drives, material.teacher, LABELS, run, many, resume=run.exists())
        return judged(material, run)

    def merged(choice: str) -> dict[str, Any]:
        out, (count, first) = material.work / f"merged_{choice}", AT_HAND_HOMES
        bag = material.bag("at_hand", split="train", homes=count, first_home=first, frames_per_room=5, hz=0.25)
        soup = merge_recipe(robots, choice, [f"threads={threads}"])
        adapt([bag], material.teacher, LABELS, out, soup, resume=out.exists())
        return judged(material, out) | {"merged": json.loads((out / "report.json").read_text())["merged"]}

    yield "base", lambda: judged(material, base)
    for home in homes:
        yield f"robot{home}", lambda home=home: robot(home)
    for choice in CHOICES:
        yield f"merged, {choice}", lambda choice=choice: merged(choice)
    yield "together", together
    yield from taught(material, robots, recipe, proxies)


def taught(
    material: Material, robots: Sequence[Path], recipe: Recipe, proxies: Path | None
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Students of the proxy pairs, taught by the teacher alone or by robots' students; ``recipe``: the robots'."""
    count, first = PROXY_HOMES
    options = {"split": "train", "homes": count, "first_home": first, "frames_per_room": 5, "hz": 0.25}
    threads = f"threads={recipe.threads}"
    begun = [f"student.start_from={recipe.student.start_from}", f"stage1.epochs={recipe.stage1.epochs}", threads]
    same = load_recipe(HOME, [*begun, *ON_PROXIES])
    half = load_recipe(HOME, [*begun, *ON_PROXIES, "teacher.students_share=0.5"])
    other = load_recipe(DEMO, [OTHER, f"stage1.epochs={NEW_EPOCHS}", threads])
    other_base = material.work / "other_teacher_alone"

    def run(name: str, how: Recipe) -> Path:
        return material.run(name, proxies or material.bag("proxies", **options), how)

    def of_both_networks() -> list[Path]:
        """The last two robots have the other network."""
        own = load_recipe(HOME, [f"student.start_from={other_base}", f"stage1.epochs={recipe.stage1.epochs}", threads])
        late = range(material.homes - 2, material.homes)
        return [*robots[:-2], *(material.run(f"other_robot{home}", material.drive(home), own) for home in late)]

    yield "proxies, teacher alone", lambda: judged(material, run("teacher_alone", same))
    yield "proxies, five students", lambda: judged(material, run("students", distil_recipe(robots, same)))
    yield "proxies, five students and teacher", lambda: judged(material, run("beside", distil_recipe(robots, half)))
    yield "other network, teacher alone", lambda: judged(material, run(other_base.name, other))
    yield "other network, five students", lambda: judged(material, run("other_students", distil_recipe(robots, other)))
    yield (
        "other network, of both networks",
        lambda: judged(material, run("both_networks", distil_recipe(of_both_networks(), other))),
    )


def judged(material: Material, run: Path) -> dict[str, Any]:
    """Top-1 of a run's int8 student by camera: of each robot's home, and of homes that nobody knows ("new")."""
    predictor = bundle_predictor(run / "bundle")
    found = {str(home): top1(predictor, frames(material.other_day(home))) for home in range(material.homes)}
    return found | {"new": top1(predictor, frames(material.others()))}


def rows(figures: Figures) -> dict[str, dict[str, float]]:
    """Row -> {"rgb in its homes", ..., "rgb in new homes", ...}; means over homes, and over robots."""
    robots = {name.removeprefix("robot"): found for name, found in figures.items() if name.startswith("robot")}
    homes = list(robots)
    whole = {name: found for name, found in figures.items() if not name.startswith("robot")}
    table = {name: _row([found[home] for home in homes], [found["new"]]) for name, found in whole.items()}
    new = [found["new"] for found in robots.values()]
    own = [robots[home][home] for home in homes]
    elsewhere = [found[home] for robot, found in robots.items() for home in homes if home != robot]
    everywhere = [found[home] for found in robots.values() for home in homes]
    table["a robot's own, in its home"] = _row(own, new)
    if elsewhere:
        table["a robot's own, in the others' homes"] = _row(elsewhere, new)
    return table | {"a robot's own, in all homes": _row(everywhere, new)}


def _row(homes: list[dict[str, float]], new: list[dict[str, float]]) -> dict[str, float]:
    where = {"in the homes": homes, "in new homes": new}
    return {
        f"{camera} {place}": float(np.mean([found[camera] for found in some]))
        for place, some in where.items()
        for camera in CAMERAS
    }


def show(figures: Figures) -> None:
    """The table."""
    found = rows(figures)
    columns = list(next(iter(found.values())))
    table = Table(title="top-1 by true rooms, int8 students (simulated; another day)", title_justify="left")
    for column in ("student", *columns):
        table.add_column(column, justify="left" if column == "student" else "right")
    for name, row in found.items():
        table.add_row(name, *(f"{row[column]:.3f}" for column in columns))
    Console(width=120).print(table)


def main() -> int:
    """Measure what is not there yet, and show it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/fleet"))
    parser.add_argument("--homes", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="of each robot's adaptation")
    parser.add_argument("--base", type=Path, help="the run that all robots begin with")
    parser.add_argument("--teacher", default="", help="of that run")
    parser.add_argument("--proxies", type=Path, help="a bag")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    material = Material(arguments.work.resolve(), arguments.homes, given_teacher=arguments.teacher)
    if not arguments.teacher:
        material.make_teacher()
    base = (arguments.base or material.base(0, epochs=12)).resolve()
    steps = measure(material, base, arguments.epochs, arguments.threads, arguments.proxies)
    figures = {name: remembered(arguments.work / "results", name, make) for name, make in steps}
    if arguments.json:
        atomic_write(arguments.json, json.dumps({"figures": figures, "rows": rows(figures)}, indent=1).encode())
    show(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
