"""Both halves of a cut student, opened and tested on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.arrays import Kind, read_arrays
from edgevl_core.bundle.files import GOLDEN_FILE as BUNDLE_GOLDEN
from edgevl_core.bundle.golden import MAX_GOLDEN, read_golden
from edgevl_core.bundle.manifest import real_path
from edgevl_core.bundle.self_test import Limits, limit_memory, run_apart
from edgevl_core.bundle.student_bundle import Bundle
from edgevl_core.engine import CPU_ONLY, INPUT_NAME, OUTPUT_NAME, open_session
from edgevl_core.offload.manifest import (
    AGAIN,
    BACK_FILE,
    FRONT_FILE,
    GOLDEN_FILE,
    SplitManifest,
    read_split_manifest,
)

LEAST_COSINE = 0.9999  # between two machines, and of two halves to the whole: they compute the same
SPARE_COSINE = 0.01  # what a compressed cut may lose on another processor
GOLDEN_IMAGES = 4


class Half:
    """One file, for one image at a time.

    Args:
        file: its path.
        source, result: name and shape (without images) of what goes in and what comes out, by the manifest.
    """

    def __init__(
        self, file: Path, source: tuple[str, tuple[int, ...]], result: tuple[str, tuple[int, ...]], threads: int
    ) -> None:
        self._session: Any = open_session(file, threads, CPU_ONLY)
        self._source = source[0]
        ports = [self._session.get_inputs(), self._session.get_outputs()]
        found = [(port.name, tuple(port.shape)) for side in ports for port in side]
        expected = [(name, (1, *shape)) for name, shape in (source, result)]
        if found != expected:
            raise UserError(f"{file} takes and gives {found}, the manifest says {expected}: {AGAIN}")

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """(N, ...) -> (N, ...), N >= 1."""
        found = [self._session.run(None, {self._source: images[at : at + 1]})[0] for at in range(len(images))]
        return found[0] if len(found) == 1 else np.concatenate(found)


@dataclass(frozen=True)
class BackHalf:
    """What a base station runs: features -> embeddings."""

    manifest: SplitManifest
    back: Half


@dataclass(frozen=True)
class Halves(BackHalf):
    """What a robot runs: pixels -> features, and features -> embeddings where the base station does not answer."""

    front: Half


def load_back(path: Path | str, threads: int = 1, trusted: tuple[str, ...] = (), *, own: bool = False) -> BackHalf:
    """The back half, which gives its golden embeddings on this processor.

    Args:
        own: this process has made it; else both halves are run once in a process of their own before.

    Raises:
        UserError: see :func:`edgevl_core.offload.manifest.read_split_manifest`; the file is no such half, or computes
            otherwise here.
    """
    path = Path(path)
    manifest = read_split_manifest(path, trusted)
    if not own:
        run_apart(f"{__name__}:run_once", real_path(path), trusted=trusted)
    back = _open(path, manifest, BACK_FILE, threads)
    features, embeddings = _golden(path, manifest)
    cosine = _least_cosine(path, back, features, embeddings)
    if not cosine >= LEAST_COSINE:
        raise UserError(
            f"{path}: {BACK_FILE} gives other embeddings on this processor than where it was made (cosine "
            f"{cosine:.5f}, at least {LEAST_COSINE} is needed): cut the student on this kind of machine"
        )
    return BackHalf(manifest, back)


def load_halves(path: Path | str, threads: int = 1, trusted: tuple[str, ...] = (), *, own: bool = False) -> Halves:
    """Both halves. Arguments and errors: as of :func:`load_back`."""
    path = Path(path)
    tested = load_back(path, threads, trusted, own=own)
    return Halves(tested.manifest, tested.back, _open(path, tested.manifest, FRONT_FILE, threads))


def run_once(path: Path, limits: Limits, trusted: Sequence[str]) -> None:
    """What :func:`load_back` does in a process of its own."""
    limit_memory(limits, [path / FRONT_FILE, path / BACK_FILE])
    halves = load_halves(path, trusted=tuple(trusted), own=True)
    size_px = halves.manifest.size_px
    halves.front(np.zeros((1, 3, size_px, size_px), np.uint8))


def check_fits(halves: Halves, bundle: Bundle) -> str:
    """Why the halves cannot take the place of a bundle's student, in one line; "" where they can.

    They must be cut from its very file, and answer its golden inputs as the whole does here.
    """
    manifest, engine = halves.manifest, bundle.engine
    name = engine.path.name
    if bundle.manifest.files.get(name) != manifest.student_sha256:
        return (
            f"the robot computes alone: offload {manifest.split_id} is cut from another {manifest.student} than "
            f"{name} of bundle {bundle.manifest.bundle_id}: cut that one"
        )
    pixels = read_golden(bundle.path / BUNDLE_GOLDEN).pixels[:GOLDEN_IMAGES]
    cosine = float((halves.back(halves.front(pixels)) * engine(pixels)).sum(axis=1).min())
    engine.recent_s.clear()
    least = LEAST_COSINE if manifest.compress == 1 else manifest.cosine - SPARE_COSINE
    if not cosine >= least:
        return (
            f"the robot computes alone: the halves of offload {manifest.split_id} answer otherwise than the whole on "
            f"this processor (cosine {cosine:.5f}, at least {least:.5f} is needed): cut the student on such a machine"
        )
    return ""


def _open(path: Path, manifest: SplitManifest, name: str, threads: int) -> Half:
    pixels = (INPUT_NAME, (3, manifest.size_px, manifest.size_px))
    features = (manifest.tensor, manifest.shape)
    if name == FRONT_FILE:
        return Half(path / name, pixels, features, threads)
    return Half(path / name, features, (OUTPUT_NAME, (manifest.embedding_dim,)), threads)


def _golden(path: Path, manifest: SplitManifest) -> tuple[NDArray[Any], NDArray[np.float32]]:
    kinds = {
        "features": Kind(np.dtype(manifest.dtype).type, 1 + len(manifest.shape), MAX_GOLDEN),
        "embeddings": Kind(np.float32, 2, MAX_GOLDEN),
    }
    arrays = read_arrays(path / GOLDEN_FILE, kinds)
    features, embeddings = arrays["features"], arrays["embeddings"]
    shapes = (features.shape[1:], embeddings.shape[1:])
    if shapes != (manifest.shape, (manifest.embedding_dim,)) or not 0 < len(features) == len(embeddings):
        raise UserError(f"{path}: {GOLDEN_FILE} is not of this cut: {AGAIN}")
    return features, embeddings


def _least_cosine(path: Path, back: Half, features: NDArray[Any], embeddings: NDArray[np.float32]) -> float:
    try:
        found = back(features)
    except Exception as error:  # ONNX Runtime's own kinds
        raise UserError(f"{path}: {BACK_FILE} fails when it is run ({one_line(str(error), 200)}): {AGAIN}") from error
    with np.errstate(all="ignore"):
        return float((found * embeddings).sum(axis=1).min())
