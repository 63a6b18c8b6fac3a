"""``manifest.json`` of a cut student: which student, where it is cut, what travels, and the hash of every file."""

import json
import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.files import MAX_BYTES, MAX_OTHER_BYTES, STUDENT_FP32
from edgevl_core.bundle.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, FileName, Sha256, Text, manifest_id
from edgevl_core.bundle.signature import signed_manifest
from edgevl_core.engine import inspect_onnx

SPLIT_VERSION: Literal[1] = 1
FRONT_FILE, BACK_FILE, GOLDEN_FILE = "front.onnx", "back.onnx", "golden.npz"
SPLIT_FILES = (FRONT_FILE, BACK_FILE, GOLDEN_FILE)
MAX_TENSOR_BYTES = 4 << 20  # of one image; beyond that nobody gains by sending it
AGAIN = "copy it again, or make it with `edgevl split --at --out`"


class SplitManifest(BaseModel):
    """The content of the file.

    Attributes:
        split_version: of this format.
        split_id: 12 hexadecimal digits, a hash over all the rest of the manifest, hence over the whole student and both
            halves. Every message between the machines carries it.
        student: the bundle's file that was cut.
        student_sha256: of that file.
        tensor: what travels, by its name in the front half.
        after, of: convolutions and matrix products before the cut, and in all.
        shape, dtype: of the tensor for one image, without the number of images.
        size_px, embedding_dim: S and D of the student.
        cosine: least one between the halves' and the whole student's embedding where the halves were made.
        compress: how many times fewer channels travel than the student has at the cut; 1: all of them.
        files: name -> SHA-256 of every other file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    split_version: Literal[1] = SPLIT_VERSION
    split_id: str = Field(pattern="^[0-9a-f]{12}$")
    student: FileName
    student_sha256: Sha256
    tensor: Text
    after: int = Field(ge=1)
    of: int = Field(ge=1)
    shape: tuple[Annotated[int, Field(ge=1, le=1 << 20)], ...] = Field(min_length=1, max_length=5)
    dtype: Literal["uint8", "int8", "float32"]
    size_px: int = Field(ge=1, le=1 << 14)
    embedding_dim: int = Field(ge=1, le=1 << 16)
    cosine: float = Field(ge=0.0, le=1.0001)
    compress: int = Field(ge=1, le=1 << 10, default=1)
    files: dict[FileName, Sha256] = Field(max_length=8)

    @property
    def image_bytes(self) -> int:
        """What travels for one image."""
        return math.prod(self.shape) * (4 if self.dtype == "float32" else 1)


def sealed(manifest: SplitManifest) -> SplitManifest:
    """The manifest with its id."""
    return manifest.model_copy(update={"split_id": _id_of(manifest)})


def manifest_bytes(manifest: SplitManifest) -> bytes:
    """JSON, indented."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=2, allow_nan=False) + "\n").encode()


def read_split_manifest(path: Path, trusted: tuple[str, ...] = ()) -> SplitManifest:
    """The manifest of a cut student; every file's size, hash and operators are checked, nothing is run.

    Args:
        trusted: public keys, one of which must have signed it, see :mod:`edgevl_core.bundle.signature`; empty: whoever
            made it.

    Raises:
        UserError: no cut student there, damaged, changed, or not signed by one that is trusted.
    """
    file = path / MANIFEST_FILE
    try:
        if not file.is_file():
            raise UserError(f"{path} is no cut student, it has no {MANIFEST_FILE}: pass what `edgevl split --out` made")
        if (size := file.stat().st_size) > MAX_MANIFEST_BYTES:
            raise ValueError(f"{size} bytes, at most {MAX_MANIFEST_BYTES} are accepted")
        raw = signed_manifest(path, trusted) if trusted else file.read_bytes()
        content = json.loads(raw.decode("utf-8"))
        if "bundle_id" in content:
            raise UserError(f"{path} is a student bundle, a cut student is needed: `edgevl split BUNDLE --at --out`")
        manifest = SplitManifest.model_validate(content)
        _check_files(path, manifest)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{file} is damaged ({_reason(error)}): {AGAIN}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({_reason(error)}): {AGAIN}") from error
    if manifest.split_id != (actual := _id_of(manifest)):
        raise UserError(f"{path}: id {manifest.split_id}, its content gives {actual}, it was changed: {AGAIN}")
    return manifest


def is_cut_student(path: Path) -> bool:
    """Whether a directory's manifest is that of a cut student, whatever else is wrong with it."""
    try:
        return "split_id" in json.loads((path / MANIFEST_FILE).read_bytes()[:MAX_MANIFEST_BYTES])
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _id_of(manifest: SplitManifest) -> str:
    content = manifest.model_dump(mode="json")
    return manifest_id({key: value for key, value in content.items() if key != "split_id"})


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return one_line(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", 200)
    return one_line(f"{type(error).__name__}: {error}", 200)


def _check_files(path: Path, manifest: SplitManifest) -> None:
    if set(manifest.files) != set(SPLIT_FILES):
        raise UserError(f"{path}: lists {', '.join(manifest.files)}, {', '.join(SPLIT_FILES)} are accepted: {AGAIN}")
    if manifest.image_bytes > MAX_TENSOR_BYTES:
        raise UserError(f"{path}: {manifest.image_bytes} bytes an image, at most {MAX_TENSOR_BYTES} are accepted")
    for name, expected in manifest.files.items():
        file = path / name
        if not file.is_file():
            raise UserError(f"{path}: {name} is missing: {AGAIN}")
        most = MAX_BYTES[STUDENT_FP32] if name.endswith(".onnx") else MAX_OTHER_BYTES
        if (size := file.stat().st_size) > most:
            raise UserError(f"{path}: {name} has {size} bytes, at most {most} are accepted: {AGAIN}")
        if (actual := sha256_file(file)) != expected:
            raise UserError(
                f"{path}: {name} has SHA-256 {actual[:12]}..., the manifest says {expected[:12]}...: {AGAIN}"
            )
        if name.endswith(".onnx"):
            inspect_onnx(file)
