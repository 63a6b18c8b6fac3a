"""A bottleneck trained at the cut of a run's student: distilled from that student itself, through the one loop.

Only its two layers learn, so what comes before the cut is computed once, by the int8 file that the robot will run, and
so is what the student is to say.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
from edgevl_train.sections import Machine
from edgevl_train.split.bottleneck import Back, Bottleneck, Scale, find_quantiser, narrowed, scale_of
from edgevl_train.split.cut import Cut, cut_in_two, find_cuts, load_network
from edgevl_train.split.write import run_each
from edgevl_train.stage_sections import StageSection
from edgevl_train.training.context import OnProgress, RunContext
from edgevl_train.training.distributed import start_fabric
from edgevl_train.training.loop import Stage, fit

TRAIN_PAIRS, VAL_PAIRS, COMPONENT_IMAGES, LOOKED_AT = 1024, 256, 256, 8
SECTION = StageSection(epochs=12, batch=64, lr=5e-4, min_lr=1e-6, warmup_steps=10, weight_decay=0.0)


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


class _Seen(NamedTuple):
    """Images at the cut, and what the whole student says: (N, C, H, W) uint8, (N, D) float32."""

    integers: NDArray[np.uint8]
    embeddings: NDArray[np.float32]


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
    thin = load_student(run / "checkpoints/stage2.pt", recipe.student, read_manifest(run / "bundle").embedding_dim)
    if not isinstance(thin, QuantStudent):
        raise UserError(f"{run}: its student is not quantised, --compress needs one that is")
    cache = open_cache(run / "cache")
    split = split_pairs(cache.stamp_ns, cache.bag, recipe.split, recipe.seed)
    learned, judged = (
        _pixels(cache, spread(rows, most)) for rows, most in ((split.train, TRAIN_PAIRS), (split.val, VAL_PAIRS))
    )
    train, val = (_at_cut(student, cut, pixels) for pixels in (learned, judged))
    channels = _channels(train, times)
    scale = scale_of(cut.tensor, load_network(student))
    node = find_quantiser(thin, torch.from_numpy(learned[:LOOKED_AT]), scale.values(train.integers[:LOOKED_AT]))
    some = spread(np.arange(len(learned)), COMPONENT_IMAGES)
    bottleneck = narrowed(thin, node, scale.values(train.integers[some]), channels)
    before, after = _train(Back(thin, node), bottleneck, _Data(train, val, scale, recipe), on_progress)
    export_int8(thin, file, recipe.student.size_px)
    (thin_cut,) = (each for each in find_cuts(load_network(file)) if each.after == cut.after + 1)
    return Compressed(file, thin_cut, times, before, after)


def _pixels(cache: Cache, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(2R, 3, S, S): whole frames as the robot feeds them, RGB and depth in turn."""
    both = np.stack([cache.full_rgb[rows], cache.full_depth[rows]], 1)
    return np.ascontiguousarray(both.reshape(-1, *both.shape[2:]).transpose(0, 3, 1, 2))


def _at_cut(student: Path, cut: Cut, pixels: NDArray[np.uint8]) -> _Seen:
    with tempfile.TemporaryDirectory() as directory:
        front, back = cut_in_two(load_network(student), cut, Path(directory))
        integers = run_each(front, pixels)
        return _Seen(integers, run_each(back, integers))


def _channels(seen: _Seen, times: int) -> int:
    """How many channels travel."""
    shape = seen.integers.shape[1:]
    if len(shape) != 3 or not 2 <= times <= shape[0]:
        travels = " x ".join(map(str, shape))
        raise UserError(
            f"--compress {times}: {travels} travel at this cut; needed is one where channels x height x width travel, "
            "and accepted 2 up to the number of channels"
        )
    return int(shape[0]) // times


@dataclass(frozen=True)
class _Data:
    train: _Seen
    val: _Seen
    scale: Scale
    recipe: Recipe

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(B, C, H, W) float32 and (B, D) float32, in an order of the epoch's own."""
        order = np.random.default_rng([self.recipe.seed, 3, epoch]).permutation(len(self.train.integers))
        for step in range(first, self.steps):
            rows = np.sort(order[step * SECTION.batch : (step + 1) * SECTION.batch])
            yield self.scale.values(self.train.integers[rows]), torch.from_numpy(self.train.embeddings[rows])

    @property
    def steps(self) -> int:
        """Batches of an epoch; a last one that is not full is used where there is no other."""
        return max(1, len(self.train.integers) // SECTION.batch)

    def cosine(self, model: nn.Module) -> float:
        """Mean one on the validation images."""
        starts = range(0, len(self.val.integers), SECTION.batch)
        parts = [slice(start, start + SECTION.batch) for start in starts]
        with torch.no_grad():
            found = torch.cat([model(self.scale.values(self.val.integers[part])) for part in parts])
        return float((found * torch.from_numpy(self.val.embeddings)).sum(1).mean())


def _train(back: Back, bottleneck: Bottleneck, data: _Data, on_progress: OnProgress) -> tuple[float, float]:
    """Cosine on validation images before and after; ``back`` ends with the best."""
    back.requires_grad_(False)
    bottleneck.requires_grad_(True)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        features, wanted = batch
        return {"loss": 1 - functional.cosine_similarity(model(features), wanted).mean()}

    before = data.cosine(back.eval())
    bottleneck.travels.observing = True
    validate: Callable[[nn.Module], dict[str, float]] = lambda model: {"score": data.cosine(model)}  # noqa: E731
    stage = Stage("bottleneck", SECTION, data.steps, data.batches, loss, validate, score_start=True)
    with tempfile.TemporaryDirectory() as directory:
        # Where its images are, whatever the run was trained on: it is small. The 256 levels need 32 bits.
        fabric = start_fabric(Machine(accelerator="cpu"), "32-true")
        best = fit(back, stage, RunContext(fabric, Path(directory), on_progress=on_progress), seed=data.recipe.seed)
    back.load_state_dict(best.state)
    back.eval()
    return before, float(best.metrics["score"])
