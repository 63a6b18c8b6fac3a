"""``manifest.json`` of a student bundle: what it is, where it came from, and the hash of every file."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.base.hashing import sha256_bytes
from edgevl_core.bundle.fusion import Trust
from edgevl_core.camera.preprocess import Preprocess

SCHEMA_VERSION: Literal[3] = 3
# 1 lacked trust, for which there is a default. Up to 2 the bundle's id covers the other files alone, and the golden
# inputs do not tell of preprocessing and calibration: what was changed there is not seen.
READABLE_VERSIONS = (1, 2, 3)
MANIFEST_FILE = "manifest.json"
MAX_MANIFEST_BYTES = 8 << 20
MAX_FILES = 64  # beside the manifest
Modality = Literal["rgb", "depth", "rgbd"]
MODALITIES: tuple[Modality, ...] = ("rgb", "depth", "rgbd")
# Far beyond what calibration ever finds (0.25..8), and what a teacher has (1..117).
TEMPERATURES, LOGIT_SCALES = (0.01, 100.0), (0.01, 1000.0)
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# A file of the bundle, never a path out of it.
FILE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
FileName = Annotated[str, Field(pattern=FILE_NAME)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ByModality(_Part):
    """One number per modality."""

    rgb: float
    depth: float
    rgbd: float

    def of(self, modality: Modality) -> float:
        """The number of one modality."""
        return {"rgb": self.rgb, "depth": self.depth, "rgbd": self.rgbd}[modality]


# Line and paragraph separators, and what turns the direction of the text behind it; joiners and marks are in words.
_MISLEADING = frozenset(map(chr, (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))))


def plain_text(text: str) -> str:
    """``text`` where it can be shown as it is. Raises ValueError: control characters, or more than 1000 characters."""
    if len(text) > 1000 or any(ord(c) < 32 or 127 <= ord(c) < 160 or c in _MISLEADING for c in text):
        raise ValueError("text without control characters, of at most 1000 characters, is accepted")
    return text


def _within(low: float, high: float) -> AfterValidator:
    def check(numbers: ByModality) -> ByModality:
        for modality in MODALITIES:
            if not low <= numbers.of(modality) <= high:
                raise ValueError(f"{modality}: {numbers.of(modality):g} is not within {low:g}..{high:g}")
        return numbers

    return AfterValidator(check)


Text = Annotated[str, AfterValidator(plain_text)]
# What is only shown: a name that a folder really has must not make a bundle fail at the end of a training.
Shown = Annotated[str, AfterValidator(one_line)]


class BagRecord(_Part):
    """A bag that the student, or one that it goes back to, learned from; ``sha256`` covers its files.

    ``pairs``: 0 where that was not known any more.
    ``registered``: whether its depth was registered to RGB, see :class:`edgevl_core.camera.registration.Registration`.
    """

    name: Shown
    sha256: Sha256
    pairs: int = Field(0, ge=0)
    registered: Shown = "unknown"


class Provenance(_Part):
    """How the bundle came about: bags, the resolved recipe, versions of the software, ISO 8601 time (UTC)."""

    bags: tuple[BagRecord, ...] = ()
    recipe: dict[str, JsonValue] = {}
    software: dict[Shown, Shown] = {}
    created: Shown


class Manifest(_Part):
    """The content of ``manifest.json``.

    Attributes:
        schema_version: of this format.
        bundle_id: 12 hexadecimal digits, a hash over all the rest of the manifest, hence over every file; see
            :func:`manifest_id`.
        student: name of the backbone.
        teacher: identity of the teacher whose space the embeddings live in.
        embedding_dim: D.
        labels: names of the label set the bundle was made for; the bank may hold more words.
        preprocess: from an image to the network's input.
        logit_scale: the teacher's own, 0.01..1000.
        temperature: 0.01..100; probabilities = softmax(logit_scale * cosine / temperature).
        unknown_threshold: confidence below which the scene is unknown, 0..1.
        trust: how far each camera is believed, by brightness and by holes; measured on validation pairs.
        metrics: free nested figures.
        provenance: see :class:`Provenance`.
        files: name -> SHA-256 of every other file of the bundle.
    """

    schema_version: Literal[1, 2, 3] = SCHEMA_VERSION
    bundle_id: str = Field(pattern="^[0-9a-f]{12}$")
    student: Text
    teacher: Text
    embedding_dim: int = Field(ge=1)
    labels: tuple[Text, ...] = Field(min_length=1)
    preprocess: Preprocess
    logit_scale: float = Field(ge=LOGIT_SCALES[0], le=LOGIT_SCALES[1])
    temperature: Annotated[ByModality, _within(*TEMPERATURES)]
    unknown_threshold: Annotated[ByModality, _within(0.0, 1.0)]
    trust: Trust = Trust()
    metrics: dict[str, JsonValue] = {}
    provenance: Provenance
    files: dict[FileName, Sha256] = Field(max_length=MAX_FILES)

    @property
    def unchecked(self) -> str:
        """What loading cannot see in a bundle of this schema; "" where all is covered."""
        if self.schema_version >= 3:
            return ""
        return (
            f"bundle of schema {self.schema_version}: its id covers neither preprocessing nor calibration; a change of "
            "those would not be seen; adapt again, or trust where it came from"
        )

    @property
    def sees_depth(self) -> bool:
        """Whether its student was shown depth; that of ``edgevl bundle make`` was not."""
        return "first_bundle" not in self.metrics

    @property
    def rgb_only(self) -> str:
        """What a bundle says that knows RGB alone; "" where it knows depth as well."""
        if self.sees_depth:
            return ""
        return "this bundle knows RGB only, depth images are ignored: edgevl adapt makes one that knows both"


def manifest_id(content: Mapping[str, Any]) -> str:
    """The ``bundle_id`` for the manifest's content, as JSON has it: 12 hexadecimal digits over all but the id itself.

    Raises ValueError for numbers that JSON cannot hold (NaN, infinity).
    """
    rest = {key: value for key, value in content.items() if key != "bundle_id"}
    return sha256_bytes(json.dumps(rest, sort_keys=True, allow_nan=False).encode())[:12]


def manifest_bytes(manifest: Manifest) -> bytes:
    """JSON, indented; numbers that JSON cannot hold (NaN, infinity) raise ValueError."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=2, allow_nan=False) + "\n").encode()


def read_manifest(bundle: Path | str) -> Manifest:
    """The manifest of a bundle directory; files and hashes are not looked at.

    Raises:
        UserError: no bundle there, another schema version, a manifest that is not valid or not what its id says.
    """
    manifest, content = parse_manifest(bundle)
    check_manifest_id(bundle, manifest, content)
    return manifest


def real_path(bundle: Path | str) -> Path:
    """What the path of a bundle really names, links followed; there need not be anything.

    Raises:
        UserError: the system takes no such path, or nobody may look into that directory.
    """
    bundle = Path(bundle)
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            (bundle / MANIFEST_FILE).stat()
        return bundle.resolve()
    except (OSError, ValueError) as error:  # ValueError: a NUL in it
        reason = one_line(str(getattr(error, "strerror", None) or error), 120)
        shown = one_line(str(bundle), 200)
        raise UserError(f"{shown} cannot be read ({reason}): pass the directory of a student bundle") from error


def parse_manifest(bundle: Path | str, raw: bytes | None = None) -> tuple[Manifest, dict[str, Any]]:
    """As :func:`read_manifest`, the id not yet checked; and what stood in the file.

    ``raw``: the file's bytes where they were read already, as to check their signature.
    """
    real_path(bundle)  # refuses what is no path
    path = Path(bundle) / MANIFEST_FILE
    if not path.is_file():
        raise UserError(f"{bundle} is not a student bundle: it has no {MANIFEST_FILE}; pass the directory that has one")
    try:
        if (size := path.stat().st_size) > MAX_MANIFEST_BYTES:
            raise ValueError(f"{size} bytes, at most {MAX_MANIFEST_BYTES} are accepted")
        text = (path.read_bytes() if raw is None else raw).decode("utf-8")
        content = json.loads(text, parse_constant=_no_number)
        if "split_id" in content:
            raise UserError(f"{bundle} is a cut student (parameter offload), a student bundle is needed: pass that")
        version = content["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        reason = one_line(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{path} is damaged ({reason}): copy or make the bundle again") from error
    if version not in READABLE_VERSIONS or isinstance(version, bool):
        readable = ", ".join(map(str, READABLE_VERSIONS[:-1]))
        raise UserError(
            f"{path}: schema version {one_line(str(version), 20)}, this edgevl reads {readable} and "
            f"{READABLE_VERSIONS[-1]}: install the edgevl that made the bundle, or make it again"
        )
    try:
        return Manifest.model_validate(content), content
    except (ValidationError, RecursionError) as error:
        reason = "nested too deeply"
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UserError(f"{path}: {one_line(reason, 200)}; copy or make the bundle again") from error


def check_manifest_id(bundle: Path | str, manifest: Manifest, content: Mapping[str, Any]) -> None:
    """Whether the manifest is what its ``bundle_id`` was made of; in schemas 1 and 2, whether its files are.

    Raises:
        UserError: both ids.
    """
    try:
        actual = manifest_id(content) if manifest.schema_version >= 3 else files_id(manifest.files)
    except (ValueError, RecursionError) as error:  # 1e400 and surrogates come through JSON
        raise UserError(f"{bundle}: {MANIFEST_FILE} is damaged ({error}): copy or make the bundle again") from error
    if manifest.bundle_id != actual:
        raise UserError(
            f"{bundle}: bundle id {manifest.bundle_id}, its content gives {actual}: the manifest was damaged or "
            "changed; copy the bundle again, or make a new one"
        )


def files_id(files: Mapping[str, str]) -> str:
    """The ``bundle_id`` of schemas 1 and 2, over the hashes of the files alone."""
    return sha256_bytes("".join(f"{name} {files[name]}\n" for name in sorted(files)).encode())[:12]


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")
