"""The last steps of a run: ONNX files, calibration on validation pairs, the bundle and its baseline."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.atomic import atomic_write
from edgevl_core.bundle.fusion import Trust, depth_quality, rgb_quality
from edgevl_core.bundle.golden import Answering
from edgevl_core.bundle.writing import BundleContents, write_bundle
from edgevl_core.camera.preprocess import to_batch
from edgevl_core.engine import Engine
from edgevl_train.data.run_data import RunData, calibration_pixels, spread
from edgevl_train.evaluation.confidence import Calibration, calibrate_confidence
from edgevl_train.evaluation.predictions import Embedded
from edgevl_train.evaluation.trust import Embed, measure_trust
from edgevl_train.golden_inputs import noise_like
from edgevl_train.prepare import Setup, TrainingInputs
from edgevl_train.provenance import provenance
from edgevl_train.quantise import (
    QuantStudent,
    export_float_of,
    export_fp32,
    export_int4,
    export_int8,
    export_s8,
    plain_int8,
    scheme_of,
)
from edgevl_train.sections import CalibrationSection, PreprocessSection, StudentSection
from edgevl_train.stage_sections import Stage2Section
from edgevl_train.student.network import Student
from edgevl_train.teacher.model import TEACHER_KEY, teacher_key
from edgevl_train.teacher.text_export import export_text_encoder

GOLDEN_PAIRS = 4
LIKE_PAIRS = 64  # whose mean colours and grain the golden inputs have
CALIBRATION_PAIRS = 100  # two inputs each
TRUST_PAIRS = 256  # each is looked at in every light and with every share of holes


@dataclass(frozen=True)
class Students:
    """The float student of stage 1 and the quantised one of stage 2, on the CPU."""

    fp32: Student
    int8: QuantStudent


def export_students(
    students: Students, data: RunData, student: StudentSection, stage2: Stage2Section, directory: Path
) -> dict[str, Path]:
    """Write fp32.onnx (stage 1), ptq.onnx (made of it), int8.onnx (stage 2), its float form and its s8 form.

    Of weights of 4 bits int4.onnx as well, which holds what int8.onnx does.
    """
    directory.mkdir(exist_ok=True)
    files = {name: directory / f"{name}.onnx" for name in ("fp32", "ptq", "int8", "int8_float", "s8")}
    export_fp32(students.fp32, files["fp32"], student.size_px)
    export_int8(students.int8, files["int8"], student.size_px)
    export_float_of(students.int8, files["int8_float"], student.size_px)
    export_s8(students.int8, files["s8"], student.size_px)
    pixels, scheme = calibration_pixels(data, stage2.calibration_pairs), scheme_of(stage2)
    plain_int8(students.fp32, files["fp32"], pixels, files["ptq"], student.size_px, scheme)
    if scheme.weight_bits == 4:
        files["int4"] = directory / "int4.onnx"
        export_int4(students.int8, files["int4"], student.size_px)
    return files


def write_calibration(data: RunData, path: Path) -> None:
    """Write inputs to calibrate other tool chains with: ``pixels`` (about 200, 3, S, S) uint8, RGB and depth in turn.

    They are whole frames of training pairs, exactly as the network takes them on the robot. In the run and not in the
    bundle: they are pictures of the home.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pixels=calibration_pixels(data, CALIBRATION_PAIRS).numpy())
    atomic_write(path, buffer.getvalue())


@dataclass(frozen=True)
class Measured:
    """What was measured of a student on validation pairs.

    Attributes:
        embed: as the engine runs it, (M, S, S, 3) uint8 -> (M, D).
        steps: what the trust curves were made from, for the report.
    """

    embed: Embed
    trust: Trust
    steps: Mapping[str, Any]
    calibration: Calibration


def measure(file: Path, data: RunData, preprocess: PreprocessSection, calibration: CalibrationSection) -> Measured:
    """Trust in each camera, temperatures and thresholds of one student's ONNX file."""
    embed = on_images(Engine(file, threads=2))
    trust, steps = measure_trust(
        *_test_pictures(data),
        embed=embed,
        bank=data.bank,
        logit_scale=data.logit_scale,
        depth_encoding=preprocess.depth_encoding,
    )
    return Measured(embed, trust, steps, _calibrate(data, embed, trust, calibration))


@dataclass(frozen=True)
class Exported:
    """The run's ONNX files (see :func:`export_students`), and what was measured of fp32, ptq and int8."""

    files: Mapping[str, Path]
    measured: Mapping[str, Measured]

    def figures(self) -> dict[str, Any]:
        """Per student: calibration, what trust was made from, bytes.

        Calibration holds the agreement with the teacher's RGB answer and the mean cosine to its embedding, by modality.
        """
        return {
            name: {
                **{key: value.model_dump() for key, value in vars(student.calibration).items()},
                "trust": dict(student.steps),
                "bytes": self.files[name].stat().st_size,
            }
            for name, student in self.measured.items()
        }


def deliver(setup: Setup, gathered: TrainingInputs, exported: Exported, training: Mapping[str, Any], out: Path) -> Path:
    """Write ``out/bundle`` and ``out/bundle_ptq``.

    Args:
        training: what the bundles say of their training: pairs by the teacher's answer, warnings, the decision.
    """
    text_encoder = None
    if setup.recipe.text_encoder:
        text_encoder = out / "text_encoder"
        text_encoder.mkdir(exist_ok=True)
        export_text_encoder(setup.teacher, text_encoder)
    of_ptq = _contents(setup, gathered, exported, "ptq", "fp32", training)
    of_int8 = replace(_contents(setup, gathered, exported, "int8", "int8_float", training), text_encoder=text_encoder)
    # The bundle comes last: its presence says that the run is complete.
    for directory, contents in ((out / "bundle_ptq", of_ptq), (out / "bundle", of_int8)):
        if not directory.exists():
            write_bundle(directory, contents)
    return out / "bundle"


def _contents(
    setup: Setup, gathered: TrainingInputs, exported: Exported, name: str, float_form: str, training: Mapping[str, Any]
) -> BundleContents:
    """Of the bundle around the int8 student ``name``; ``float_form``: its float file."""
    student, recipe, teacher, data = exported.measured[name], setup.recipe, setup.teacher, gathered.data
    rows = spread(data.train, LIKE_PAIRS)
    golden = [
        noise_like(full[rows], GOLDEN_PAIRS, recipe.seed) for full in (data.cache.full_rgb, data.cache.full_depth)
    ]
    return BundleContents(
        student_onnx=exported.files[name],
        student_fp32_onnx=exported.files[float_form],
        answering=Answering(
            preprocess=recipe.robot_preprocess(),
            bank=gathered.bank,
            logit_scale=teacher.logit_scale,
            temperature=student.calibration.temperature,
            unknown_threshold=student.calibration.unknown_threshold,
            trust=student.trust,
        ),
        golden_pixels=to_batch([*golden[0], *golden[1]]),
        student=recipe.student.name,
        teacher=teacher.name,
        provenance=provenance(recipe, gathered.cache.index["bags"], setup.learned_before),
        labels=setup.labels.names,
        metrics={
            "validation": exported.figures()[name],
            "training": dict(training),
            TEACHER_KEY: teacher_key(teacher),
        },
    )


def _calibrate(data: RunData, embed: Embed, trust: Trust, calibration: CalibrationSection) -> Calibration:
    """By the validation pairs; where they do not stand for the home, by the training pairs as well.

    Agreement, cosine and ece are of the validation pairs alone, wherever they stand.
    """
    rows = data.judging
    rgb, depth = data.cache.full_rgb[rows], data.cache.full_depth[rows]
    quality = np.stack([rgb_quality(rgb, trust.rgb), depth_quality(depth, trust.depth)])
    target = np.asarray(data.targets[0, rows], np.float32)
    embedded = Embedded(embed(rgb), embed(depth), quality)
    shown = np.isin(rows, data.val)
    return calibrate_confidence(embedded, data.bank, data.logit_scale, target, calibration.false_unknown, shown)


def _test_pictures(data: RunData) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """RGB, depth and the teacher's embedding of at most 256 pairs that nothing was trained on, or of all there are."""
    sources = [(data, data.judging)]
    sources += [(part, part.val) for part in data.replay if len(part.val)]
    each = max(1, TRUST_PAIRS // len(sources))
    found = []
    for part, rows in sources:
        some = spread(rows, each)
        target = np.asarray(part.targets[0, some], np.float32)
        found.append((part.cache.full_rgb[some], part.cache.full_depth[some], target))
    rgb, depth, target = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return rgb, depth, target


def on_images(engine: Callable[[NDArray[np.uint8]], NDArray[np.float32]], batch: int = 64) -> Embed:
    """An engine, (N, 3, S, S) uint8 -> (N, D), on any number of images: (M, S, S, 3) uint8 -> (M, D) float32."""

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        starts = range(0, len(images), batch)
        return np.concatenate([engine(to_batch(list(images[start : start + batch]))) for start in starts])

    return embed
