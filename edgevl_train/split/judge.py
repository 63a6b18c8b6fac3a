"""What a student says in two halves, against what it says as a whole, on bags whose rooms are known."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgevl_core.bundle.self_test import open_untrusted
from edgevl_core.offload.halves import Halves
from edgevl_core.pairlog.pairs import PairSettings
from edgevl_train.evaluation.evaluate import evaluate_all
from edgevl_train.evaluation.predictors import bundle_predictor, student_embedding


def judge(
    bundle: Path,
    halves: Halves,
    bags: Sequence[Path],
    settings: PairSettings = PairSettings(),  # noqa: B008  (frozen)
    on_progress: Callable[[int], None] = lambda pairs: None,
) -> dict[str, dict[str, Any]]:
    """Figures of "whole" and of "halves" on the very same pairs, see :func:`edgevl_train.evaluation.evaluate.evaluate`.

    Args:
        settings: which pairs of the bags.

    Raises:
        UserError: the bundle is refused, a bag cannot be read.
    """
    loaded = open_untrusted(bundle)
    whole, manifest = bundle_predictor(loaded), loaded.manifest
    engine = loaded.engine.run_by(lambda pixels: halves.back(halves.front(pixels)))
    cut = student_embedding(engine, engine, manifest.preprocess, manifest.trust, sees_depth=manifest.sees_depth)
    predictors = {"whole": whole, "halves": replace(whole, id="halves", embed=cut)}
    return evaluate_all(predictors, bags, settings=settings, on_progress=on_progress)
