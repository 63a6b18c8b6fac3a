"""What a stage costs per pair, and with that what 10,000 homes cost: core-hours, and bytes over the network.

python benchmarks/many_machines.py --bag BAG [--run RUN] [--homes 10000] [--pairs 320] [--json FILE]

Core-seconds are the process's own time on all cores, which says nothing of how long anyone waits, and depends little on
what else the machine does. Pictures are read from BAG; else pairs are noise and weights random, on which time does not
depend: the default recipe's sizes (mobilenetv4_conv_medium at 224 px, cache at 256 px, ViT-B-32 as the teacher), and
the demo's. RUN: a finished run, whose files are weighed.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from gpu_parts.made import Sizes, made_data, made_files, made_student, made_teacher, recipe_of
from rich.console import Console
from rich.table import Table

from edgevl_core.base.atomic import atomic_write
from edgevl_core.engine import Engine
from edgevl_train.data.batches import make_batches
from edgevl_train.data.cache import build_cache
from edgevl_train.data.cache.joining import join
from edgevl_train.data.embeddings import embed_views
from edgevl_train.data.run_data import RunData
from edgevl_train.recipe import Recipe
from edgevl_train.sharing import alone
from edgevl_train.training.context import RunContext
from edgevl_train.training.distributed import start_fabric
from edgevl_train.training.stage1_distillation import distil
from edgevl_train.training.validation import embed_full

DEMO_STUDENT = {
    "name": "resnet10t",
    "size_px": 64,
    "backbone": {"output_stride": 16, "channels": [32, 64, 128, 256], "stem_width": 16},
}
SIZES = {
    "default": Sizes({"name": "mobilenetv4_conv_medium", "size_px": 224}, 256, 48, 16, 2, 1, "ViT-B-32", 16, 1, 1, 1.0),
    "demo": Sizes(DEMO_STUDENT, 96, 96, 32, 2, 1, "ViT-B-32", 16, 1, 1, 1.0),
}
SENT = {
    "what a robot sends for an average": ("recipe.yaml", "inputs.json", "checkpoints/stage1.pt"),
    "what it sends to teach": ("bundle/manifest.json", "bundle/student.onnx"),
    "the whole bundle, to a robot": ("bundle",),
}


def core_s(work: Callable[[], object]) -> float:
    """Seconds of all cores that it takes."""
    start_s = time.process_time()
    work()
    return time.process_time() - start_s


def stages(sizes: Sizes, bag: Path) -> dict[str, float]:
    """Core-milliseconds: of a pair cached and judged, of a view embedded, of a pair in a training step."""
    recipe = recipe_of(sizes, "cpu")
    data, teacher = made_data(recipe, sizes.pairs), made_teacher(sizes, "cpu", "32-true")
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built: list[int] = []

        def cache() -> None:
            built.append(len(build_cache([bag], folder / "cache", recipe.robot_preprocess(), recipe.cache)))

        found["cache"] = core_s(cache) / built[0]
        found["joining of caches"] = core_s(lambda: join([folder / "cache"], folder / "joined", alone)) / built[0]
        (folder / "embedded").mkdir()
        teacher.encode_pixels(_some_pixels(data))
        found["teacher, a view"] = core_s(lambda: embed_views(teacher, data.cache, data.views, folder / "embedded")) / (
            data.views.count * len(data.cache)
        )
        found["training, a pair and epoch"] = _training(recipe, data, folder)
        engine = Engine(made_files(recipe, data, folder)["int8"])
        rows = data.val
        found["int8 student, a pair judged"] = core_s(
            lambda: embed_full(lambda pixels: _on_engine(engine, pixels), data, rows, start_fabric(recipe).device)
        ) / len(rows)
    return {stage: 1e3 * seconds for stage, seconds in found.items()}


def _some_pixels(data: RunData) -> Any:
    import torch

    return torch.from_numpy(data.cache.wide_rgb[:8]).permute(0, 3, 1, 2)


def _on_engine(engine: Engine, pixels: Any) -> Any:
    import torch

    return torch.from_numpy(engine(pixels.contiguous().numpy()))


def _training(recipe: Recipe, data: RunData, folder: Path) -> float:
    """Core-seconds of a pair in an epoch of stage 1, with what making its batch and validation take."""
    fabric = start_fabric(recipe)
    _, steps = make_batches(data, recipe, recipe.stage1.batch, 1, fabric)
    student = made_student(recipe)
    took_s = core_s(lambda: distil(student, data, recipe, RunContext(fabric, folder)))
    return took_s / (recipe.stage1.epochs * steps * recipe.stage1.batch)


def weighed(run: Path) -> dict[str, int]:
    """Bytes of what travels."""
    return {what: sum(_bytes(run / name) for name in names) for what, names in SENT.items()}


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def costs(per_pair_ms: dict[str, float], homes: int, pairs: int, views: int, epochs: int) -> dict[str, float]:
    """Core-hours by stage; each pair is in ``epochs`` epochs, and a tenth of them judged once by each of 3 files."""
    hours = homes * pairs / 3.6e6
    return {
        "cache": hours * (per_pair_ms["cache"] + per_pair_ms["joining of caches"]),
        "teacher": hours * views * per_pair_ms["teacher, a view"],
        "training": hours * epochs * per_pair_ms["training, a pair and epoch"],
        "calibration": hours * 0.1 * 3 * per_pair_ms["int8 student, a pair judged"],
    }


def show(found: dict[str, Any]) -> None:
    """The tables."""
    for title, rows in found.items():
        table = Table(title=title, title_justify="left")
        for column in ("", *next(iter(rows.values()))):
            table.add_column(column, justify="right" if column else "left")
        for name, row in rows.items():
            table.add_row(name, *(f"{value:,.1f}" for value in row.values()))
        Console(width=120).print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", type=Path, required=True)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--homes", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=320, help="of a home")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"core-milliseconds": {name: stages(sizes, arguments.bag) for name, sizes in SIZES.items()}}
    how = (arguments.homes, arguments.pairs, arguments.views, arguments.epochs)
    found[f"core-hours of {arguments.homes} homes"] = {
        name: costs(measured, *how) for name, measured in found["core-milliseconds"].items()
    }
    if arguments.run:
        found["kB of a home"] = {
            what: {"kB": count / 1e3, "GB of all homes": count * arguments.homes / 1e9}
            for what, count in weighed(arguments.run).items()
        }
    show(found)
    if arguments.json:
        atomic_write(arguments.json, json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    main()
