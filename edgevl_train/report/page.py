"""The page of a run, ``report.html`` beside its report.json."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edgevl_core.base.errors import UserError
from edgevl_core.base.sizes import duration
from edgevl_core.page.axes import Key
from edgevl_core.page.render import write_page
from edgevl_train.report import figures, sections
from edgevl_train.report.origin import origin
from edgevl_train.report.pairs import RunPairs, open_cache_of, open_pairs
from edgevl_train.report.run_files import MODALITIES, STUDENTS, RunFiles, read_run
from edgevl_train.report.shown import contact_sheet, worst
from edgevl_train.report.students import BEFORE, Asked, OnProgress, Timed, ask

PAGE = "report.html"
_TEMPLATE = Path(__file__).with_name("page.html.j2")
_CURATION_KEYS = (Key("kept", "kept"), Key("dropped", "dropped"))
_COVERAGE_KEYS = (Key("train", "learned from"), Key("val", "validates"))

Part = TypeVar("Part")


def write_run_page(
    run: Path,
    *,
    timed: Timed | None = None,
    machine: str = "",
    on_progress: OnProgress = lambda done, total: None,
) -> Path:
    """Write ``run/report.html``.

    What the run has kept is shown as it is; the int8 student is asked again about the validation pairs, which takes
    seconds. What is gone is said in its place.

    Args:
        timed: how one picture is timed; None: it is not. machine: where, for people.
        on_progress: called with steps done and steps in all.

    Raises:
        UserError: ``run`` is no finished run or ablation, or its figures are damaged.
    """
    files = read_run(run)
    gone: dict[str, str] = {}
    cache = _or_say(gone, "cache", lambda: open_cache_of(files)) if files.report else None
    pairs = _or_say(gone, "pairs", lambda: open_pairs(files, cache)) if cache is not None else None
    asked = _or_say(gone, "asked", lambda: ask(files, pairs, timed, on_progress)) if pairs is not None else None
    gone.setdefault("pairs", gone.get("cache", ""))
    gone.setdefault("asked", gone["pairs"])
    bags = sections.bag_rows(files, cache)
    content = {
        "title": f"Run {files.name}",
        "kind": "report of a run",
        "subtitle": _subtitle(files),
        "files": files,
        "gone": gone,
        "verdict": sections.verdict(files) if files.report else None,
        "warnings": [*files.report.get("warnings", []), *files.notes],
        "origin": origin(files),
        "facts": _facts(files, bags),
        "bags": bags,
        "dropped_words": sections.dropped_words(files),
        "sheet": contact_sheet(pairs) if pairs is not None else [],
        "split": sections.split_strips(files, pairs) if pairs is not None else None,
        "coverage": sections.coverage_rows(files),
        "coverage_keys": _COVERAGE_KEYS,
        "curation": sections.curation_rows(files),
        "curation_keys": _CURATION_KEYS,
        "curation_rule": sections.curation_rule(files),
        "curves": figures.curves(files.metrics),
        "decision": sections.decision_table(files),
        "decision_columns": list(sections.COLUMNS.values()),
        "trust": figures.trust_charts(files),
        "students": sections.student_rows(files, asked.seconds if asked is not None else {}),
        "student_names": STUDENTS,
        "modalities": MODALITIES,
        "machine": machine,
        "duration": duration,
        "ablation": figures.ablation_table(files.ablation) if files.ablation else None,
    }
    return write_page(run / PAGE, _TEMPLATE, content | _answers(pairs, asked))


def _answers(pairs: RunPairs | None, asked: Asked | None) -> dict[str, Any]:
    """What the student said of the validation pairs; None and nothing where it was not asked."""
    if pairs is None or asked is None:
        return {
            "asked_pairs": 0,
            "val_pairs": 0,
            "confusion": [],
            "reliability": None,
            "angles": [],
            "has_before": False,
            "worst": [],
        }
    return {
        "asked_pairs": len(asked.rows),
        "val_pairs": len(pairs.val),
        "confusion": figures.confusion_tables(pairs, asked),
        "reliability": figures.reliability(asked, figures.agreeing(pairs, asked)),
        "angles": figures.angle_charts(pairs, asked),
        "has_before": BEFORE in asked.embedded,
        "worst": [(MODALITIES[camera], worst(pairs, asked, camera)) for camera in ("rgb", "depth")],
    }


def _or_say(gone: dict[str, str], key: str, make: Callable[[], Part]) -> Part | None:
    """What ``make`` gives; where it cannot, None, and why in ``gone``."""
    try:
        return make()
    except UserError as error:
        text = str(error)
        gone[key] = text if text.endswith(".") else f"{text}."
        return None


def _subtitle(files: RunFiles) -> str:
    if files.manifest is None:
        return str(files.run)
    made = files.manifest.provenance.created
    return f"bundle {files.bundle_id}, student {files.manifest.student}, teacher {files.manifest.teacher}, {made}"


def _facts(files: RunFiles, bags: list[dict[str, Any]]) -> list[tuple[str, str]]:
    pairs = files.report.get("pairs", {})
    found = [("bags", str(len(bags)))] if bags else []
    seconds = [bag["seconds"] for bag in bags if bag["seconds"] is not None]
    found += [("driven", duration(sum(seconds)))] if seconds else []
    names = {"all": "pairs", "train": "learned from", "val": "validate"}
    found += [(name, str(pairs[key])) for key, name in names.items() if key in pairs]
    wall = files.report.get("wall_s", {})
    return found + ([("made in", duration(sum(wall.values())))] if wall else [])
