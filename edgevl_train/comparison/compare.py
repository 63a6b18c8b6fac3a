"""``edgevl compare``: recipes on the same pairs, cache, teacher's embeddings and steps; several fractions and seeds.

A cell is a recipe, a fraction of the training pairs and a seed: its float student, and its int8 student of stage 2. The
smaller the fraction, the more epochs, so that every cell takes the steps of the whole. Every second word of the
vocabulary is hidden from all of them, and asked for afterwards.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgevl_core.base.errors import UserError
from edgevl_core.base.timing import measure
from edgevl_core.bundle.label_bank import build_label_bank
from edgevl_core.bundle.labels import LabelSet
from edgevl_core.engine import Engine, one_image
from edgevl_train.ablation.figures import Figures, check_seeds, judged, spread_of
from edgevl_train.ablation.trial import Trial, of_variant, start_alone
from edgevl_train.comparison.plot import draw_comparison
from edgevl_train.comparison.terms import (
    check_fractions,
    on_equal_terms,
    part_of,
    parted_vocabulary,
    with_steps_of,
)
from edgevl_train.comparison.verdict import verdicts
from edgevl_train.data.cache import check_test_bags, hash_bag
from edgevl_train.prepare import Setup, gather, open_inputs, prepare
from edgevl_train.progress import RunProgress
from edgevl_train.quantise.trial import check_student
from edgevl_train.recipe import Recipe, dump_recipe
from edgevl_train.run_directory import at_work, check_out, write_json
from edgevl_train.training.signals import terminable

COMPARISON_FILE = "compare.json"
KINDS = {"float": "stage1_fp32", "int8": "stage2_int8"}
_MEASURED_S = 0.5  # for each file


def compare(  # noqa: PLR0913  (the options of the command line)
    bags: Sequence[Path | str],
    teacher_spec: str,
    labels_path: Path | str,
    out: Path | str,
    base: tuple[str, Recipe],
    others: Mapping[str, Recipe],
    *,
    fractions: Sequence[int] = (10, 30, 100),
    seeds: Sequence[int] = (0, 1, 2),
    test: Sequence[Path] = (),
    same_student: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Train every cell, or go on where an earlier call was cut off, and compare.

    Args:
        out: a new directory, unless ``resume``: cache, teacher's embeddings, ``<recipe>_<digest>/<percent>/seed_<s>/``
            with checkpoints, metrics, ONNX files and figures.json, then compare.json and compare.png.
        base: name and recipe that the others are compared with; its data, steps and image size are everyone's.
        fractions: percent of the training pairs.
        test: bags with truth, of places that are not in ``bags``; they only report, nothing is chosen by them.
        same_student: all train the base's student.

    Returns:
        What compare.json holds: ``recipes``: name -> student, bytes and quartiles of milliseconds of its float and int8
        file; ``cells``: name -> percent -> row -> figure -> {"mean", "std", "values"}, the figures of
        :func:`edgevl_train.ablation.ablate.ablate` and ``held_out_agreement_<modality>``; ``verdicts``; and what it was
        made with.

    Raises:
        UserError: wrong input, as for :func:`edgevl_train.adapt.adapt`; wrong fractions or seeds; a recipe that cannot
            be compared; a name twice; a test bag that is learned from.
    """
    out, (name, recipe) = Path(out), base
    check_fractions(fractions)
    check_seeds(seeds)
    if name in others:
        raise UserError(f"recipe {name} is given twice: name each file once, the first one with --recipe")
    recipes = on_equal_terms(recipe, {name: recipe} | dict(others), same_student=same_student)
    check_out(out, resume=resume)
    setup = prepare(bags, teacher_spec, labels_path, recipe, out=out, variants=recipes.values())
    check_test_bags(test, setup.bags, recipe.cache.pairs)
    learned, held_out = parted_vocabulary(recipe, setup.labels)
    if setup.vocabulary is not None:
        setup = replace(setup, vocabulary=learned)
    for each in recipes.values():
        check_student(each.student, setup.teacher.embed_dim)
    out.mkdir(parents=True, exist_ok=True)
    work = _Work(setup, recipes, tuple(fractions), tuple(seeds), out)
    figure = "top1" if test else "validation_agreement"
    with at_work(out), terminable(), RunProgress(out / "status.json", work.shares()) as progress:
        found = work.done(held_out, test, progress)
    result = {"base": name, "seeds": list(seeds), "test": [bag.name for bag in test], "figure": figure} | found
    result["verdicts"] = verdicts(found["cells"], name, f"{figure}_mean", KINDS["int8"])
    write_json(out / COMPARISON_FILE, result)
    draw_comparison(result, out / "compare.png")
    return result


@dataclass(frozen=True)
class _Work:
    """What is to be trained, and where; ``recipes`` are on equal terms."""

    setup: Setup
    recipes: Mapping[str, Recipe]
    fractions: tuple[int, ...]
    seeds: tuple[int, ...]
    out: Path

    def done(self, held_out: LabelSet, test: Sequence[Path], progress: RunProgress) -> dict[str, Any]:
        """Every cell, sizes and times; "recipes", "cells", "fractions", "pairs" and "held_out" of compare.json."""
        fabric = start_alone(self.setup.recipe, "edgevl compare")
        inputs = open_inputs(self.setup, self.out, fabric)
        for warning in self.setup.warnings:
            progress.say(f"warning: {warning}")
        gathered = gather(self.setup, inputs, self.out, progress, fabric)
        words = build_label_bank([held_out], self.setup.teacher.encode_text)
        bank = gathered.bank.select(self.setup.labels.names)
        judge = partial(judged, data=gathered.data, bank=bank, test=test, held_out=words.vectors)
        judges = [*(hash_bag(bag) for bag in test), hashlib.sha256(words.vectors.tobytes()).hexdigest()]
        parts = {percent: part_of(gathered.data, percent, self.setup.recipe.seed) for percent in self.fractions}

        def cell(name: str, percent: int, seed: int) -> Figures:
            part, key = parts[percent], f"{inputs.fingerprint} {percent} %"
            title, directory = f"{name}, {percent} %, ", self.directory(name, percent, seed)
            trial = Trial(self.setup, part, key, seed, directory, progress, judge, judges, title)
            recipe = with_steps_of(self.recipes[name], len(gathered.data.train), len(part.train))
            return trial.kept("figures", recipe, of_variant)

        cells = {
            name: {str(percent): over_seeds([cell(name, percent, seed) for seed in self.seeds]) for percent in parts}
            for name in self.recipes
        }
        progress.stage("times")
        return {
            "recipes": self._sizes_and_times(),
            "fractions": list(self.fractions),
            "pairs": {str(percent): len(part.train) for percent, part in parts.items()},
            "held_out": list(words.names),
            "cells": cells,
        }

    def directory(self, name: str, percent: int, seed: int) -> Path:
        """Of a cell; another recipe of the same name has another one, and so have other words that it learns by."""
        recipe = self.recipes[name]
        digest = hashlib.sha256(dump_recipe(recipe) + self.setup.words_of(recipe)).hexdigest()[:8]
        return self.out / f"{name}_{digest}" / str(percent) / f"seed_{seed}"

    def shares(self) -> dict[str, float]:
        """Expected time per stage; only ratios matter."""
        shares = {"cache": 1.5, "teacher": 0.3 * self.setup.recipe.views.count}
        for name, recipe in self.recipes.items():
            for title in (f"{name}, {percent} %, seed {seed}" for percent in self.fractions for seed in self.seeds):
                shares[f"{title}, stage 1"] = 2.0 * recipe.stage1.epochs
                shares[f"{title}, stage2_int8"] = 4.0 * recipe.stage2.epochs + 0.5
                shares[f"{title}, figures"] = 2.0
        return shares | {"times": 1.0}

    def _sizes_and_times(self) -> dict[str, Any]:
        """Of each recipe's student: name, and bytes and quartiles of milliseconds of its files, timed interleaved."""
        first = {name: self.directory(name, max(self.fractions), self.seeds[0]) for name in self.recipes}
        files = {
            (name, kind): directory / f"{row}.onnx" for name, directory in first.items() for kind, row in KINDS.items()
        }
        tasks = {f"{name}/{kind}": one_image(Engine(file)) for (name, kind), file in files.items()}
        timings = measure(tasks, seconds=_MEASURED_S * len(tasks))
        found: dict[str, Any] = {name: {"student": self.recipes[name].student.name} for name in self.recipes}
        for (name, kind), file in files.items():
            found[name][kind] = {"bytes": file.stat().st_size, "ms": list(timings[f"{name}/{kind}"].quartiles_ms)}
        return found


def over_seeds(figures: Sequence[Figures]) -> dict[str, dict[str, Any]]:
    """Row -> figure -> spread over the seeds."""
    return {
        row: {name: spread_of([each[row][name] for each in figures]) for name in values}
        for row, values in figures[0].items()
    }
