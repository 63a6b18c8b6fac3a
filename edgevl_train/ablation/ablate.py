"""``edgevl adapt --ablate``: what each step of the method is worth, over several training seeds.

The rows are those of the paper's ablation table (EdgeVL, arXiv 2403.04908) and dynamic int8: the float student of stage
1; its static and its dynamic post-training quantisation, and the best one that is known here; quantisation-aware
training with the distillation term alone; and with the contrastive term. The last three also with weights of fewer
bits, where asked for. A variant is the recipe with other settings of how is learned; its rows are its float student and
its student of stage 2. Cache, split, views, the teacher's embeddings and curation are the same for all; a seed decides
the student's first weights, the order of the batches and the augmentation.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgevl_core.base.errors import UserError
from edgevl_train.ablation.figures import check_seeds, compare, judged, name_of
from edgevl_train.ablation.plot import draw_ablation
from edgevl_train.ablation.trial import Trial, start_alone
from edgevl_train.data.cache import check_test_bags, hash_bag
from edgevl_train.data.replay import inherited
from edgevl_train.prepare import gather, open_inputs, prepare
from edgevl_train.progress import RunProgress
from edgevl_train.quantise.scheme import LARGEST_WEIGHT
from edgevl_train.recipe import Recipe, override, parse_recipe
from edgevl_train.run_directory import at_work, check_out, write_json
from edgevl_train.training.signals import terminable

# What a variant may set: how is learned, not from what.
VARIED = ("stage1", "stage2", "depth_augment", "missing_depth", "rgb_augment", "low_light", "precision")
ABLATION_FILE = "ablation.json"


def ablate(  # noqa: PLR0913  (the options of the command line)
    bags: Sequence[Path | str],
    teacher_spec: str,
    labels_path: Path | str,
    out: Path | str,
    recipe: Recipe,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    test: Sequence[Path] = (),
    variants: Sequence[str] = (),
    weight_bits: Sequence[int] = (),
    resume: bool = False,
) -> dict[str, Any]:
    """Train every row for every seed and compare.

    Args:
        out: a new directory, unless ``resume``: cache, teacher's embeddings, ``seed_<s>/`` with checkpoints, metrics,
            ONNX files and figures.json, then ablation.json and ablation.png.
        seeds: training seeds; ``recipe.seed`` stays that of split and views.
        test: bags with truth, of places that are not in ``bags``; they only report, nothing is chosen by them.
        weight_bits: fewer bits of the weights to try as well, of 3, 4, 7; the rows of QUANTISED, from the same float
            student. The files stay int8 files, whose weights take fewer values.
        variants: each ``section.key=value`` settings, white space between, of the sections in VARIED.

    Returns:
        What ablation.json holds: ``rows``: row -> figure -> {"mean", "std", "values"}; ``gain``: the paired differences
        between the rows of int8 that take ever more training, and every variant's rows - the recipe's, likewise. A
        figure is validation_agreement_<modality>, validation_cosine_<modality>, and with ``test`` top1_<modality>,
        modality rgb, depth or mean. ``std`` of one seed is NaN, and null in the file.

    Raises:
        UserError: wrong input, as for :func:`edgevl_train.adapt.adapt`; no seeds, one named twice; stage2.epochs = 0;
            a variant of another section; a test bag that is learned from.
    """
    out = Path(out)
    check_seeds(seeds)
    if not recipe.stage2.epochs:
        raise UserError("stage2.epochs=0: an ablation of stage 2 needs at least one epoch of it")
    if recipe.student.budget_ms is not None:
        raise UserError("student.budget_ms with --ablate: name the student, which edgevl adapt --dry-run finds")
    recipe = inherited(recipe)
    varied = {variant: _varied(recipe, variant) for variant in variants}
    fewer = {f"weights of {bits} bits": _with_weight_bits(recipe, bits) for bits in weight_bits}
    check_out(out, resume=resume)
    setup = prepare(bags, teacher_spec, labels_path, recipe, out=out, variants=varied.values())
    check_test_bags(test, setup.bags, recipe.cache.pairs)
    fabric = start_alone(recipe, "--ablate")
    out.mkdir(parents=True, exist_ok=True)
    shares = _shares(recipe, seeds, varied, fewer)
    with at_work(out), terminable(), RunProgress(out / "status.json", shares) as progress:
        inputs = open_inputs(setup, out, fabric)
        for warning in setup.warnings:
            progress.say(f"warning: {warning}")
        gathered = gather(setup, inputs, out, progress, fabric)
        bank = gathered.bank.select(setup.labels.names)
        judge = partial(judged, data=gathered.data, bank=bank, test=test)
        hashes = [hash_bag(bag) for bag in test]
        trials = [
            Trial(setup, gathered.data, inputs.fingerprint, seed, out / f"seed_{seed}", progress, judge, hashes)
            for seed in seeds
        ]
        figures = [trial.all_rows(recipe, varied, fewer) for trial in trials]
    names = {row: name_of(row) for row in figures[0]}
    result = {"seeds": list(seeds), "test": [bag.name for bag in test], "names": names} | compare(figures)
    write_json(out / ABLATION_FILE, result)
    draw_ablation(result, out / "ablation.png")
    return result


def _varied(recipe: Recipe, variant: str) -> Recipe:
    data = recipe.model_dump()
    for setting in variant.split():
        if setting.split(".")[0] not in VARIED:
            raise UserError(f"variant {setting!r}: settings of {', '.join(VARIED)} may vary; the rest is common to all")
        override(data, setting)
    return parse_recipe(data, origin=f"of the variant {variant!r}")


def _with_weight_bits(recipe: Recipe, bits: int) -> Recipe:
    if bits not in LARGEST_WEIGHT:
        raise UserError(f"weights of {bits} bits: accepted are {', '.join(map(str, LARGEST_WEIGHT))}")
    # Past the recipe's own check: a bundle has no weights of 3 bits.
    return recipe.model_copy(update={"stage2": recipe.stage2.model_copy(update={"weight_bits": bits})})


def _shares(
    recipe: Recipe, seeds: Sequence[int], varied: Mapping[str, Recipe], fewer: Mapping[str, Recipe]
) -> dict[str, float]:
    """Expected time per stage; only ratios matter."""
    shares = {"cache": 1.5, "teacher": 0.3 * recipe.views.count}
    for seed in seeds:
        trained = [recipe, *varied.values()]
        shares[f"seed {seed}, stage 1"] = sum(2.0 * each.stage1.epochs for each in trained)
        alone, quantised = 4.0 * recipe.stage2.epochs + 0.5, [*trained, *fewer.values()]
        shares[f"seed {seed}, qat_int8"] = alone * (1 + len(fewer))
        shares[f"seed {seed}, stage2_int8"] = sum(4.0 * each.stage2.epochs + 0.5 for each in quantised)
        shares[f"seed {seed}, figures"] = 2.0
    return shares
