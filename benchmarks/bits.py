"""What weights of fewer bits, one scale a layer and powers of two cost: one table.

python benchmarks/bits.py RUN BAG... --teacher SPEC --test LABELLED_BAG [--trained 4-channel,4-tensor] [--work DIR]

RUN: a finished run of `edgevl adapt` on BAG..., of which cache, teacher's embeddings, recipe and float student are
taken. Each scheme is made of that student by calibration alone, and those of --trained by stage 2 of the recipe as
well. Columns: bytes of the file for CPUs and of the one with weights of ONNX's type INT4; milliseconds of
processor time (one thread, batch 1, both engines, all files interleaved); mean cosine of each file to its
fake-quantised network and to the float student, over validation pairs; top-1 of the test bag. What was trained is kept
in --work.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from run_parts.opened import INT8, Opened, arguments_of, opened, prepared, timed

from edgevl_core.base.atomic import atomic_write
from edgevl_core.engine import ENGINES, Engine, openvino_installed
from edgevl_train.data.run_data import calibration_pixels
from edgevl_train.progress import RunProgress
from edgevl_train.quantise import QuantStudent, Scheme, export_int4, export_int8, untrained_students
from edgevl_train.recipe import Recipe
from edgevl_train.restore import load_float_student, load_student
from edgevl_train.student.network import Student

SCHEMES = {
    "8-channel": Scheme(8),
    "8-tensor": Scheme(8, per_channel=False),
    "8-channel-power": Scheme(8, power_of_two=True),
    "8-tensor-power": Scheme(8, per_channel=False, power_of_two=True),
    "7-channel": Scheme(7),
    "4-channel": Scheme(4),
    "4-tensor": Scheme(4, per_channel=False),
    "4-channel-power": Scheme(4, power_of_two=True),
    "4-tensor-power": Scheme(4, per_channel=False, power_of_two=True),
}


def of_scheme(recipe: Recipe, scheme: Scheme) -> Recipe:
    """The recipe with the scheme."""
    scale = "per_channel" if scheme.per_channel else "per_tensor"
    how = {"weight_bits": scheme.weight_bits, "weight_scale": scale, "power_of_two": scheme.power_of_two}
    return recipe.model_copy(update={"stage2": recipe.stage2.model_copy(update=how)})


def made(known: Opened, student: Student, row: str, trained: bool) -> dict[str, QuantStudent]:
    """Row -> the scheme's student, calibrated alone, and trained where that is asked for."""
    recipe, scheme = of_scheme(known.recipe, SCHEMES[row]), SCHEMES[row]
    pixels = calibration_pixels(known.data, recipe.stage2.calibration_pairs)
    found = {f"{row}, PTQ": next(untrained_students(student, pixels, scheme))[1]}
    if trained:
        trial = known.trial(row, recipe.seed)
        checkpoint = trial.directory / INT8 / "checkpoints/stage2.pt"
        trial.directory.mkdir(parents=True, exist_ok=True)
        trial.stage2(student, recipe, trial.directory, INT8)
        kept = load_student(checkpoint, recipe.student, student.embed_dim)
        assert isinstance(kept, QuantStudent)
        found[f"{row}, stage 2"] = kept
    return found


@torch.no_grad()
def measured(known: Opened, student: Student, row: str, q: QuantStudent) -> dict[str, Any]:
    """Files, cosines and top-1 of one student."""
    folder, size_px = known.work / "files", known.recipe.student.size_px
    folder.mkdir(exist_ok=True)
    rows = known.data.judging
    images = np.concatenate([known.data.cache.full_rgb[rows], known.data.cache.full_depth[rows]])
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    files = {"int8": folder / f"{row.replace(', ', '_').replace(' ', '')}.onnx"}
    export_int8(q, files["int8"], size_px)
    if row.startswith("4"):
        files["int4"] = files["int8"].with_suffix(".int4.onnx")
        export_int4(q, files["int4"], size_px)
    own = torch.cat([q(batch) for batch in pixels.split(64)]).numpy()
    of_float = torch.cat([student(batch) for batch in pixels.split(64)]).numpy()
    found: dict[str, Any] = {"to_float": cosine(own, of_float), "files": files}
    for kind, file in files.items():
        for name in ENGINES if openvino_installed() else ENGINES[:1]:
            engine = Engine(file, name=name, threads=2)
            answers = np.concatenate([engine(batch.numpy()) for batch in pixels.split(64)])
            found[f"{kind} {name}"] = cosine(answers, own)
    return found | {"figures": known.judge({INT8: files["int8"]}, known.recipe)[INT8]}


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean over (N, D) unit vectors."""
    return float((a * b).sum(1).mean())


def show(found: dict[str, dict[str, Any]]) -> None:
    """The table."""
    table = Table(title="top-1 of the test bag; ms: processor time of one image, median", title_justify="left")
    for column in ("scheme", "kind", "KB", "ORT ms", "OpenVINO ms", "to network", "to float", "rgb", "depth"):
        table.add_column(column, justify="left" if column == "scheme" else "right")
    for row, each in found.items():
        for kind, times in each["times"].items():
            ms = [f"{times['ms'][name][1]:.2f}" if name in times["ms"] else "-" for name in ("onnxruntime", "openvino")]
            agreement = [each[f"{kind} {name}"] for name in times["ms"]]
            top1 = [f"{each['figures'][f'top1_{camera}']:.3f}" for camera in ("rgb", "depth")]
            cosines = [f"{min(agreement):.4f}", f"{each['to_float']:.4f}"]
            table.add_row(row, kind, f"{times['bytes'] / 1e3:.0f}", *ms, *cosines, *top1)
    Console(width=130).print(table)


def main(words: Sequence[str] | None = None) -> int:
    """Make and train what is not there yet, time all, and show it."""
    parser = arguments_of(__doc__, Path("runs/bits"))
    parser.add_argument("--trained", default="4-channel,4-tensor,4-tensor-power", help="schemes, commas between")
    arguments: argparse.Namespace = parser.parse_args(words)
    arguments.run, arguments.work = arguments.run.resolve(), arguments.work.resolve()
    setup, recipe = prepared(arguments)
    trained = [row for row in SCHEMES if row in arguments.trained.split(",")]
    steps = [f"{row}, seed {recipe.seed}, {INT8}" for row in trained]
    student = load_float_student(arguments.run, recipe.student, setup.teacher.embed_dim)
    with RunProgress(arguments.work / "status.json", dict.fromkeys(("cache", "teacher", *steps), 1.0)) as progress:
        known = opened(arguments, setup, recipe, progress)
        students = {}
        for row in SCHEMES:
            students |= made(known, student, row, row in trained)
        found = {row: measured(known, student, row, q.eval()) for row, q in students.items()}
    files = {f"{row}/{kind}": file for row, each in found.items() for kind, file in each.pop("files").items()}
    for key, times in timed(files).items():
        row, kind = key.split("/")
        found[row].setdefault("times", {})[kind] = times
    if arguments.json:
        atomic_write(arguments.json, json.dumps(found, indent=1).encode())
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
