"""The exported students asked again: their embeddings of the validation pairs, and the time that one picture takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.fusion import depth_quality, rgb_quality
from edgevl_core.bundle.manifest import ByModality
from edgevl_core.engine import Engine, one_image
from edgevl_train.data.run_data import spread
from edgevl_train.evaluation.predictions import Answers, Embedded, answers
from edgevl_train.export_bundle import on_images
from edgevl_train.report.pairs import RunPairs
from edgevl_train.report.run_files import STUDENTS, RunFiles

MOST_PAIRS = 512
BEFORE = "before"  # the student that the run began with, where it is that of an earlier run
NO_THRESHOLD = ByModality(rgb=0.0, depth=0.0, rgbd=0.0)

OnProgress = Callable[[int, int], None]
Timed = Callable[[Mapping[str, Callable[[], object]]], Mapping[str, float]]
"""Tasks by name -> seconds of one call, measured against each other."""


@dataclass(frozen=True)
class Asked:
    """What the students say of some validation pairs.

    Attributes:
        rows: (M,) int64 of the run's pairs; embedded: by student (fp32, int8, ``before``) of RGB and depth.
        found: answers of the int8 student, with the temperatures of its bundle, by modality.
        seconds: of one picture, by student.
    """

    rows: NDArray[np.int64]
    embedded: Mapping[str, Embedded]
    found: Mapping[str, Answers]
    seconds: Mapping[str, float]


def ask(files: RunFiles, pairs: RunPairs, timed: Timed | None, on_progress: OnProgress) -> Asked:
    """Run the students of the run over its validation pairs, at most MOST_PAIRS evenly spread.

    Args:
        timed: how one picture is timed; None: it is not.

    Raises:
        UserError: there are no validation pairs, or no file of the int8 student; a sentence for the page.
    """
    if not len(pairs.val):
        raise UserError("The run has no validation pairs: what its student answers was not compared.")
    engines = {name: Engine(file, threads=2) for name, file in _files(files).items()}
    if "int8" not in engines or files.manifest is None:
        raise UserError("The files of the exported students are no longer there: their answers cannot be shown.")
    rows = spread(pairs.val, MOST_PAIRS)
    rgb, depth = np.asarray(pairs.cache.full_rgb[rows]), np.asarray(pairs.cache.full_depth[rows])
    trust = files.manifest.trust
    quality = np.stack([rgb_quality(rgb, trust.rgb), depth_quality(depth, trust.depth)])
    fits = engines["int8"].size_px, engines["int8"].embedding_dim
    shown = [
        name
        for name in (BEFORE, "fp32", "int8")
        if name in engines and (engines[name].size_px, engines[name].embedding_dim) == fits
    ]
    steps, embedded = 2 * len(shown) + (timed is not None), {}
    on_progress(0, steps)
    for done, name in enumerate(shown):
        embed = on_images(engines[name])
        of_rgb = embed(rgb)
        on_progress(2 * done + 1, steps)
        embedded[name] = Embedded(of_rgb, embed(depth), quality)
        on_progress(2 * done + 2, steps)
    found = answers(embedded["int8"], pairs.vectors, pairs.logit_scale, files.manifest.temperature, NO_THRESHOLD)
    seconds: Mapping[str, float] = {}
    if timed is not None:
        seconds = timed({name: one_image(engines[name]) for name in STUDENTS if name in engines})
        on_progress(steps, steps)
    return Asked(rows, embedded, {str(name): answer for name, answer in found.items()}, seconds)


def _files(files: RunFiles) -> dict[str, Path]:
    """ONNX files by student; those that are still there, in ``onnx/`` or in the bundles."""
    run = files.run
    places = {
        "fp32": [run / "onnx/fp32.onnx", run / "bundle_ptq/student_fp32.onnx"],
        "ptq": [run / "onnx/ptq.onnx", run / "bundle_ptq/student.onnx"],
        "int8": [run / "bundle/student.onnx", run / "onnx/int8.onnx"],
    }
    if start := files.recipe.get("student", {}).get("start_from"):
        places[BEFORE] = [Path(start) / "bundle/student.onnx", Path(start) / "onnx/int8.onnx"]
    found = {name: next((file for file in some if file.is_file()), None) for name, some in places.items()}
    return {name: file for name, file in found.items() if file is not None}
