"""The last steps of a run: ONNX files, calibration on validation pairs, the bundle and its baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgevl_core.bundle import write_bundle
from edgevl_core.engine import Engine
from edgevl_core.label_bank import LabelBank
from edgevl_core.manifest import BagRecord, Provenance
from edgevl_train.calibrate import calibrate_confidence
from edgevl_train.data import RunData, calibration_pixels
from edgevl_train.quantise import QuantStudent, export_float_of, export_fp32, export_int8
from edgevl_train.quantise.ptq import ptq_int8
from edgevl_train.recipe import Recipe
from edgevl_train.rundir import software_versions
from edgevl_train.student import Student
from edgevl_train.teacher import Teacher
from edgevl_train.text_export import export_text_encoder

GOLDEN_PAIRS = 4


@dataclass(frozen=True)
class Students:
    """The float student of stage 1 and the quantised one of stage 2, on the CPU."""

    fp32: Student
    int8: QuantStudent


def export_students(students: Students, data: RunData, recipe: Recipe, directory: Path) -> dict[str, Path]:
    """Write fp32.onnx (stage 1), ptq.onnx (made of it), int8.onnx (stage 2) and int8_float.onnx (its float form)."""
    directory.mkdir(exist_ok=True)
    files = {name: directory / f"{name}.onnx" for name in ("fp32", "ptq", "int8", "int8_float")}
    size_px = recipe.student.size_px
    export_fp32(students.fp32, files["fp32"], size_px)
    export_int8(students.int8, files["int8"], size_px)
    export_float_of(students.int8, files["int8_float"], size_px)
    pixels = calibration_pixels(data, recipe, recipe.stage2.calibration_pairs).numpy()
    ptq_int8(files["fp32"], [pixels[i : i + 64] for i in range(0, len(pixels), 64)], files["ptq"])
    return files


def deliver(
    files: Mapping[str, Path],
    data: RunData,
    bank: LabelBank,
    labels: Sequence[str],
    teacher: Teacher,
    recipe: Recipe,
    report: Mapping[str, Any],
    out: Path,
    created: str,
) -> tuple[Path, dict[str, Any]]:
    """Calibrate each student and write ``out/bundle`` and ``out/bundle_ptq``.

    Returns:
        The bundle, and per student the validation figures: agreement with the teacher's RGB answer and mean cosine to
        its embedding, by modality; calibration; bytes.
    """
    rgb, depth = data.cache.full_rgb[data.val], data.cache.full_depth[data.val]
    target = np.asarray(data.targets[0, data.val], np.float32)
    golden_rows = np.linspace(0, len(rgb) - 1, min(GOLDEN_PAIRS, len(rgb))).astype(np.int64)
    golden = np.concatenate([rgb[golden_rows], depth[golden_rows]]).transpose(0, 3, 1, 2)
    provenance = Provenance(
        bags=tuple(BagRecord(**{key: bag[key] for key in BagRecord.model_fields}) for bag in report["bags"]),
        recipe=recipe.model_dump(mode="json"),
        software=software_versions(),
        created=created,
    )
    text_encoder = None
    if recipe.text_encoder:
        text_encoder = out / "text_encoder"
        text_encoder.mkdir(exist_ok=True)
        export_text_encoder(teacher, text_encoder)
    figures: dict[str, Any] = {}
    # The bundle comes last: its presence says that the run is complete.
    for name, directory in (("fp32", None), ("ptq", "bundle_ptq"), ("int8", "bundle")):
        engine = Engine(files[name], threads=2)
        calibration = calibrate_confidence(
            rgb, depth, engine, data.bank, data.logit_scale, target, recipe.calibration.false_unknown
        )
        figures[name] = {
            **{key: value.model_dump() for key, value in vars(calibration).items()},
            "bytes": files[name].stat().st_size,
        }
        if directory is None or (out / directory).exists():
            continue
        write_bundle(
            out / directory,
            student_onnx=files[name],
            student_fp32_onnx=files["int8_float" if name == "int8" else "fp32"],
            label_bank=bank,
            golden_pixels=np.ascontiguousarray(golden),
            text_encoder=text_encoder if name == "int8" else None,
            student=recipe.student.name,
            teacher=f"{teacher.id} {teacher.weights_sha256[:12]}",
            preprocess=recipe.robot_preprocess(),
            logit_scale=teacher.logit_scale,
            temperature=calibration.temperature,
            unknown_threshold=calibration.unknown_threshold,
            provenance=provenance,
            labels=labels,
            metrics={"validation": figures[name]},
        )
    return out / "bundle", {"students": figures}
