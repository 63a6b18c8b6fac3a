"""Student bundles: everything the robot needs in one directory, verified before it is used."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.files import GOLDEN_FILE, LABEL_BANK_FILE, STUDENT_FP32, STUDENT_INT8, check_files
from edgevl_core.bundle.golden import (
    MAX_GOLDEN,
    Answering,
    Golden,
    check_answering,
    check_student,
    read_golden,
)
from edgevl_core.bundle.label_bank import LabelBank, load_label_bank
from edgevl_core.bundle.manifest import (
    Manifest,
    check_manifest_id,
    parse_manifest,
    read_manifest,
)
from edgevl_core.bundle.signature import signed_manifest
from edgevl_core.bundle.text_encoder import TEXT_FILES
from edgevl_core.camera.preprocess import Preprocess
from edgevl_core.engine import CPU_ONLY, ENGINES, Engine, takes_int8

__all__ = [
    "LABEL_BANK_FILE",
    "STUDENT_FP32",
    "STUDENT_INT8",
    "Bundle",
    "Manifest",
    "check_fit",
    "load_bundle",
    "load_words",
    "read_manifest",
    "text_encoder_in",
]

OTHER_INPUTS = 2  # golden inputs that the student not in use is tried with

Precision = Literal["auto", "int8", "float"]
PRECISIONS: tuple[Precision, ...] = ("auto", "int8", "float")


@dataclass(frozen=True)
class Bundle:
    """A loaded, verified bundle.

    Attributes:
        fallback: why the float student answers although the int8 one was meant to; "" where that is not so.
        notes: what else is worth knowing, one line each.
    """

    path: Path
    manifest: Manifest
    label_bank: LabelBank
    engine: Engine
    fallback: str = ""
    notes: tuple[str, ...] = ()

    @property
    def text_encoder(self) -> Path | None:
        """The directory with the text encoder's files, where the bundle has one."""
        return text_encoder_in(self.path, self.manifest)


def load_bundle(
    path: Path | str,
    *,
    threads: int = 1,
    providers: Sequence[str] = CPU_ONLY,
    engine: str = ENGINES[0],
    precision: Precision = "auto",
    fall_back: bool = False,
    both: bool = True,
    trusted: Sequence[str] = (),
) -> Bundle:
    """Load a bundle, trusting nothing: every file's size, hash and content, the parts' fit, then the golden inputs.

    For bundles of one's own: one from elsewhere is opened by :func:`edgevl_core.bundle.self_test.open_untrusted`, for
    its networks may still take any time and memory.

    Args:
        threads, providers, engine: see :class:`edgevl_core.engine.Engine`.
        precision: which student: "int8", "float", or "auto": int8 for a CPU and float for a GPU.
        fall_back: under "auto", whether the float student takes the place of an int8 one that does not load or does
            not give its golden embeddings here; the result's ``fallback`` says so.
        both: whether the student that is not used is verified as well.
        trusted: public keys, one of which must have signed it, see :mod:`edgevl_core.bundle.signature`; empty: whoever
            made it, signed or not.

    Raises:
        UserError: the bundle is refused; the message, one line, says which file, why, and what to do.
    """
    path = Path(path)
    with _refusing(path):
        manifest, content, label_bank = _words(path, trusted)
        golden = read_golden(path / GOLDEN_FILE)
        answering = Answering(
            manifest.preprocess,
            label_bank,
            manifest.logit_scale,
            manifest.temperature,
            manifest.unknown_threshold,
            manifest.trust,
        )
        if manifest.schema_version >= 3 and not golden.path:
            raise UserError(f"{path}: {GOLDEN_FILE} says nothing of preprocessing and calibration: make it again")
        check_answering(path, golden, answering)
        parts = _Parts(path, manifest, label_bank, golden)
        student, other = _students(engine, providers, precision)
        fallback = ""
        try:
            opened = parts.opened(student, threads, providers, engine)
        except UserError as error:
            if not (fall_back and precision == "auto" and student == STUDENT_INT8):
                raise
            fallback = f"the float student answers, for the int8 one is refused here: {error}"
            opened = parts.opened(STUDENT_FP32, threads, providers, engine)
        notes = [note for note in (manifest.unchecked, manifest.rgb_only) if note]
        if both and not fallback:
            try:
                parts.opened(other, 1, CPU_ONLY, ENGINES[0], OTHER_INPUTS)
            except UserError as error:
                if other == STUDENT_FP32:
                    raise
                notes.append(f"the int8 student is not for this processor: {error}")
        # Last, because the checks before it name what is wrong.
        check_manifest_id(path, manifest, content)
    return Bundle(path, manifest, label_bank, opened, fallback, tuple(notes))


def load_words(path: Path | str, trusted: Sequence[str] = ()) -> tuple[Manifest, LabelBank]:
    """A bundle's manifest and label bank, without its student; every file's size and hash is checked.

    ``trusted``: see :func:`load_bundle`.

    Raises:
        UserError: the bundle is refused.
    """
    path = Path(path)
    with _refusing(path):
        manifest, content, label_bank = _words(path, trusted)
        check_manifest_id(path, manifest, content)
    return manifest, label_bank


def text_encoder_in(path: Path, manifest: Manifest) -> Path | None:
    """The directory with the text encoder's files, where the bundle has one."""
    return path if TEXT_FILES[0] in manifest.files else None


@dataclass(frozen=True)
class _Parts:
    path: Path
    manifest: Manifest
    label_bank: LabelBank
    golden: Golden

    def opened(
        self, student: str, threads: int, providers: Sequence[str], engine: str, inputs: int = MAX_GOLDEN
    ) -> Engine:
        """A student that fits, and gives its golden embeddings. Raises UserError otherwise."""
        opened = Engine(self.path / student, threads=threads, providers=providers, name=engine)
        check_fit(opened, self.label_bank, self.manifest.preprocess)
        if opened.embedding_dim != self.manifest.embedding_dim:
            raise UserError(
                f"{self.path}: {student} gives {opened.embedding_dim} dimensions, the manifest says "
                f"{self.manifest.embedding_dim}: make the bundle again"
            )
        check_student(self.path, self.golden, opened, inputs)
        opened.recent_s.clear()  # the self-test is not the robot's work
        return opened


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Whatever a bundle makes a library raise becomes one line: this is where foreign bytes end."""
    try:
        yield
    except UserError as error:
        raise UserError(one_line(str(error))) from error
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}", 200)
        raise UserError(one_line(f"{path} is damaged ({reason}): copy or make the bundle again")) from error


def _students(engine: str, providers: Sequence[str], precision: Precision) -> tuple[str, str]:
    """The student to use, and the other."""
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r}: accepted are {', '.join(PRECISIONS)}")
    suits = takes_int8(engine, providers)
    if precision == "int8" and not suits:
        raise UserError(f"precision int8: {providers[0]} takes float files only: use auto or float")
    int8 = suits and precision != "float"
    return (STUDENT_INT8, STUDENT_FP32) if int8 else (STUDENT_FP32, STUDENT_INT8)


def _words(path: Path, trusted: Sequence[str]) -> tuple[Manifest, Any, LabelBank]:
    """The manifest, what its file holds, and the label bank; all but the manifest's id is checked."""
    manifest, content = parse_manifest(path, signed_manifest(path, trusted) if trusted else None)
    check_files(path, manifest)
    label_bank = load_label_bank(path / LABEL_BANK_FILE)
    _check_labels(path, manifest, label_bank)
    return manifest, content, label_bank


def _check_labels(path: Path, manifest: Manifest, label_bank: LabelBank) -> None:
    if len(set(label_bank.select(manifest.labels).names)) < len(manifest.labels):
        raise UserError(f"{path}: a label occurs twice in the manifest: make the bundle again")


def check_fit(engine: Engine, label_bank: LabelBank, preprocess: Preprocess) -> None:
    """Refuse a student whose dimensions are not the label bank's, or whose input is not what preprocessing makes.

    Raises:
        UserError: naming the file and both numbers.
    """
    if engine.embedding_dim != label_bank.vectors.shape[1]:
        raise UserError(
            f"{engine.path}: {engine.embedding_dim} dimensions, the label bank has "
            f"{label_bank.vectors.shape[1]}: student and text vectors must come from one teacher"
        )
    if engine.size_px != preprocess.size_px:
        raise UserError(
            f"{engine.path}: input of {engine.size_px} px, preprocessing makes {preprocess.size_px} px: they must agree"
        )
