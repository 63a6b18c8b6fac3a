"""What a student says in two halves, against what it says as a whole, on bags whose rooms are known."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.offload.halves import Halves
from edgevl_train.evaluation.evaluate import evaluate_all
from edgevl_train.evaluation.predictors import bundle_predictor, engine_predictor


def judge(
    bundle: Path, halves: Halves, bags: Sequence[Path], on_progress: Callable[[int], None] = lambda pairs: None
) -> dict[str, dict[str, Any]]:
    """Figures of "whole" and of "halves" on the very same pairs, see :func:`edgevl_train.evaluation.evaluate.evaluate`.

    Raises:
        UserError: the bundle is refused, a bag cannot be read.
    """
    whole, loaded = bundle_predictor(bundle, threads=1), load_bundle(bundle, both=False)
    manifest = loaded.manifest
    engine = loaded.engine.run_by(lambda pixels: halves.back(halves.front(pixels)))
    cut = engine_predictor("halves", engine, manifest.preprocess, whole.bank, whole.logit_scale, manifest.trust)
    predictors = {"whole": whole, "halves": replace(whole, id="halves", embed=cut.embed)}
    return evaluate_all(predictors, bags, on_progress=on_progress)
