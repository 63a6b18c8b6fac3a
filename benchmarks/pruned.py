"""Is a pruned student worth more than a narrow one that was never wide? One table.

python benchmarks/pruned.py RUN BAG... --teacher SPEC --test LABELLED_BAG [--shares 0.3,0.5] [--seeds 0] [--work DIR]

RUN: a finished run of `edgevl adapt` on BAG..., of which cache, teacher's embeddings, recipe and student are taken.
Rows: RUN's student; pruned by each share and trained for as many epochs again; a student of the same widths, so of the
same milliseconds, from random weights, with the epochs of both trainings together; and RUN's student trained for as
many again. All int8, after stage 2. A seed decides first weights, order and augmentation; the student that is pruned is
always RUN's. Times: processor time, one thread, batch 1, both engines, all files interleaved. What was trained is kept
in --work: a measurement that was cut off goes on.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from rich.console import Console
from rich.table import Table
from run_parts.opened import FLOAT, INT8, arguments_of, opened, prepared, timed

from edgevl_core.base.atomic import atomic_write
from edgevl_train.ablation.figures import spread_of
from edgevl_train.ablation.trial import of_variant
from edgevl_train.new_student import new_student, own_widths
from edgevl_train.progress import RunProgress
from edgevl_train.recipe import Recipe
from edgevl_train.teacher.loading import Teacher


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
    seeds, run = _numbers(arguments.seeds, int), arguments.run
    setup, recipe = prepared(arguments)
    cells = dict(students(run, recipe, setup.teacher, _numbers(arguments.shares, float)))
    cells = {row: cell for row, cell in cells.items() if row not in arguments.without}
    steps = [f"{row}, seed {seed}, {step}" for row in cells for seed in seeds for step in ("stage 1", INT8, "figures")]
    with RunProgress(arguments.work / "status.json", dict.fromkeys(("cache", "teacher", *steps), 1.0)) as progress:
        known = opened(arguments, setup, recipe, progress)
        of_run = {FLOAT: run / "onnx/fp32.onnx", INT8: run / "onnx/int8.onnx"}
        found: dict[str, dict[str, Any]] = {"run": {"figures": [known.judge(of_run, recipe)], "file": of_run[INT8]}}
        for row, cell in cells.items():
            trials = [known.trial(row, seed) for seed in seeds]
            figures = [trial.kept("figures", cell, of_variant) for trial in trials]
            found[row] = {"figures": figures, "file": trials[0].directory / f"{INT8}.onnx"}
    return found


def show(found: dict[str, dict[str, Any]]) -> None:
    """The table."""
    table = Table(title="int8, top-1 of the test bag; ms: processor time of one image, median", title_justify="left")
    engines = list(found["run"]["ms"])
    for column in ("student", "MB", *(f"{name} ms" for name in engines), "rgb", "depth", "mean"):
        table.add_column(column, justify="left" if column == "student" else "right")
    for row, each in found.items():
        cells = [f"{each['bytes'] / 1e6:.2f}", *(f"{each['ms'][name][1]:.3f}" for name in engines)]
        for camera in ("rgb", "depth", "mean"):
            spread = spread_of([of[INT8][f"top1_{camera}"] for of in each["figures"]])
            cells.append(f"{spread['mean']:.3f}" + (f" ± {spread['std']:.3f}" if len(each["figures"]) > 1 else ""))
        table.add_row(row, *cells)
    Console(width=120).print(table)


def _numbers(text: str, kind: type) -> list[Any]:
    return [kind(word) for word in text.split(",")]


def main(words: Sequence[str] | None = None) -> int:
    """Train what is not there yet, time all, and show it."""
    parser = arguments_of(__doc__, Path("runs/pruned"))
    parser.add_argument("--shares", default="0.3,0.5")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--without", action="append", default=[], help="a row that is left out; may be repeated")
    arguments = parser.parse_args(words)
    arguments.run, arguments.work = arguments.run.resolve(), arguments.work.resolve()
    found = trained(arguments)
    times = timed({row: each["file"] for row, each in found.items()})
    found = {row: each | times[row] | {"file": str(each["file"])} for row, each in found.items()}
    if arguments.json:
        atomic_write(arguments.json, json.dumps(found, indent=1).encode())
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
