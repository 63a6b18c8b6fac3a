"""What a student has learned from: the bags of its own run, and those of all that it goes back to."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.manifest import MANIFEST_FILE, BagRecord, Provenance, read_manifest
from edgevl_train.recipe import Recipe, load_recipe
from edgevl_train.run_directory import INPUTS_FILE, RECIPE_FILE, read_inputs, software_versions


def learned_before(recipe: Recipe, known: frozenset[Path] = frozenset()) -> tuple[BagRecord, ...]:
    """Bags of the run that a recipe starts from, of those it merges, and of students in the teacher's place.

    Args:
        known: runs that led here, none of which is asked twice.

    Raises:
        UserError: a manifest, recipe or inputs.json among them is damaged.
    """
    student = recipe.student
    start = [student.start_from] if student.start_from is not None else []
    origins = (*start, *student.merge, *recipe.teacher.students)
    return _once(record for path in origins for record in bags_of(path, known))


def bags_of(path: Path, known: frozenset[Path] = frozenset()) -> tuple[BagRecord, ...]:
    """What the student of a run or bundle has learned from: as its bundle and inputs say, and those it goes back to.

    Where those are not on this machine, and no bundle names their bags, they are not known.

    Args:
        known: runs that led here.

    Raises:
        UserError: the manifest, recipe or inputs.json is damaged.
    """
    if path.resolve() in known:
        return ()
    told: list[BagRecord] = []
    for bundle in (path, path / "bundle"):
        if (bundle / MANIFEST_FILE).is_file():
            told += read_manifest(bundle).provenance.bags
    if (path / INPUTS_FILE).is_file():
        told += _own_bags(path)
    if (path / RECIPE_FILE).is_file():
        told += learned_before(load_recipe(path / RECIPE_FILE), known | {path.resolve()})
    return _once(told)


def _own_bags(run: Path) -> list[BagRecord]:
    try:
        return [BagRecord(name=Path(name).name, sha256=sha256) for name, sha256 in read_inputs(run).get("bags", ())]
    except (TypeError, ValueError) as error:  # of pydantic as well
        raise UserError(f"{run / INPUTS_FILE}: its bags are no list of names and hashes: copy the run again") from error


def provenance(recipe: Recipe, bags: Sequence[Mapping[str, Any]], before: Sequence[BagRecord]) -> Provenance:
    """What a bundle made now says of itself.

    Args:
        bags: as the training cache's index has them.
        before: see :func:`learned_before`.
    """
    own = [BagRecord(**{key: bag[key] for key in BagRecord.model_fields}) for bag in bags]
    return Provenance(
        bags=_once([*own, *before]),
        recipe=recipe.model_dump(mode="json"),
        software=software_versions(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _once(records: Iterable[BagRecord]) -> tuple[BagRecord, ...]:
    found: dict[str, BagRecord] = {}
    for record in records:
        found.setdefault(record.sha256, record)
    return tuple(found.values())
