"""An int8 bundle of a small CLIP's own image tower: day one, until the first adaptation."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.files import MAX_BYTES, STUDENT_INT8
from edgevl_core.bundle.fusion import RGB_ONLY, probabilities
from edgevl_core.bundle.golden import MIN_GOLDEN_COSINE, Answering
from edgevl_core.bundle.label_bank import LabelBank, build_label_bank
from edgevl_core.bundle.labels import LabelSet
from edgevl_core.bundle.manifest import ByModality, Provenance
from edgevl_core.bundle.writing import BundleContents, write_bundle
from edgevl_core.camera.preprocess import Preprocess, to_batch, to_input
from edgevl_core.engine import Engine
from edgevl_train.evaluation.confidence import unknown_threshold
from edgevl_train.first_bundle.tower import tower_student
from edgevl_train.quantise import QuantStudent, export_fp32, export_int8, untrained_students
from edgevl_train.run_directory import software_versions
from edgevl_train.sections import CalibrationSection
from edgevl_train.student.network import Student
from edgevl_train.teacher.model import Teacher, own_view
from edgevl_train.teacher.text_export import export_text_encoder

LEAST_COSINE = MIN_GOLDEN_COSINE
_ENOUGH = 0.995  # of the fake-quantised tower: no further way of rounding is tried
_TRIES = 6  # clipped weights come after these, and change next to nothing at 8 bits
_HELD_OUT = 4  # every so manieth picture is looked at only to judge
_GOLDEN = 4
_BATCH = 16
_ONES = ByModality(rgb=1.0, depth=1.0, rgbd=1.0)


@dataclass(frozen=True)
class Pictures:
    """What the tower is calibrated with.

    Attributes:
        images: RGB, each (H, W, 3) uint8, at least 8.
        source: what they are, for people and the manifest.
        of_the_camera: whether they stand for what the robot will see: then they also set when a scene is unknown.
    """

    images: Sequence[NDArray[np.uint8]]
    source: str
    of_the_camera: bool


@dataclass(frozen=True)
class FirstBundle:
    """What came of it.

    Attributes:
        cosine, worst: mean and least cosine of the int8 file to the float tower on pictures that were held out.
        to_teacher: mean cosine of the float file to the teacher, who enlarges or shrinks its view by another filter.
        held_out, calibrated_on: numbers of pictures.
        rounding: how the best int8 tower was made.
        int8: whether it answers; else the float tower does, in both files of the bundle.
    """

    cosine: float
    worst: float
    to_teacher: float
    held_out: int
    calibrated_on: int
    rounding: str
    int8: bool


def make_bundle(
    teacher: Teacher,
    labels: LabelSet,
    out: Path,
    pictures: Pictures,
    golden: Sequence[NDArray[np.uint8]],
    *,
    text_encoder: bool = False,
    least_cosine: float = LEAST_COSINE,
    on_step: Callable[[str], None] = lambda step: None,
) -> FirstBundle:
    """Write the bundle ``out``: the teacher's image tower for RGB, and the words of ``labels``.

    Args:
        golden: RGB images, each (H, W, 3) uint8, whose inputs go into the bundle: no picture of a home.
        text_encoder: also take the text tower along, for words that ``labels`` has not.
        least_cosine: of the int8 file to the float tower; below it the float tower answers.
        on_step: told what is done next.

    Raises:
        UserError: ``out`` exists; the tower cannot be traced, exported or held by a bundle.
    """
    if out.exists():
        raise UserError(f"--out {out} exists: choose a new directory, or remove it")
    _check_size(teacher)
    preprocess = Preprocess(size_px=teacher.size_px)
    inputs = to_batch([to_input(image, preprocess) for image in pictures.images])
    held = np.arange(len(inputs)) % _HELD_OUT == _HELD_OUT - 1
    on_step("the image tower")
    student = tower_student(teacher.id, teacher.model.visual, teacher.preprocess, teacher.size_px, teacher.embed_dim)
    with tempfile.TemporaryDirectory() as temporary:
        files = Path(temporary) / "int8.onnx", Path(temporary) / "fp32.onnx"
        on_step("quantising")
        q, rounding = _quantised(student, inputs[~held])
        on_step("exporting")
        export_int8(q, files[0], teacher.size_px)
        export_fp32(student, files[1], teacher.size_px)
        on_step("measuring")
        found, made = _measured(teacher, pictures, inputs, held, files, rounding, least_cosine)
        answering = _answering(teacher, labels, preprocess, made, pictures.of_the_camera)
        if text_encoder:
            export_text_encoder(teacher, Path(temporary))
        contents = BundleContents(
            student_onnx=files[0] if found.int8 else files[1],
            student_fp32_onnx=files[1],
            answering=answering,
            golden_pixels=to_batch([to_input(image, preprocess) for image in golden[:_GOLDEN]]),
            student=f"image tower of {teacher.id}",
            teacher=teacher.name,
            provenance=_provenance(),
            labels=labels.names,
            metrics={"first_bundle": {**vars(found), "least_cosine": least_cosine, "pictures": pictures.source}},
            text_encoder=Path(temporary) if text_encoder else None,
        )
        on_step("writing and testing the bundle")
        write_bundle(out, contents)
    return found


def _check_size(teacher: Teacher) -> None:
    size = sum(p.numel() * 4 for name, p in teacher.model.named_parameters() if name.startswith("visual."))
    if size > MAX_BYTES[STUDENT_INT8]:
        raise UserError(
            f"teacher {teacher.id}: its image tower has {size / 1e6:.0f} MB in float, a bundle takes "
            f"{MAX_BYTES[STUDENT_INT8] / 1e6:.0f}: take a small CLIP (MobileCLIP2-S0, ViT-B-32), or adapt a student"
        )


@torch.no_grad()
def _quantised(student: Student, inputs: NDArray[np.uint8]) -> tuple[QuantStudent, str]:
    """The first quantisation that is near enough to the float tower, or the nearest; judged by pictures of its own."""
    judging = np.arange(len(inputs)) % _HELD_OUT == 0
    pixels, judged = torch.from_numpy(inputs[~judging]), torch.from_numpy(inputs[judging])
    wanted = _embedded(student, judged)
    best: tuple[float, str, QuantStudent] | None = None
    for name, q in islice(untrained_students(student, pixels), _TRIES):
        cosine = float((_embedded(q, judged) * wanted).sum(1).mean())
        if best is None or cosine > best[0]:
            best = cosine, name, q
        if best[0] >= _ENOUGH:
            break
    assert best is not None
    return best[2], best[1]


def _embedded(network: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    return torch.cat([network(part) for part in pixels.split(_BATCH)])


def _measured(
    teacher: Teacher,
    pictures: Pictures,
    inputs: NDArray[np.uint8],
    held: NDArray[np.bool_],
    files: tuple[Path, Path],
    rounding: str,
    least_cosine: float,
) -> tuple[FirstBundle, NDArray[np.float32]]:
    """As the robot's engine runs both files, on the pictures held out; and the embeddings of those that will answer."""
    as_int8, as_float = (_engine_on(Engine(file, threads=2), inputs[held]) for file in files)
    cosines = (as_int8 * as_float).sum(1)
    rows = np.flatnonzero(held).tolist()
    told = teacher.encode_image([pictures.images[row] for row in rows], own_view(teacher))
    cosine = float(cosines.mean())
    found = FirstBundle(
        cosine=cosine,
        worst=float(cosines.min()),
        to_teacher=float((as_float * told).sum(1).mean()),
        held_out=int(held.sum()),
        calibrated_on=int((~held).sum()),
        rounding=rounding,
        int8=cosine >= least_cosine,
    )
    return found, as_int8 if found.int8 else as_float


def _engine_on(engine: Engine, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([engine(inputs[at : at + _BATCH]) for at in range(0, len(inputs), _BATCH)])


def _answering(
    teacher: Teacher, labels: LabelSet, preprocess: Preprocess, made: NDArray[np.float32], of_the_camera: bool
) -> Answering:
    """The teacher's own confidence. Pictures of the camera say which one is rare: below it a scene is unknown."""
    bank: LabelBank = build_label_bank([labels], teacher.encode_text)
    threshold = 0.0
    if of_the_camera:
        confidence = probabilities(made, bank.vectors, teacher.logit_scale, 1.0).max(axis=1)
        share = CalibrationSection().false_unknown
        threshold = unknown_threshold(confidence, np.ones(len(confidence), bool), share)
    return Answering(
        preprocess=preprocess,
        bank=bank,
        logit_scale=teacher.logit_scale,
        temperature=_ONES,
        unknown_threshold=ByModality(rgb=threshold, depth=1.0, rgbd=threshold),
        trust=RGB_ONLY,
    )


def _provenance() -> Provenance:
    return Provenance(software=software_versions(), created=datetime.now(timezone.utc).isoformat(timespec="seconds"))
