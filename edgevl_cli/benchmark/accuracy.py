"""How good a bundle's two files are on a bag with true rooms."""

from pathlib import Path

from edgevl_cli.benchmark.files import FLOAT, STATIC
from edgevl_cli.console import OnProgress
from edgevl_core.base.errors import UserError
from edgevl_core.bundle.student_bundle import load_bundle
from edgevl_core.pairlog.pairs import PairSettings, expected_pairs
from edgevl_train.evaluation.evaluate import evaluate_all
from edgevl_train.evaluation.metrics.summary import why_no_truth
from edgevl_train.evaluation.predictors import bundle_predictor


def top1(
    bundle: Path,
    bag: Path,
    settings: PairSettings = PairSettings(),  # noqa: B008  (frozen)
    on_progress: OnProgress = lambda done, total: None,
) -> dict[str, dict[str, float]]:
    """{FLOAT, STATIC} -> {"rgb", "depth", "rgbd"} -> top-1.

    Args:
        bundle: :func:`edgevl_cli.benchmark.files.bundle` has tried it.
        settings: which pairs of the bag.

    Raises:
        UserError: the bag has no true rooms, or the bundle is refused.
    """
    loaded = load_bundle(bundle, threads=2)
    predictors = {FLOAT: bundle_predictor(loaded, fp32=True), STATIC: bundle_predictor(loaded)}
    total = expected_pairs(bag, settings)
    found = evaluate_all(predictors, [bag], settings=settings, on_progress=lambda pairs: on_progress(pairs, total))
    for figures in found.values():
        if figures["against"] != "truth":
            raise UserError(f"--bag {bag}: {why_no_truth(figures)}; pass a bag with true rooms, or none")
    return {precision: figures["top1"] for precision, figures in found.items()}
