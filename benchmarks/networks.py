"""Networks and a loss that the package does not have, trained as its student is, and judged by it. One table.

python benchmarks/networks.py RUN BAG... --teacher SPEC --test LABELLED_BAG [--only ROW ...] [--seeds 0,1,2]
    [--work DIR] [--json FILE]

RUN: a run of `edgevl adapt` on BAG..., of which recipe, cache and teacher's embeddings are taken. Rows: the recipe's
student; "apart": a network of the same kind for each camera (DeViT), which costs the robot the same milliseconds, for
the shared one also runs once for each camera, and twice the memory; "fused": the shared student with a loss on what
both cameras say together; "apart fused": both; "multiscale": the shared student with a head block after ADEM-VL, with
and without dropping the least fitting tokens. All float, after stage 1, with the same batches; a seed decides first
weights, order and augmentation. Top-1 of RGB, depth and both, and of each row the difference to the shared student,
paired by seed. What was trained is kept in --work: a measurement that was cut off goes on.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from networks_parts.apart import Apart
from networks_parts.multiscale import Multiscale
from remembered import remembered
from rich.console import Console
from rich.table import Table
from run_parts.opened import Opened, arguments_of, opened, prepared
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.base.atomic import atomic_write
from edgevl_train.ablation.figures import spread_of
from edgevl_train.data.batches import Batch
from edgevl_train.evaluation.evaluate import evaluate_all
from edgevl_train.evaluation.predictors import Predictor, student_embedding, student_on_numpy
from edgevl_train.new_student import new_student
from edgevl_train.objectives.combined import make_objective
from edgevl_train.progress import RunProgress
from edgevl_train.recipe import Recipe
from edgevl_train.training.batch_norms import restore_for
from edgevl_train.training.context import RunContext
from edgevl_train.training.distillation import train_stage
from edgevl_train.training.distributed import start_fabric

SHARED = "shared"
ROWS = (SHARED, "apart", "fused", "apart fused", "multiscale", "multiscale dropped")
DROPPED = 0.4
CAMERAS = ("rgb", "depth", "rgbd")


def network_of(row: str, known: Opened, recipe: Recipe) -> nn.Module:
    """With the seed's first weights."""

    def student(seed: int) -> Any:
        made = new_student(recipe.student, known.setup.teacher, seed)
        restore_for(made, known.data, recipe.student, known.progress.say)
        return made

    if row.startswith("apart"):
        return Apart(student(recipe.seed), student(recipe.seed + 1000))
    if row.startswith("multiscale"):
        return Multiscale(student(recipe.seed), DROPPED if row.endswith("dropped") else 0.0)
    network: nn.Module = student(recipe.seed)
    return network


def loss_of(row: str, known: Opened, recipe: Recipe) -> Callable[[nn.Module, Batch], dict[str, Tensor]]:
    """The recipe's loss; of a row with "fused" also how far the mean of both cameras is from the teacher."""
    objective = make_objective(known.data, recipe.stage1, recipe.stage1.loss, torch.device("cpu"))

    def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        embedding = model(batch.pixels)
        found = objective(embedding, batch.target)
        if row.endswith("fused"):
            rgb, depth = embedding.chunk(2)
            found["loss_fused"] = 1 - functional.cosine_similarity(rgb + depth, batch.target).mean()
            found["loss"] = found["loss"] + found["loss_fused"]
        return found

    return loss


def trained(row: str, seed: int, known: Opened, test: Path) -> dict[str, float]:
    """Camera -> top-1."""
    recipe = known.recipe.model_copy(update={"seed": seed})
    known.progress.stage(f"{row}, seed {seed}")
    directory = known.work / row.replace(" ", "_") / f"seed_{seed}"
    network = network_of(row, known, recipe)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fabric = start_fabric(recipe, network=network)
    context = RunContext(fabric, directory, f"{known.fingerprint} {row} {seed}", known.progress.update)
    train_stage(1, network, loss_of(row, known, recipe), known.data, recipe, context, score_start=False)
    network.eval()
    of_rgb, of_depth = (
        student_on_numpy(getattr(network, name) if isinstance(network, Apart) else network) for name in ("rgb", "depth")
    )
    embed = student_embedding(of_rgb, of_depth, recipe.robot_preprocess())
    predictor = Predictor(row, embed, known.bank, known.data.logit_scale)
    found = evaluate_all({row: predictor}, [test], settings=recipe.cache.pairs)
    return {camera: found[row]["top1"][camera] for camera in CAMERAS}


def show(found: dict[str, list[dict[str, float]]]) -> None:
    """The table."""
    table = Table(title="top-1 of the test bag, float, after stage 1; ± sample standard deviation over the seeds")
    for column in ("network", *CAMERAS, *(f"{camera} to {SHARED}" for camera in CAMERAS)):
        table.add_column(column, justify="left" if column == "network" else "right")
    for row, figures in found.items():
        cells = [_spread([each[camera] for each in figures], "") for camera in CAMERAS]
        for camera in CAMERAS if row != SHARED else ():
            gains = [each[camera] - base[camera] for each, base in zip(figures, found[SHARED], strict=True)]
            cells.append(_spread(gains, "+"))
        table.add_row(row, *cells)
    Console(width=140).print(table)


def _spread(values: list[float], sign: str) -> str:
    found = spread_of(values)
    return f"{found['mean']:{sign}.3f}" + (f" ± {found['std']:.3f}" if len(values) > 1 else "")


def main(words: Sequence[str] | None = None) -> int:
    """Train what is not there yet, and show it."""
    parser = arguments_of(__doc__, Path("runs/networks"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    arguments = parser.parse_args(words)
    arguments.run, arguments.work = arguments.run.resolve(), arguments.work.resolve()
    seeds, rows = [int(seed) for seed in arguments.seeds.split(",")], [SHARED, *arguments.only]
    rows = list(dict.fromkeys(rows))
    setup, recipe = prepared(arguments)
    stages = dict.fromkeys(("cache", "teacher", *(f"{row}, seed {seed}" for seed in seeds for row in rows)), 1.0)
    found: dict[str, list[dict[str, float]]] = {row: [] for row in rows}
    with RunProgress(arguments.work / "status.json", stages) as progress:
        known = opened(arguments, setup, recipe, progress)
        for seed in seeds:
            for row in rows:
                figures = remembered(
                    arguments.work / "results",
                    f"{row}/{seed}",
                    lambda r=row, s=seed: trained(r, s, known, arguments.test),
                )
                found[row].append(figures)
    if arguments.json:
        atomic_write(arguments.json, json.dumps(found, indent=1).encode())
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
