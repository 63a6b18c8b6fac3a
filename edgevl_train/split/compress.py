"""A bottleneck trained at the cut of a run's student: distilled from that student itself, through the one loop."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.files import STUDENT_INT8
from edgevl_core.bundle.manifest import read_manifest
from edgevl_train.data.cache import Cache, open_cache
from edgevl_train.data.run_data import spread
from edgevl_train.data.split import split_pairs
from edgevl_train.quantise import QuantStudent, export_int8
from edgevl_train.recipe import Recipe, load_recipe
from edgevl_train.restore import load_student
from edgevl_train.split.bottleneck import Bottleneck, find_quantiser, narrowed, widen_to
from edgevl_train.split.cut import Cut, cut_in_two, find_cuts, load_network
from edgevl_train.split.write import run_each
from edgevl_train.stage_sections import StageSection
from edgevl_train.training.context import OnProgress, RunContext
from edgevl_train.training.distributed import start_fabric
from edgevl_train.training.loop import Stage, fit

FEATURE_PAIRS, LOOKED_AT, VALIDATED = 128, 4, 256
EPOCH_PAIRS = 1024  # drawn anew for each epoch: two small layers need no more
SECTION = StageSection(epochs=8, batch=32, lr=5e-4, min_lr=1e-6, warmup_steps=20, weight_decay=0.0)


@dataclass(frozen=True)
class Compressed:
    """A student with a bottleneck.

    Attributes:
        file: the whole, int8.
        cut: where its narrow tensor travels.
        times: how many times fewer channels these are.
        cosine_before, cosine: mean one to the student without it on validation images; before: with the channels'
            principal components, not trained.
    """

    file: Path
    cut: Cut
    times: int
    cosine_before: float
    cosine: float


def compress(run: Path, cut: Cut, times: int, file: Path, on_progress: OnProgress) -> Compressed:
    """Train a bottleneck at a cut of a run's student and export the whole with it, int8.

    Nothing else of the student moves. It learns to give the embedding that the student gives without it, on the run's
    own training pairs, RGB and depth; the best epoch by validation pairs is kept.

    Args:
        run: of ``edgevl adapt``, finished, with its cache.
        cut: of ``run/bundle/student.onnx``.
        times: how many times fewer channels travel.
        file: where the network goes.

    Raises:
        UserError: no such run; the cut has no channels to spare.
    """
    recipe, student = load_recipe(run / "recipe.yaml"), run / "bundle" / STUDENT_INT8
    whole = load_student(run / "checkpoints/stage2.pt", recipe.student, read_manifest(run / "bundle").embedding_dim)
    if not isinstance(whole, QuantStudent):
        raise UserError(f"{run}: its student is not quantised, --compress needs one that is")
    cache = open_cache(run / "cache")
    split = split_pairs(cache.stamp_ns, cache.bag, recipe.split, recipe.seed)
    some = _pixels(cache, spread(split.train, FEATURE_PAIRS))
    values = _at_cut(student, cut, some.numpy())
    if values.ndim != 4 or values.shape[1] // times < 1 or times < 2:
        raise UserError(
            f"--compress {times}: at this cut travel {' x '.join(map(str, values.shape[1:]))}; 2 up to the number of "
            "channels of a picture (channels x height x width) is accepted"
        )
    narrow = values.shape[1] // times
    thin = copy.deepcopy(whole)
    node = find_quantiser(thin, some[: 2 * LOOKED_AT], values[: 2 * LOOKED_AT])
    bottleneck = narrowed(thin, node, values, narrow, some)
    data = _Data(cache, split.train, split.val, recipe)
    before, after = _train(whole, thin, bottleneck, data, on_progress)
    export_int8(thin, file, recipe.student.size_px)
    (thin_cut,) = (each for each in find_cuts(load_network(file)) if each.after == cut.after + 1)
    return Compressed(file, thin_cut, times, before, after)


def _pixels(cache: Cache, rows: NDArray[np.int64]) -> Tensor:
    """(2R, 3, S, S) uint8: whole frames as the robot feeds them, RGB and depth in turn."""
    both = np.stack([cache.full_rgb[rows], cache.full_depth[rows]], 1)
    return torch.from_numpy(both.reshape(-1, *both.shape[2:])).permute(0, 3, 1, 2).contiguous()


def _at_cut(student: Path, cut: Cut, pixels: NDArray[np.uint8]) -> Tensor:
    """(N, C, H, W) float32: what the file has at the cut."""
    model = load_network(student)
    with tempfile.TemporaryDirectory() as directory:
        front, _ = cut_in_two(model, cut, Path(directory))
        return torch.from_numpy(widen_to(cut.tensor, model, run_each(front, pixels)))


@dataclass(frozen=True)
class _Data:
    cache: Cache
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    recipe: Recipe

    def batches(self, epoch: int, first: int) -> Iterator[Tensor]:
        """(2B, 3, S, S) uint8 of training pairs, half of the epochs' batches mirrored."""
        generator = np.random.default_rng([self.recipe.seed, 3, epoch])
        order = generator.permutation(self.train)
        mirrored = generator.random(self.steps) < 0.5
        for step in range(first, self.steps):
            pixels = _pixels(self.cache, np.sort(order[step * SECTION.batch : (step + 1) * SECTION.batch]))
            yield pixels.flip(3) if mirrored[step] else pixels

    @property
    def steps(self) -> int:
        """Batches of an epoch; a last one that is not full is used where there is no other."""
        return max(1, min(EPOCH_PAIRS, len(self.train)) // SECTION.batch)


def _train(
    whole: QuantStudent, thin: QuantStudent, bottleneck: Bottleneck, data: _Data, on_progress: OnProgress
) -> tuple[float, float]:
    """Cosine on validation pairs before and after; ``thin`` ends with the best."""
    for parameter in (*whole.parameters(), *thin.parameters()):
        parameter.requires_grad_(False)
    for parameter in bottleneck.parameters():
        parameter.requires_grad_(True)
    judged = _pixels(data.cache, spread(data.val, VALIDATED))
    target = _embed(whole, judged)

    def loss(model: nn.Module, pixels: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            wanted = whole(pixels)
        return {"loss": 1 - functional.cosine_similarity(model(pixels), wanted).mean()}

    def validate(model: nn.Module) -> dict[str, float]:
        return {"score": float((_embed(model, judged) * target).sum(1).mean())}

    before = validate(thin.eval())["score"]
    bottleneck.travels.observing = True
    stage = Stage("bottleneck", SECTION, data.steps, data.batches, loss, validate, score_start=True)
    with tempfile.TemporaryDirectory() as directory:
        fabric = start_fabric(data.recipe, "32-true")  # the 256 levels that are imitated need them
        best = fit(thin, stage, RunContext(fabric, Path(directory), on_progress=on_progress), seed=data.recipe.seed)
    thin.load_state_dict(best.state)
    thin.eval()
    return before, float(best.metrics["score"])


@torch.no_grad()
def _embed(model: Any, pixels: Tensor) -> Tensor:
    embeddings: Callable[[Tensor], Tensor] = model
    return torch.cat([embeddings(part) for part in pixels.split(64)])
