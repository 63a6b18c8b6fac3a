"""What a run directory has kept: figures, curves, recipe, manifest. Nothing is computed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edgevl_core.base.errors import UserError
from edgevl_core.base.yaml_text import load_yaml
from edgevl_core.bundle.manifest import Manifest, read_manifest
from edgevl_train.metrics_file import METRICS_FILE, read_records

STUDENTS = {"fp32": "float (stage 1)", "ptq": "int8, PTQ", "int8": "int8 (stage 2)"}
MODALITIES = {"rgb": "RGB", "depth": "depth", "rgbd": "both"}


@dataclass(frozen=True)
class RunFiles:
    """Read once; what is not there is empty or None.

    Attributes:
        report: report.json; metrics: the lines of metrics.jsonl; recipe: recipe.yaml as plain values; ablation:
            ablation.json; notes: what could not be read, one sentence each.
    """

    run: Path
    report: Mapping[str, Any]
    metrics: list[dict[str, Any]]
    recipe: Mapping[str, Any]
    manifest: Manifest | None
    ablation: Mapping[str, Any] | None
    notes: list[str]

    @property
    def name(self) -> str:
        """The directory's."""
        return self.run.resolve().name

    @property
    def students(self) -> dict[str, Mapping[str, Any]]:
        """Those of STUDENTS that were measured, in that order."""
        measured = self.report.get("students", {})
        return {name: measured[name] for name in STUDENTS if name in measured}

    @property
    def bundle_id(self) -> str:
        """Of ``bundle/``; "" where there is none."""
        return self.manifest.bundle_id if self.manifest else ""


def read_run(run: Path) -> RunFiles:
    """Read a finished run of ``edgevl adapt``, or a finished ablation.

    Raises:
        UserError: ``run`` is neither.
    """
    ablation = read_json(run / "ablation.json")
    missing = [name for name in (METRICS_FILE, "report.json") if not (run / name).is_file()]
    if missing and ablation is None:
        raise UserError(f"{run} has no {' and no '.join(missing)}: pass the run directory of a finished `edgevl adapt`")
    notes, manifest = [], None
    try:
        manifest = read_manifest(run / "bundle") if not missing else None
    except UserError as error:
        notes.append(f"The bundle cannot be shown: {error}.")
    return RunFiles(
        run=run,
        report=read_json(run / "report.json") or {},
        metrics=read_records(run),
        recipe=_read_recipe(run / "recipe.yaml"),
        manifest=manifest,
        ablation=ablation,
        notes=notes,
    )


def read_json(file: Path) -> dict[str, Any] | None:
    """What a JSON file of a run holds; None where there is none. Raises UserError where it is damaged."""
    if not file.is_file():
        return None
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}): the run cannot be shown without it") from error


def _read_recipe(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return dict(load_yaml(file.read_text(encoding="utf-8")) or {})
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}): the run cannot be shown without it") from error
