"""The checks of benchmarks/gpu.py, each a function that gives rows of the table."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from lightning_fabric import Fabric

from edgevl_core.base.errors import one_line
from edgevl_core.engine import Engine
from edgevl_train.data.batches import make_batches
from edgevl_train.data.embeddings import embed_views
from edgevl_train.data.run_data import RunData
from edgevl_train.recipe import Recipe
from edgevl_train.training.context import RunContext
from edgevl_train.training.distributed import start_fabric
from edgevl_train.training.loop import Best
from edgevl_train.training.stage1_distillation import distil
from edgevl_train.training.stage2_contrastive import contrast, quantised_copy
from gpu_parts.device import forward_flops, peak_flops, seconds_of
from gpu_parts.made import Sizes, made_data, made_files, made_student, made_teacher, recipe_of, warmed_student

LEAST_COSINE = 0.995  # to the CPU's float answers
TRAINING_FACTOR = 3  # operations of a step to those of its forward pass
DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
CPU, CUDA, TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))


@dataclass(frozen=True)
class Row:
    """One line: ``figures`` by name, with the unit in it; ``fault``: why the check failed, "" where it passed."""

    check: str
    figures: dict[str, float] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True)
class Bench:
    """What the checks share; ``device``: "cuda" or "cpu"."""

    sizes: Sizes
    device: str
    recipe: Recipe
    data: RunData

    @property
    def precisions(self) -> list[str]:
        """Those to train in."""
        return list(DTYPES) if self.device == "cuda" else ["32-true"]


def make_bench(sizes: Sizes, device: str) -> Bench:
    """The bench with its made-up data."""
    recipe = recipe_of(sizes, device)
    return Bench(sizes, device, recipe, made_data(recipe, sizes.pairs))


def multiply(bench: Bench) -> Iterator[Row]:
    """The device's peak in each arithmetic."""
    for precision in bench.precisions:
        reached = peak_flops(bench.device, DTYPES[precision], bench.sizes.matmul, bench.sizes.seconds)
        yield Row(f"peak, {precision}", {"TFLOP/s": reached / 1e12})


def train(bench: Bench) -> Iterator[Row]:
    """Both stages as ``edgevl adapt`` runs them, validation included; and a step's share of the device's peak.

    A step waits for its batch, which is made in the background: where making one takes as long, that is the limit.
    """
    for precision in bench.precisions:
        student = made_student(bench.recipe)
        yield _trained(bench, "stage 1", precision, student, distil)
    student = quantised_copy(warmed_student(bench.recipe, bench.data).to(bench.device), bench.data, bench.recipe.stage2)
    yield _trained(bench, "stage 2", "32-true", student, contrast)


def _trained(bench: Bench, stage: str, precision: str, student: Any, fit: Callable[..., Best]) -> Row:
    if bench.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ends: list[float] = []
    recipe = bench.recipe.model_copy(update={"precision": precision})
    fabric = start_fabric(recipe, precision)
    flops = forward_flops(made_student(recipe).eval(), recipe.student.size_px, "cpu")
    with tempfile.TemporaryDirectory() as directory:
        context = RunContext(fabric, Path(directory), on_progress=lambda *_: ends.append(time.perf_counter()))
        best = fit(student, bench.data, recipe, context)
    # The first steps choose kernels; validation lies between epochs, and the median passes over it.
    step_s = float(np.median(np.diff(ends)[len(ends) // 4 :]))
    images = 2 * recipe.stage1.batch / step_s
    peak = peak_flops(bench.device, DTYPES[precision], bench.sizes.matmul, bench.sizes.seconds / 3)
    figures = {
        "images/s": images,
        "ms/step": 1e3 * step_s,
        "ms/batch made": 1e3 * _making_s(bench, recipe, fabric),
        "% of peak": 100 * images * flops * TRAINING_FACTOR / peak,
    }
    if bench.device == "cuda":
        figures["peak memory, GiB"] = torch.cuda.max_memory_allocated() / 2**30
    finite = all(bool(value.isfinite().all()) for value in student.state_dict().values())
    fault = "" if finite and np.isfinite(best.metrics["score"]) else "weights or validation are not finite"
    return Row(f"{stage}, {recipe.student.name} {recipe.student.size_px} px, {precision}", figures, fault)


def _making_s(bench: Bench, recipe: Recipe, fabric: Fabric) -> float:
    """Mean seconds of making a batch, with nobody else at work."""
    batches, steps = make_batches(bench.data, recipe, recipe.stage1.batch, 1, fabric)
    return seconds_of(lambda: [None for _ in batches(0, 0)], bench.device, bench.sizes.seconds / 3) / steps


def embed(bench: Bench) -> Iterator[Row]:
    """The teacher's embeddings of several views, as ``edgevl adapt`` makes them."""
    precision = "bf16-mixed" if bench.device == "cuda" else "32-true"
    teacher = made_teacher(bench.sizes, bench.device, precision)
    flops = forward_flops(teacher.model.visual, teacher.size_px, bench.device)
    with tempfile.TemporaryDirectory() as directory:
        teacher.encode_pixels(torch.zeros(bench.sizes.teacher_batch, 3, teacher.size_px, teacher.size_px))
        start_s = time.perf_counter()
        found = embed_views(teacher, bench.data.cache, bench.data.views, Path(directory))
        took_s = time.perf_counter() - start_s
        lengths = np.linalg.norm(np.asarray(found, np.float32), axis=-1)
    images = found.shape[0] * found.shape[1] / took_s
    peak = peak_flops(bench.device, DTYPES[precision], bench.sizes.matmul, bench.sizes.seconds / 3)
    fault = "" if np.allclose(lengths, 1, atol=0.01) else "embeddings are not of unit length"
    views = f"{found.shape[0]} views, {precision}"
    yield Row(f"teacher {teacher.id}, {views}", {"images/s": images, "% of peak": 100 * images * flops / peak}, fault)


def serve(bench: Bench) -> Iterator[Row]:
    """The float and the s8 file in each provider: time of one image and of many, cosine to the CPU's float answers."""
    wanted = (CUDA, TENSORRT) if bench.device == "cuda" else (CPU,)
    pixels = np.ascontiguousarray(bench.data.cache.full_rgb[: bench.sizes.serving_batch].transpose(0, 3, 1, 2))
    with tempfile.TemporaryDirectory() as directory:
        files = made_files(bench.recipe, bench.data, Path(directory))
        references = {name: Engine(files[on_cpu])(pixels) for name, on_cpu in (("float", "float"), ("s8", "int8"))}
        for provider in wanted:
            for name in references:
                check = f"{provider.removesuffix('ExecutionProvider')}, {name} file"
                if provider not in ort.get_available_providers():
                    yield Row(check, fault=f"{provider} is not in this onnxruntime: pip install onnxruntime-gpu")
                    continue
                try:
                    yield _served(check, files[name], provider, pixels, references[name], bench)
                except Exception as error:  # a library's, of any kind; the other rows say what works
                    yield Row(check, fault=one_line(f"{type(error).__name__}: {error}", 200))


def _tensorrt(name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Options for one engine, which takes a minute to make, of any number of images up to ``shape``'s."""
    most, one = ("pixels:" + "x".join(map(str, (count, *shape[1:]))) for count in (shape[0], 1))
    shapes = {"trt_profile_min_shapes": one, "trt_profile_opt_shapes": most, "trt_profile_max_shapes": most}
    return shapes | {"trt_fp16_enable": True, "trt_int8_enable": name == "s8"}


def _served(check: str, file: Path, provider: str, pixels: np.ndarray, reference: np.ndarray, bench: Bench) -> Row:
    options = _tensorrt(file.stem, pixels.shape) if provider == TENSORRT else {}
    session = ort.InferenceSession(str(file), providers=[(provider, options)])
    if session.get_providers()[0] != provider:
        return Row(check, fault=f"{provider} does not start here: its libraries are missing")
    figures = {}
    for count, unit in ((1, "ms, 1 image"), (len(pixels), f"ms, {len(pixels)} images")):
        some = pixels[:count]
        figures[unit] = 1e3 * seconds_of(
            lambda some=some: session.run(None, {"pixels": some}), "cpu", bench.sizes.seconds
        )
    answer = session.run(None, {"pixels": pixels})[0]
    cosine = float((answer * reference).sum(1).min())
    figures["least cosine"] = cosine
    return Row(check, figures, "" if cosine >= LEAST_COSINE else f"cosine {cosine:.4f} to the CPU's answers")


CHECKS = {"multiply": multiply, "train": train, "embed": embed, "serve": serve}
