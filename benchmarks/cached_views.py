"""What an epoch of stage 1 costs with the teacher's embeddings cached, and with the teacher in the loop.

The epoch is that of edgevl_train: batches cut from a training cache of simulated homes, and ``fit`` with its checkpoint
and validation. Each teacher has its own cache of embeddings, computed by ``embed_views``. Weights are random: time does
not depend on them. The variants take turns.
"""

import argparse
import copy
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import edgevl_train.torchvision_ops  # noqa: F401  (before open_clip)

# isort: split
import open_clip
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

from edgevl_core.base.resources import resource
from edgevl_core.base.timing import Timing, measure, ratio_quartiles
from edgevl_sim import write_bag
from edgevl_train.data.batches import make_batches
from edgevl_train.data.run_data import RunData
from edgevl_train.prepare import Setup, gather, open_inputs, prepare
from edgevl_train.progress import RunProgress
from edgevl_train.recipe import Recipe, parse_recipe
from edgevl_train.teacher.loading import quiet_open_clip
from edgevl_train.training.context import RunContext
from edgevl_train.training.distributed import start_fabric
from edgevl_train.training.stage1_distillation import distil


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="mobilenetv4_conv_medium")
    parser.add_argument("--teachers", nargs="+", default=["ViT-B-32", "ViT-B-16"])
    parser.add_argument("--batch", type=int, default=16, help="pairs")
    parser.add_argument("--seconds", type=float, default=60.0, help="about how long; at least seven rounds are run")
    arguments = parser.parse_args()
    recipe = parse_recipe(
        {
            "student": {"name": arguments.student},
            "views": {"count": 2},
            "split": {"by": "time", "gap_s": 0.0},
            "stage1": {"epochs": 1, "batch": arguments.batch},
            "curation": {"q": 1.0},
        },
        origin="benchmark",
    )
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        write_bag(bag, seed=0, split="train", homes=1, frames_per_room=5)
        variants: dict[str, Callable[[], object]] = {}
        for name in arguments.teachers:
            directory = Path(folder) / name
            setup, data = _material(name, bag, directory, recipe)
            variants[f"{name} cached"] = _epoch(setup, data, directory)
            variants[f"{name} in the loop"] = _epoch(setup, data, directory, in_the_loop=True)
        timings = measure(variants, seconds=arguments.seconds)
        pairs = len(data.train) // arguments.batch * arguments.batch
    _show(list(timings.values()), f"{arguments.student}, {recipe.student.size_px} px, an epoch of {pairs} pairs", pairs)


def _material(name: str, bag: Path, directory: Path, recipe: Recipe) -> tuple[Setup, RunData]:
    """What ``edgevl adapt`` would train on with this teacher."""
    directory.mkdir()
    with quiet_open_clip():
        weights = open_clip.create_model(name, pretrained=None).state_dict()
    save_file(weights, directory / "teacher.safetensors")
    config = directory / "teacher.json"  # a name may leave the activation open
    config.write_text(json.dumps(open_clip.get_model_config(name)), encoding="utf-8")
    spec = f"open_clip:{config}@{directory / 'teacher.safetensors'}"
    setup = prepare([bag], spec, resource("config/labels/home.yaml"), recipe)
    fabric, run = start_fabric(recipe), directory / "run"
    run.mkdir()
    inputs = open_inputs(setup, run, fabric)
    with RunProgress(run / "status.json", {"cache": 1.0, "teacher": 1.0}) as progress:
        return setup, gather(setup, inputs, run, progress, fabric).data


def _epoch(setup: Setup, data: RunData, directory: Path, in_the_loop: bool = False) -> Callable[[], object]:
    """An epoch from the same first weights; ``in_the_loop``: the teacher sees the RGB of each batch as well."""
    recipe = setup.recipe
    fabric = start_fabric(recipe, network=setup.student)
    batches, _ = make_batches(data, recipe, recipe.stage1.batch, 1, fabric)
    seen = [batch.pixels[: len(batch.target)] for batch in batches(0, 0)] if in_the_loop else []

    def run() -> None:
        for pixels in seen:
            setup.teacher.encode_pixels(pixels)
        with tempfile.TemporaryDirectory(dir=directory) as fresh:
            distil(copy.deepcopy(setup.student), data, recipe, RunContext(fabric, Path(fresh), "benchmark"))

    return run


def _show(timings: Sequence[Timing], title: str, pairs: int) -> None:
    table = Table(title=title)
    for column in ("", "s", "quartiles", "pairs/s", f"times {timings[0].name}", "quartiles"):
        table.add_column(column, justify="right" if column else "left")
    for timing in timings:
        low, middle, high = timing.quartiles_s
        r_low, r_middle, r_high = ratio_quartiles(timing, timings[0])
        spread = f"{low:.2f} to {high:.2f}"
        relative = [f"{r_middle:.3f}", f"{r_low:.3f} to {r_high:.3f}"]
        table.add_row(timing.name, f"{middle:.2f}", spread, f"{pairs / middle:.1f}", *relative)
    Console().print(table)


if __name__ == "__main__":
    main()
