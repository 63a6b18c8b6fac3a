"""Is a pruned student worth more than a narrow one that was never wide? One table.

python benchmarks/pruned.py RUN BAG... --teacher SPEC --test LABELLED_BAG [--shares 0.3,0.5] [--seeds 0] [--work DIR]

RUN: a finished run of `edgevl adapt` on BAG..., of which cache, teacher's embeddings, recipe and student
are taken. Rows: RUN's student; the same one trained for as many epochs again; pruned by each share and trained for as
many again; and a student of the same widths, so of the same milliseconds, from random weights, with the epochs of both
trainings together. All int8, after stage 2. A seed decides first weights, order and augmentation; the student that is
pruned is always RUN's. Times: one thread, batch 1, both engines, all files interleaved. What was trained is kept in
--work: a measurement that was cut off goes on.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from rich.console import Console
from rich.table import Table

from edgevl_core.base.atomic import atomic_write
from edgevl_core.base.timing import Task, measure
from edgevl_core.engine import Engine, openvino_installed
from edgevl_train.ablation.figures import judged, spread_of
from edgevl_train.ablation.trial import Trial, of_variant, start_alone
from edgevl_train.data.cache import hash_bag
from edgevl_train.new_student import new_student, own_widths
from edgevl_train.prepare import gather, open_inputs, prepare
from edgevl_train.progress import RunProgress
from edgevl_train.recipe import Recipe, load_recipe
from edgevl_train.teacher.loading import Teacher

KEPT = ("cache", "teacher_embeddings.done", "teacher_embeddings.f16", "teacher_embeddings.json")
INT8 = "stage2_int8"
_MEASURED_S = 0.7  # for each file and engine


def students(run: Path, recipe: Recipe, teacher: Teacher, shares: list[float]) -> Iterator[tuple[str, Recipe]]:
    """(row, recipe) of what is to be trained."""

    def of(epochs: int, **student: Any) -> Recipe:
        begun = recipe.student.model_copy(update={"pretrained": None, "start_from": None, **student})
        stage1 = recipe.stage1.model_copy(update={"epochs": epochs})
        return recipe.model_copy(update={"student": begun, "stage1": stage1})

    epochs = recipe.stage1.epochs
    for share in shares:
        pruned = of(epochs, start_from=run, prune_share=share)
        yield f"pruned {share:g}", pruned
        widths = own_widths(new_student(pruned.student, teacher, 0), pruned.student)
        yield f"narrow {share:g}", of(2 * epochs, widths=widths)
    yield "trained on", of(epochs, start_from=run)


def trained(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Row -> its figures of each seed, and the int8 file of the first one."""
    run, work, seeds = arguments.run.resolve(), arguments.work.resolve(), numbers(arguments.seeds, int)
    recipe = load_recipe(run / "recipe.yaml", ["replay.share=0", f"threads={arguments.threads}"])
    work.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if not (work / name).exists():
            (shutil.copytree if (run / name).is_dir() else shutil.copy)(run / name, work / name)
    setup = prepare(arguments.bags, arguments.teacher, arguments.labels, recipe, out=work)
    fabric = start_alone(recipe, "benchmarks/pruned.py")
    inputs = open_inputs(setup, work, fabric)
    cells = dict(students(run, recipe, setup.teacher, numbers(arguments.shares, float)))
    steps = [f"{row}, seed {seed}, {step}" for row in cells for seed in seeds for step in ("stage 1", INT8, "figures")]
    with RunProgress(work / "status.json", dict.fromkeys(("cache", "teacher", *steps), 1.0)) as progress:
        gathered = gather(setup, inputs, work, progress, fabric)
        judge = partial(
            judged, data=gathered.data, bank=gathered.bank.select(setup.labels.names), test=[arguments.test]
        )
        test = [hash_bag(arguments.test)]
        of_run = judge({"stage1_fp32": run / "onnx/fp32.onnx", INT8: run / "onnx/int8.onnx"}, recipe)
        found: dict[str, dict[str, Any]] = {"run": {"figures": [of_run], "file": str(run / "onnx/int8.onnx")}}
        for row, each in cells.items():
            figures, files = [], []
            for seed in seeds:
                folder = work / row.replace(" ", "_") / f"seed_{seed}"
                trial = Trial(setup, gathered.data, inputs.fingerprint, seed, folder, progress, judge, test, f"{row}, ")
                figures.append(trial.kept("figures", each, of_variant))
                files.append(str(folder / f"{INT8}.onnx"))
            found[row] = {"figures": figures, "file": files[0]}
    return found


def timed(found: dict[str, dict[str, Any]]) -> None:
    """Add bytes, and milliseconds of each engine, to every row."""
    names = ("onnxruntime", "openvino") if openvino_installed() else ("onnxruntime",)
    engines = {(row, name): Engine(Path(each["file"]), name=name) for row, each in found.items() for name in names}
    tasks = {f"{row}/{name}": inference(engine) for (row, name), engine in engines.items()}
    timings = measure(tasks, seconds=_MEASURED_S * len(tasks))
    for row, each in found.items():
        each["bytes"] = Path(each["file"]).stat().st_size
        each["ms"] = {name: [1e3 * value for value in timings[f"{row}/{name}"].quartiles_s] for name in names}


def inference(engine: Engine) -> Task:
    """One image."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, engine.size_px, engine.size_px), dtype=np.uint8)
    return lambda: engine(pixels)


def show(found: dict[str, dict[str, Any]]) -> None:
    """The table."""
    table = Table(title="int8, top-1 of the test bag; ms: median of one image, one thread", title_justify="left")
    engines = list(found["run"]["ms"])
    for column in ("student", "MB", *(f"{name} ms" for name in engines), "rgb", "depth", "mean"):
        table.add_column(column, justify="left" if column == "student" else "right")
    for row, each in found.items():
        spreads = [
            spread_of([of[INT8][f"top1_{camera}"] for of in each["figures"]]) for camera in ("rgb", "depth", "mean")
        ]
        figures = [
            f"{spread['mean']:.3f}" + (f" ± {spread['std']:.3f}" if len(spread["values"]) > 1 else "")
            for spread in spreads
        ]
        milliseconds = [f"{each['ms'][name][1]:.3f}" for name in engines]
        table.add_row(row, f"{each['bytes'] / 1e6:.2f}", *milliseconds, *figures)
    Console(width=120).print(table)


def numbers(text: str, kind: type) -> list[Any]:
    """Of "0.3,0.5"."""
    return [kind(word) for word in text.split(",")]


def main() -> int:
    """Train what is not there yet, time all, and show it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("bags", type=Path, nargs="+")
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--labels", default="home")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--shares", default="0.3,0.5")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("runs/pruned"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = trained(arguments)
    timed(found)
    if arguments.json:
        atomic_write(arguments.json, json.dumps(found, indent=1).encode())
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
