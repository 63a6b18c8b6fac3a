"""A student by the time that it may take: the most accurate one that is fast enough on this machine.

Which is more accurate than which stands in ``config/students.json``: as shipped, by the ImageNet accuracy of the
weights that timm has for each, with which a student begins; benchmarks/students.py makes one of equal training. How
long each takes is measured here and now.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.base.resources import resource
from edgevl_core.base.timing import measure
from edgevl_core.engine import ENGINES, Engine, one_image
from edgevl_train.quantise.trial import try_student
from edgevl_train.recipe import Recipe, load_recipe
from edgevl_train.run_directory import INPUTS_FILE
from edgevl_train.sections import Machine, Section, StudentSection

RANKING_FILE = "students.json"  # in config/
ENGINE = ENGINES[0]  # what scene_classifier runs a bundle with, unless it is told otherwise
_MEASURED_S = 0.5


class Ranked(Section):
    """A student of a ranking. ``score``: its accuracy there, which only tells more from less."""

    name: str
    backbone: dict[str, Any] = Field(default_factory=dict)
    score: float

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.name} {json.dumps(self.backbone)}" if self.backbone else self.name


class Ranking(Section):
    """Students, in any order; ``by``: what they are ranked by, for people; ``made_by``: with what."""

    made_by: str
    by: str
    students: tuple[Ranked, ...] = Field(min_length=1)


def load_ranking(path: Path | None = None) -> Ranking:
    """A ranking, its students by falling accuracy.

    Args:
        path: JSON of a :class:`Ranking`; None: ``config/students.json``.

    Raises:
        UserError: it cannot be read, or is no ranking.
    """
    path = resource("config") / RANKING_FILE if path is None else path
    try:
        found = Ranking.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = one_line(str(error), 160)
        raise UserError(
            f"ranking {path} cannot be read ({reason}): "
            "make it with benchmarks/students.py --ranking, or name a student"
        ) from error
    return found.model_copy(update={"students": tuple(sorted(found.students, key=lambda each: -each.score))})


def within_budget(recipe: Recipe, embed_dim: int, out: Path | None, ranking: Ranking) -> tuple[Recipe, str]:
    """The recipe with the student that its ``student.budget_ms`` allows, and a sentence that says why it is that one.

    A run of ``out`` that has begun goes on with its own.

    Raises:
        UserError: none is fast enough; several processes, which might not choose alike.
    """
    section = recipe.student
    if section.budget_ms is None:
        return recipe, ""
    if _processes(recipe) > 1:
        raise UserError(
            f"student.budget_ms={section.budget_ms:g} in several processes: each would measure for itself; "
            "name the student, which edgevl adapt --dry-run in one process finds"
        )
    begun = _begun(section, out)
    if begun is not None:
        return _with_student(recipe, begun.name, begun.backbone), ""

    def milliseconds(student: Ranked) -> float:
        return _int8_ms(_with_student(recipe, student.name, student.backbone).student, embed_dim)

    chosen, sentence = choose(ranking.students, section.budget_ms, milliseconds)
    where = f" ({section.size_px} px, int8, {ENGINE}, one thread; ranked by {ranking.by})"
    return _with_student(recipe, chosen.name, chosen.backbone), sentence + where


def choose(ranking: Iterable[Ranked], budget_ms: float, milliseconds: Callable[[Ranked], float]) -> tuple[Ranked, str]:
    """The first of the ranking that takes no longer than the budget, and why.

    Args:
        milliseconds: measures one; UserError where it cannot be built, which passes over it.

    Raises:
        UserError: none does; the fastest is named.
    """
    slower: list[tuple[float, str]] = []
    refused: list[str] = []
    for student in ranking:
        try:
            took_ms = milliseconds(student)
        except UserError:
            refused.append(student.label)
            continue
        if took_ms <= budget_ms:
            before = [f"{label} {ms:.2f} ms" for ms, label in slower] + [f"{label} cannot" for label in refused]
            why = f"; more accurate, but not within it: {', '.join(before)}" if before else "; it is the most accurate"
            return student, f"student {student.label}: {took_ms:.2f} ms, {budget_ms:g} ms are allowed{why}"
        slower.append((took_ms, student.label))
    if not slower:
        raise UserError(f"budget of {budget_ms:g} ms: no student of the ranking can be built at this size: name one")
    fastest_ms, fastest = min(slower)
    raise UserError(
        f"budget of {budget_ms:g} ms: no student is that fast here, the fastest is {fastest} with {fastest_ms:.2f} ms; "
        "allow more, or take a smaller student.size_px"
    )


def _processes(recipe: Machine) -> int:
    return max(recipe.devices * recipe.num_nodes, int(os.environ.get("WORLD_SIZE", 1)))


def _begun(section: StudentSection, out: Path | None) -> StudentSection | None:
    """The student of a run that has begun with the same budget."""
    if out is None or not (out / INPUTS_FILE).is_file():
        return None
    earlier = load_recipe(out / "recipe.yaml").student
    return earlier if earlier.budget_ms == section.budget_ms else None


def _with_student(recipe: Recipe, name: str, backbone: dict[str, Any]) -> Recipe:
    student = recipe.student.model_copy(update={"name": name, "backbone": backbone})
    return recipe.model_copy(update={"student": student})


def _int8_ms(section: StudentSection, embed_dim: int) -> float:
    """Median time of one image with one thread, of the student's int8 file with random weights.

    Raises:
        UserError: it cannot be built or exported.
    """
    with tempfile.TemporaryDirectory() as directory:
        engine = Engine(try_student(section, embed_dim, Path(directory)).int8, name=ENGINE)
    return 1e3 * measure({"student": one_image(engine)}, seconds=_MEASURED_S)["student"].median_s
