"""``manifest.json`` of a student bundle: what it is, where it came from, and the hash of every file."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.fusion import Trust
from edgevl_core.camera.preprocess import Preprocess

SCHEMA_VERSION: Literal[2] = 2
READABLE_VERSIONS = (1, 2)  # 1 lacked trust, for which there is a default
MANIFEST_FILE = "manifest.json"
Modality = Literal["rgb", "depth", "rgbd"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# A file of the bundle, never a path out of it.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


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


class BagRecord(_Part):
    """A bag that the student learned from; ``sha256`` covers its files.

    ``registered``: whether its depth was registered to RGB, see :class:`edgevl_core.camera.registration.Registration`.
    """

    name: str
    sha256: Sha256
    pairs: int = Field(ge=0)
    registered: str = "unknown"


class Provenance(_Part):
    """How the bundle came about: bags, the resolved recipe, versions of the software, ISO 8601 time (UTC)."""

    bags: tuple[BagRecord, ...] = ()
    recipe: dict[str, JsonValue] = {}
    software: dict[str, str] = {}
    created: str


class Manifest(_Part):
    """The content of ``manifest.json``.

    Attributes:
        schema_version: of this format.
        bundle_id: 12 hexadecimal digits, a hash over the hashes of all files.
        student: name of the backbone.
        teacher: identity of the teacher whose space the embeddings live in.
        embedding_dim: D.
        labels: names of the label set the bundle was made for; the bank may hold more words.
        preprocess: from an image to the network's input.
        logit_scale: the teacher's own.
        temperature: > 0; probabilities = softmax(logit_scale * cosine / temperature).
        unknown_threshold: confidence below which the scene is unknown, 0..1.
        trust: how far each camera is believed, by brightness and by holes; measured on validation pairs.
        metrics: free nested figures.
        provenance: see :class:`Provenance`.
        files: name -> SHA-256 of every other file of the bundle.
    """

    schema_version: Literal[1, 2] = SCHEMA_VERSION
    bundle_id: str = Field(pattern="^[0-9a-f]{12}$")
    student: str
    teacher: str
    embedding_dim: int = Field(ge=1)
    labels: tuple[str, ...] = Field(min_length=1)
    preprocess: Preprocess
    logit_scale: float = Field(gt=0)
    temperature: ByModality
    unknown_threshold: ByModality
    trust: Trust = Trust()
    metrics: dict[str, JsonValue] = {}
    provenance: Provenance
    files: dict[FileName, Sha256]


def manifest_bytes(manifest: Manifest) -> bytes:
    """JSON, indented; numbers that JSON cannot hold (NaN, infinity) raise ValueError."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=2, allow_nan=False) + "\n").encode()


def read_manifest(bundle: Path | str) -> Manifest:
    """The manifest of a bundle directory; files and hashes are not looked at.

    Raises:
        UserError: no bundle there, another schema version, or a manifest that is not valid.
    """
    path = Path(bundle) / MANIFEST_FILE
    if not path.is_file():
        raise UserError(f"{bundle} is not a student bundle: it has no {MANIFEST_FILE}; pass the directory that has one")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}): copy or make the bundle again"
        ) from error
    if version not in READABLE_VERSIONS:
        readable = " and ".join(map(str, READABLE_VERSIONS))
        raise UserError(
            f"{path}: schema version {version}, this edgevl reads {readable}: install the edgevl that "
            "made the bundle, or make it again"
        )
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {where}: {first['msg']}; copy or make the bundle again") from error
