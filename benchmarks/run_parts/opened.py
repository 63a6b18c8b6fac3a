"""A finished run's pairs and teacher, in a work directory of a benchmark's own; and what its files are judged by."""

import argparse
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgevl_core.base.timing import measure
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.engine import Engine, one_image, openvino_installed
from edgevl_train.ablation.figures import Figures, judged
from edgevl_train.ablation.trial import Trial, start_alone
from edgevl_train.data.cache import hash_bag
from edgevl_train.data.run_data import RunData
from edgevl_train.prepare import Setup, gather, open_inputs, prepare
from edgevl_train.progress import RunProgress
from edgevl_train.recipe import Recipe, load_recipe

KEPT = ("cache", "teacher_embeddings.done", "teacher_embeddings.f16", "teacher_embeddings.json")
INT8, FLOAT = "stage2_int8", "stage1_fp32"  # rows as the ablation names them
_MEASURED_S = 0.7  # for each file and engine


@dataclass(frozen=True)
class Opened:
    """``judge``: ({row: ONNX file}, recipe) -> figures, with ``top1_<modality>`` of the test bag."""

    setup: Setup
    recipe: Recipe
    data: RunData
    bank: LabelBank
    fingerprint: str
    work: Path
    test: list[str]
    progress: RunProgress
    judge: Callable[[dict[str, Path], Recipe], Figures]

    def trial(self, row: str, seed: int) -> Trial:
        """A training of the row's own, whose files are kept."""
        folder = self.work / row.replace(" ", "_") / f"seed_{seed}"
        known = (self.setup, self.data, self.fingerprint, seed, folder, self.progress, self.judge, self.test)
        return Trial(*known, f"{row}, ")


def arguments_of(description: str | None, work: Path) -> argparse.ArgumentParser:
    """What each of these benchmarks is told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("bags", type=Path, nargs="+")
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--labels", default="home")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="over the run's recipe")
    parser.add_argument("--work", type=Path, default=work)
    parser.add_argument("--json", type=Path)
    return parser


def prepared(arguments: argparse.Namespace) -> tuple[Setup, Recipe]:
    """The run's recipe and what it learns from, its cache copied to the work directory."""
    run, work = arguments.run, arguments.work
    recipe = load_recipe(run / "recipe.yaml", ["replay.share=0", f"threads={arguments.threads}", *arguments.settings])
    work.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if not (work / name).exists():
            (shutil.copytree if (run / name).is_dir() else shutil.copy)(run / name, work / name)
    return prepare(arguments.bags, arguments.teacher, arguments.labels, recipe, out=work), recipe


def opened(arguments: argparse.Namespace, setup: Setup, recipe: Recipe, progress: RunProgress) -> Opened:
    """``progress`` has the stages "cache" and "teacher", and those of the trials."""
    fabric = start_alone(recipe, "this benchmark")
    inputs = open_inputs(setup, arguments.work, fabric)
    gathered = gather(setup, inputs, arguments.work, progress, fabric)
    bank = gathered.bank.select(setup.labels.names)
    judge = partial(judged, data=gathered.data, bank=bank, test=[arguments.test])
    test = [hash_bag(arguments.test)]
    return Opened(setup, recipe, gathered.data, bank, inputs.fingerprint, arguments.work, test, progress, judge)


def timed(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """{row: {"bytes", "ms": {engine: quartiles}}}: one image, one thread, all files of both engines interleaved.

    Processor time, which other programs at work change least.
    """
    names = ("onnxruntime", "openvino") if openvino_installed() else ("onnxruntime",)
    engines = {(row, name): Engine(file, name=name) for row, file in files.items() for name in names}
    tasks = {f"{row}/{name}": one_image(engine) for (row, name), engine in engines.items()}
    timings = measure(tasks, seconds=_MEASURED_S * len(tasks), clock=time.process_time)
    return {
        row: {
            "bytes": file.stat().st_size,
            "ms": {name: list(timings[f"{row}/{name}"].quartiles_ms) for name in names},
        }
        for row, file in files.items()
    }
