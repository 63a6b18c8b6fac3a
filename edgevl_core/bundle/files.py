"""The files of a bundle: their names, how large they may be, and whether they are what the manifest says."""

from collections.abc import Sequence
from pathlib import Path

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.manifest import Manifest, real_path
from edgevl_core.bundle.text_encoder import TEXT_FILES
from edgevl_core.engine import OnnxFile, inspect_onnx

STUDENT_INT8, STUDENT_FP32 = "student.onnx", "student_fp32.onnx"
GOLDEN_FILE, LABEL_BANK_FILE = "golden.npz", "label_bank.npz"
REQUIRED_FILES = (STUDENT_INT8, STUDENT_FP32, GOLDEN_FILE, LABEL_BANK_FILE)
MAX_BYTES = {
    STUDENT_INT8: 1 << 29,
    STUDENT_FP32: 1 << 30,
    TEXT_FILES[0]: (1 << 31) - 1,  # protobuf's own limit
}
MAX_OTHER_BYTES = 1 << 26


def below_roots(path: Path, roots: Sequence[str]) -> Path:
    """``path``, or where there are roots what it really names, links followed.

    ``roots``: ``~`` is the home directory.

    Raises:
        UserError: it lies below none of them.
    """
    if not roots:
        return path
    real = real_path(path)
    if not any(real.is_relative_to(real_path(Path(root).expanduser())) for root in roots):
        shown = one_line(str(path), 200)
        raise UserError(f"{shown} is not below {', '.join(roots)} (parameter bundle_roots): copy the bundle there")
    return real


def check_files(path: Path, manifest: Manifest) -> None:
    """Size and hash of every file that the manifest lists, and what the networks among them are made of.

    Raises:
        UserError: naming the file.
    """
    if unlisted := [name for name in REQUIRED_FILES if name not in manifest.files]:
        raise UserError(f"{path}: the manifest lists no hash for {', '.join(unlisted)}: make the bundle again")
    if len(listed := [name for name in TEXT_FILES if name in manifest.files]) == 1:
        raise UserError(f"{path}: of the text encoder it has {listed[0]} only: make the bundle again")
    networks = {name: network for name in manifest.files if (network := check_file(path, manifest, name)) is not None}
    if networks[STUDENT_FP32].quantised:
        raise UserError(f"{path}: {STUDENT_FP32} is quantised, it must be the float student: make the bundle again")


def check_file(path: Path, manifest: Manifest, name: str) -> OnnxFile | None:
    """Size and hash of one file of the manifest; what a network is made of, None where it is none.

    Raises:
        UserError: naming the file.
    """
    expected = manifest.files[name]
    if not (path / name).is_file():
        raise UserError(f"{path}: {name} is missing: copy the bundle again, all of its files")
    size, most = (path / name).stat().st_size, MAX_BYTES.get(name, MAX_OTHER_BYTES)
    if size > most:
        raise UserError(f"{path}: {name} has {size} bytes, at most {most} are accepted: make a smaller bundle")
    actual = sha256_file(path / name)
    if actual != expected:
        raise UserError(
            f"{path}: {name} has SHA-256 {actual[:12]}..., the manifest says {expected[:12]}...: the "
            "file was damaged or changed; copy the bundle again, or make a new one"
        )
    return inspect_onnx(path / name) if name.endswith(".onnx") else None
