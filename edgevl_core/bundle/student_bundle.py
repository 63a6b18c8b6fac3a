"""Student bundles: everything the robot needs in one directory, verified before it is used."""

import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from edgevl_core.base.atomic import atomic_directory
from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_bytes, sha256_file
from edgevl_core.bundle.fusion import Trust
from edgevl_core.bundle.label_bank import LabelBank, load_label_bank
from edgevl_core.bundle.manifest import (
    MANIFEST_FILE,
    ByModality,
    Manifest,
    Provenance,
    manifest_bytes,
    read_manifest,
)
from edgevl_core.bundle.text_encoder import TEXT_FILES, OnnxTextEncoder
from edgevl_core.bundle.vocabulary import check_encoder
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.engine import CPU_ONLY, ENGINES, Engine, takes_int8

__all__ = ["Bundle", "Manifest", "load_bundle", "load_words", "read_manifest", "text_encoder_in", "write_bundle"]

STUDENT_INT8, STUDENT_FP32 = "student.onnx", "student_fp32.onnx"
GOLDEN_FILE, LABEL_BANK_FILE = "golden.npz", "label_bank.npz"
REQUIRED_FILES = (STUDENT_INT8, STUDENT_FP32, GOLDEN_FILE, LABEL_BANK_FILE)
MIN_GOLDEN_COSINE = 0.99


@dataclass(frozen=True)
class Bundle:
    """A loaded, verified bundle."""

    path: Path
    manifest: Manifest
    label_bank: LabelBank
    engine: Engine

    @property
    def text_encoder(self) -> Path | None:
        """The directory with the text encoder's files, where the bundle has one."""
        return text_encoder_in(self.path, self.manifest)


def write_bundle(
    path: Path | str,
    *,
    student_onnx: Path | str,
    student_fp32_onnx: Path | str,
    label_bank: LabelBank,
    golden_pixels: NDArray[np.uint8],
    student: str,
    teacher: str,
    preprocess: Preprocess,
    logit_scale: float,
    temperature: ByModality,
    unknown_threshold: ByModality,
    provenance: Provenance,
    labels: Sequence[str] | None = None,
    metrics: Mapping[str, JsonValue] | None = None,
    text_encoder: Path | str | None = None,
    trust: Trust | None = None,
) -> Manifest:
    """Write a bundle directory; it appears whole or not at all.

    Args:
        path: must not exist.
        student_onnx: the int8 file.
        student_fp32_onnx: the float file.
        label_bank: its vectors are in the students' space.
        golden_pixels: (K, 3, S, S) uint8, a few network inputs of both modalities; their embeddings are
            computed here.
        labels: names of the label set to start with; None: every label of the bank.
        text_encoder: directory with text_encoder.onnx and tokenizer.json, as ``export_text_encoder`` writes them, for
            words that the bank has not; None: the bundle goes without.
        trust: how far each camera is believed; None: the default, for a student of which nothing was measured.

    Raises:
        UserError: ``path`` exists; students, label bank, text encoder, preprocessing and golden inputs do not fit each
            other.
    """
    engines = {STUDENT_INT8: Engine(student_onnx), STUDENT_FP32: Engine(student_fp32_onnx)}
    for engine in engines.values():
        _check_fit(engine, label_bank, preprocess)
    if golden_pixels.ndim != 4 or not len(golden_pixels):
        raise UserError(f"golden inputs of shape {golden_pixels.shape}: (K, 3, S, S) with K >= 1 is needed")
    if text_encoder is not None:
        check_encoder(label_bank, OnnxTextEncoder(text_encoder))
    chosen = label_bank if labels is None else label_bank.select(labels)
    golden = {_golden_key(name): engine(golden_pixels) for name, engine in engines.items()}
    with atomic_directory(path) as directory:
        shutil.copyfile(student_onnx, directory / STUDENT_INT8)
        shutil.copyfile(student_fp32_onnx, directory / STUDENT_FP32)
        buffer = io.BytesIO()
        np.savez(buffer, pixels=golden_pixels, **golden)  # type: ignore[arg-type]  # numpy's stub misreads **
        (directory / GOLDEN_FILE).write_bytes(buffer.getvalue())
        label_bank.save(directory / LABEL_BANK_FILE)
        if text_encoder is not None:
            for name in TEXT_FILES:
                shutil.copyfile(Path(text_encoder) / name, directory / name)
        files = {file.name: sha256_file(file) for file in sorted(directory.iterdir())}
        manifest = Manifest(
            bundle_id=_bundle_id(files),
            student=student,
            teacher=teacher,
            embedding_dim=label_bank.vectors.shape[1],
            labels=chosen.names,
            preprocess=preprocess,
            logit_scale=logit_scale,
            temperature=temperature,
            unknown_threshold=unknown_threshold,
            trust=trust or Trust(),
            metrics=dict(metrics or {}),
            provenance=provenance,
            files=files,
        )
        (directory / MANIFEST_FILE).write_bytes(manifest_bytes(manifest))
    return manifest


def load_bundle(
    path: Path | str, *, threads: int = 1, providers: Sequence[str] = CPU_ONLY, engine: str = ENGINES[0]
) -> Bundle:
    """Load a bundle, trusting nothing: schema, every hash, the parts' shapes, then the golden inputs.

    Args:
        threads, providers, engine: see :class:`edgevl_core.engine.Engine`; they decide the file, int8 for a CPU and
            float for a GPU.

    Raises:
        UserError: the bundle is refused; the message says which file, why, and what to do.
    """
    path = Path(path)
    manifest, label_bank = load_words(path)
    student = STUDENT_INT8 if takes_int8(engine, providers) else STUDENT_FP32
    opened = Engine(path / student, threads=threads, providers=providers, name=engine)
    _check_fit(opened, label_bank, manifest.preprocess)
    if opened.embedding_dim != manifest.embedding_dim:
        raise UserError(
            f"{path}: {student} gives {opened.embedding_dim} dimensions, the manifest says "
            f"{manifest.embedding_dim}: make the bundle again"
        )
    _check_golden(path, student, opened)
    opened.recent_s.clear()  # the self-test's batch is not the robot's
    return Bundle(path, manifest, label_bank, opened)


def load_words(path: Path | str) -> tuple[Manifest, LabelBank]:
    """A bundle's manifest and label bank, without its student; every file's hash is checked.

    Raises:
        UserError: the bundle is refused.
    """
    path = Path(path)
    manifest = read_manifest(path)
    _check_files(path, manifest)
    label_bank = load_label_bank(path / LABEL_BANK_FILE)
    label_bank.select(manifest.labels)
    return manifest, label_bank


def text_encoder_in(path: Path, manifest: Manifest) -> Path | None:
    """The directory with the text encoder's files, where the bundle has one."""
    return path if TEXT_FILES[0] in manifest.files else None


def _check_files(path: Path, manifest: Manifest) -> None:
    if unlisted := [name for name in REQUIRED_FILES if name not in manifest.files]:
        raise UserError(f"{path}: the manifest lists no hash for {', '.join(unlisted)}: make the bundle again")
    if len(listed := [name for name in TEXT_FILES if name in manifest.files]) == 1:
        raise UserError(f"{path}: of the text encoder it has {listed[0]} only: make the bundle again")
    for name, expected in manifest.files.items():
        if not (path / name).is_file():
            raise UserError(f"{path}: {name} is missing: copy the bundle again, all of its files")
        actual = sha256_file(path / name)
        if actual != expected:
            raise UserError(
                f"{path}: {name} has SHA-256 {actual[:12]}..., the manifest says {expected[:12]}...: the "
                "file was damaged or changed; copy the bundle again, or make a new one"
            )
    if manifest.bundle_id != (actual_id := _bundle_id(manifest.files)):
        raise UserError(f"{path}: bundle id {manifest.bundle_id}, its files give {actual_id}: make the bundle again")


def _check_fit(engine: Engine, label_bank: LabelBank, preprocess: Preprocess) -> None:
    if engine.embedding_dim != label_bank.vectors.shape[1]:
        raise UserError(
            f"{engine.path}: {engine.embedding_dim} dimensions, the label bank has "
            f"{label_bank.vectors.shape[1]}: student and text vectors must come from one teacher"
        )
    if engine.size_px != preprocess.size_px:
        raise UserError(
            f"{engine.path}: input of {engine.size_px} px, preprocessing makes {preprocess.size_px} px: they must agree"
        )


def _check_golden(path: Path, student: str, engine: Engine) -> None:
    with np.load(path / GOLDEN_FILE, allow_pickle=False) as arrays:
        pixels, expected = arrays["pixels"], arrays[_golden_key(student)]
    actual = np.concatenate([engine(pixels), engine(pixels[:1])])  # also alone, as a robot with one camera runs it
    expected = np.concatenate([expected, expected[:1]])
    norms = np.linalg.norm(actual, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = float(((actual * expected).sum(axis=1) / norms).min())
    if not cosine >= MIN_GOLDEN_COSINE:  # also refuses NaN
        raise UserError(
            f"{path}: {student} gives other embeddings on this processor than where it was made (golden "
            f"inputs: cosine {cosine:.4f}, at least {MIN_GOLDEN_COSINE} is needed): x86 without VNNI "
            "saturates int8 sums; use another provider, or make the bundle on such a machine"
        )


def _golden_key(student: str) -> str:
    return Path(student).stem


def _bundle_id(files: Mapping[str, str]) -> str:
    return sha256_bytes("".join(f"{name} {files[name]}\n" for name in sorted(files)).encode())[:12]
