"""Equal terms: what every recipe of a comparison gets from the first one, and what stays its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.labels import Label, LabelSet, load_labels, normalise_word
from edgevl_train.ablation.ablate import VARIED
from edgevl_train.data.run_data import RunData
from edgevl_train.recipe import Recipe, parse_recipe
from edgevl_train.stage_sections import StageSection

SAME = ("epochs", "batch", "accumulate", "patience")  # how many steps a stage takes, and of what


def on_equal_terms(base: Recipe, others: Mapping[str, Recipe], *, same_student: bool) -> dict[str, Recipe]:
    """Each recipe with the base's data, steps and image size; student, losses, rates and augmentation are its own.

    Args:
        same_student: all train the base's student, so that only the way of learning differs.

    Raises:
        UserError: a recipe that goes on from earlier runs, or chooses its student by time.
    """
    found = {}
    for name, other in others.items():
        if other.student.start_from or other.student.merge or other.student.budget_ms:
            raise UserError(
                f"recipe {name}: student.start_from, merge or budget_ms is set: a comparison begins with new students "
                "by name"
            )
        data = base.model_dump()
        own: dict[str, Any] = other.model_dump()
        data |= {section: own[section] for section in VARIED}
        for stage in ("stage1", "stage2"):
            data[stage] |= {key: getattr(getattr(base, stage), key) for key in SAME}
        if not same_student:
            data["student"] = own["student"] | {"size_px": base.student.size_px}
        found[name] = parse_recipe(data, origin=f"{name}, on equal terms")
    return found


def part_of(data: RunData, percent: int, seed: int) -> RunData:
    """The data with so many of its training pairs, drawn at random; a smaller part lies within a larger one."""
    count = max(2, round(len(data.train) * percent / 100))
    drawn = np.random.default_rng([seed, 0xDA7A]).permutation(data.train)[:count]
    return replace(data, train=np.sort(drawn))


def with_steps_of(recipe: Recipe, whole: int, part: int) -> Recipe:
    """The recipe with epochs enough for the steps that it takes on ``whole`` pairs, where there are ``part``.

    Its patience, in epochs too, lasts as many steps.
    """
    return recipe.model_copy(
        update={
            name: section.model_copy(update=_epochs(section, whole, part))
            for name, section in (("stage1", recipe.stage1), ("stage2", recipe.stage2))
        }
    )


def _epochs(section: StageSection, whole: int, part: int) -> dict[str, int]:
    def steps(pairs: int) -> int:
        """Of the optimiser in an epoch."""
        return -(-(pairs // min(section.batch, pairs)) // section.accumulate)

    def scaled(epochs: int) -> int:
        return max(min(epochs, 1), round(epochs * steps(whole) / steps(part)))

    return {"epochs": scaled(section.epochs), "patience": scaled(section.patience)}


def parted_vocabulary(recipe: Recipe, labels: LabelSet) -> tuple[LabelSet, LabelSet]:
    """The recipe's vocabulary in two: words that may be learned by, and every second word that is no label, held out.

    A word is a label where the two share a name, a synonym or what a template says for them.

    Raises:
        UserError: fewer than two words would be held out.
    """
    words = load_labels(recipe.vocabulary)
    taken = {word for label in labels.labels for word in _said_for(label)}
    free = [label for label in words.labels if not _said_for(label) & taken]
    held_out = free[1::2]
    if len(held_out) < 2:
        raise UserError(
            f"vocabulary {recipe.vocabulary}: {len(free)} of its words are no labels, so that {len(held_out)} can be "
            "held out, and 2 are needed: pass --set vocabulary=FILE with more words"
        )
    learned = tuple(label for label in words.labels if label not in held_out)
    return words.model_copy(update={"labels": learned}), words.model_copy(update={"labels": tuple(held_out)})


def _said_for(label: Label) -> set[str]:
    return {normalise_word(word) for word in (label.name, *label.words, *label.synonyms)}


def check_fractions(fractions: Sequence[int]) -> None:
    """Refuse what are no percentages.

    Raises:
        UserError: none, one twice, or one outside 1..100.
    """
    if not fractions or len(set(fractions)) != len(fractions) or not all(1 <= each <= 100 for each in fractions):
        raise UserError(f"fractions {list(fractions)}: percentages from 1 to 100 are accepted, each once")
