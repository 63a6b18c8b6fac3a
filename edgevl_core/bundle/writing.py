"""Making a bundle: the parts are checked against each other, written together, and loaded as a robot would."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from edgevl_core.base.atomic import atomic_directory
from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.files import GOLDEN_FILE, LABEL_BANK_FILE, STUDENT_FP32, STUDENT_INT8
from edgevl_core.bundle.golden import MAX_GOLDEN, Answering, golden_bytes
from edgevl_core.bundle.manifest import MANIFEST_FILE, Manifest, Provenance, manifest_bytes, manifest_id
from edgevl_core.bundle.student_bundle import check_fit, load_bundle
from edgevl_core.bundle.text_encoder import TEXT_FILES, OnnxTextEncoder
from edgevl_core.bundle.vocabulary import check_encoder
from edgevl_core.engine import Engine


@dataclass(frozen=True)
class BundleContents:
    """What a bundle is made of.

    Attributes:
        student_onnx: the int8 file.
        student_fp32_onnx: the float file.
        answering: preprocessing and calibration; the vectors of its label bank are in the students' space.
        golden_pixels: (K, 3, S, S) uint8, a few network inputs of both modalities; their embeddings are computed when
            the bundle is written.
        student, teacher: their names.
        provenance: what it was trained on, and how.
        labels: names of the label set to start with; None: every label of the bank.
        metrics: any figures, for people.
        text_encoder: directory with text_encoder.onnx and tokenizer.json, as ``export_text_encoder`` writes them, for
            words that the bank has not; None: the bundle goes without.
    """

    student_onnx: Path
    student_fp32_onnx: Path
    answering: Answering
    golden_pixels: NDArray[np.uint8]
    student: str
    teacher: str
    provenance: Provenance
    labels: Sequence[str] | None = None
    metrics: Mapping[str, JsonValue] = field(default_factory=dict)
    text_encoder: Path | None = None


def write_bundle(path: Path | str, contents: BundleContents) -> Manifest:
    """Write a bundle directory; it appears whole or not at all.

    Args:
        path: must not exist.

    Raises:
        UserError: ``path`` exists; students, label bank, text encoder, preprocessing and golden inputs do not fit each
            other.
    """
    engines = {STUDENT_INT8: Engine(contents.student_onnx), STUDENT_FP32: Engine(contents.student_fp32_onnx)}
    _check(contents, engines)
    embeddings = {Path(name).stem: engine(contents.golden_pixels) for name, engine in engines.items()}
    golden = golden_bytes(contents.golden_pixels, embeddings, contents.answering)
    with atomic_directory(path) as directory:
        shutil.copyfile(contents.student_onnx, directory / STUDENT_INT8)
        shutil.copyfile(contents.student_fp32_onnx, directory / STUDENT_FP32)
        (directory / GOLDEN_FILE).write_bytes(golden)
        contents.answering.bank.save(directory / LABEL_BANK_FILE)
        if contents.text_encoder is not None:
            for name in TEXT_FILES:
                shutil.copyfile(contents.text_encoder / name, directory / name)
        manifest = _manifest(contents, {file.name: sha256_file(file) for file in sorted(directory.iterdir())})
        (directory / MANIFEST_FILE).write_bytes(manifest_bytes(manifest))
        load_bundle(directory)  # what no robot would take must not be written
    return manifest


def _check(contents: BundleContents, engines: Mapping[str, Engine]) -> None:
    """Refuse parts that do not fit each other, or labels that the bank has not, before anything is written."""
    answering, golden = contents.answering, contents.golden_pixels
    for engine in engines.values():
        check_fit(engine, answering.bank, answering.preprocess)
    if golden.ndim != 4 or not 1 <= len(golden) <= MAX_GOLDEN:
        raise UserError(f"golden inputs of shape {golden.shape}: (K, 3, S, S) with K of 1 to {MAX_GOLDEN} is needed")
    if contents.text_encoder is not None:
        check_encoder(answering.bank, OnnxTextEncoder(contents.text_encoder))
    _labels(contents)


def _labels(contents: BundleContents) -> tuple[str, ...]:
    bank = contents.answering.bank
    return bank.names if contents.labels is None else bank.select(contents.labels).names


def _manifest(contents: BundleContents, hashes: Mapping[str, str]) -> Manifest:
    answering = contents.answering
    manifest = Manifest(
        bundle_id="0" * 12,
        student=contents.student,
        teacher=contents.teacher,
        embedding_dim=answering.bank.vectors.shape[1],
        labels=_labels(contents),
        preprocess=answering.preprocess,
        logit_scale=answering.logit_scale,
        temperature=answering.temperature,
        unknown_threshold=answering.unknown_threshold,
        trust=answering.trust,
        metrics=dict(contents.metrics),
        provenance=contents.provenance,
        files=dict(hashes),
    )
    return manifest.model_copy(update={"bundle_id": manifest_id(manifest.model_dump(mode="json"))})
