"""What a student has learned from: the bags of its own run, and those of all that it goes back to."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgevl_core.bundle.manifest import MANIFEST_FILE, BagRecord, Provenance, read_manifest
from edgevl_train.recipe import Recipe
from edgevl_train.run_directory import INPUTS_FILE, read_inputs, software_versions


def learned_before(recipe: Recipe) -> tuple[BagRecord, ...]:
    """Bags of the run that a recipe starts from, of those it merges, and of students in the teacher's place.

    Raises:
        UserError: a manifest or inputs.json among them is damaged.
    """
    student = recipe.student
    start = [student.start_from] if student.start_from is not None else []
    return _once(record for path in (*start, *student.merge, *recipe.teacher.students) for record in bags_of(path))


def bags_of(path: Path) -> tuple[BagRecord, ...]:
    """All that the student of a run or bundle has learned from, as its bundle says; of a run without one, its own bags.

    Raises:
        UserError: the manifest or inputs.json is damaged.
    """
    for bundle in (path, path / "bundle"):
        if (bundle / MANIFEST_FILE).is_file():
            return read_manifest(bundle).provenance.bags
    if not (path / INPUTS_FILE).is_file():
        return ()
    return tuple(BagRecord(name=Path(name).name, sha256=sha256) for name, sha256 in read_inputs(path).get("bags", ()))


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
