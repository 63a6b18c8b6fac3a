"""A cut student's directory: both halves, golden features, and a manifest with the hash of everything."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.atomic import atomic_directory
from edgevl_core.base.errors import UserError
from edgevl_core.base.hashing import sha256_file
from edgevl_core.bundle.files import GOLDEN_FILE as BUNDLE_GOLDEN
from edgevl_core.bundle.golden import read_golden
from edgevl_core.bundle.manifest import FILE_NAME, MANIFEST_FILE
from edgevl_core.engine import CPU_ONLY, Engine, open_session
from edgevl_core.offload.halves import GOLDEN_IMAGES, LEAST_COSINE, load_halves
from edgevl_core.offload.manifest import GOLDEN_FILE, SplitManifest, manifest_bytes, sealed
from edgevl_train.split.cut import Cut, cut_in_two, load_network


def write_split(file: Path, cut: Cut, out: Path, thin: Path | None = None, compress: int = 1) -> SplitManifest:
    """Write what robot and base station need to run a student in two halves; it appears whole or not at all.

    Its golden features are those of the bundle's golden inputs where ``file`` lies in a bundle, else of noise. No
    pixels are stored: the base station gets no picture.

    Args:
        file: a student's ONNX file.
        cut: one of :func:`edgevl_train.split.cut.find_cuts`, of ``thin`` where that is given.
        out: must not exist.
        thin: the student with a bottleneck, see :mod:`edgevl_train.split.compress`; its halves are written, as halves
            of ``file``.
        compress: how many times fewer channels travel in it.

    Raises:
        UserError: ``out`` exists; ``file`` is no student, or has a name that no bundle could give it; both halves
            together answer otherwise than the whole.
    """
    if not re.fullmatch(FILE_NAME, file.name):
        raise UserError(f"{file}: letters, digits and _ . - are accepted in a student's name: rename the file")
    whole = Engine(file)
    pixels = golden_pixels(file, whole.size_px)
    with atomic_directory(out) as directory:
        front, back = cut_in_two(load_network(thin or file), cut, directory)
        features = run_each(front, pixels)
        embeddings = run_each(back, features)
        cosine = float((embeddings * whole(pixels)).sum(axis=1).min())
        if thin is None and not cosine >= LEAST_COSINE:
            raise UserError(f"{file} cut at {cut.tensor}: both halves answer otherwise (cosine {cosine:.5f})")
        with (directory / GOLDEN_FILE).open("wb") as stream:
            np.savez(stream, features=features, embeddings=embeddings)
        manifest = sealed(
            SplitManifest(
                split_id="0" * 12,
                student=file.name,
                student_sha256=sha256_file(file),
                tensor=cut.tensor,
                after=cut.after,
                of=cut.of,
                shape=features.shape[1:],
                dtype=features.dtype.name,
                size_px=whole.size_px,
                embedding_dim=whole.embedding_dim,
                cosine=max(0.0, min(cosine, 1.0)),
                compress=compress,
                files={each.name: sha256_file(each) for each in sorted(directory.iterdir())},
            )
        )
        (directory / MANIFEST_FILE).write_bytes(manifest_bytes(manifest))
        load_halves(directory, own=True)  # what no robot would take must not be written
    return manifest


def golden_pixels(file: Path, size_px: int) -> NDArray[np.uint8]:
    """(K, 3, S, S) uint8: golden inputs of the bundle that a student lies in; noise where it lies in none."""
    if (file.parent / MANIFEST_FILE).is_file() and (file.parent / BUNDLE_GOLDEN).is_file():
        return read_golden(file.parent / BUNDLE_GOLDEN).pixels[:GOLDEN_IMAGES]
    return np.random.default_rng(0).integers(0, 256, (GOLDEN_IMAGES, 3, size_px, size_px), np.uint8)


def run_each(file: Path, images: NDArray[Any]) -> NDArray[Any]:
    """Run a half on one image after the other."""
    session: Any = open_session(file, 1, CPU_ONLY)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: images[at : at + 1]})[0] for at in range(len(images))])
