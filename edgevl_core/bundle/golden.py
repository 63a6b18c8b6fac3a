"""``golden.npz``: what a bundle must give on the machine that loads it, from a picture to an answer.

Three checks that join: a drawn picture and the network's input that it becomes (preprocessing); inputs and their
embeddings (the students); embeddings and what is said of them (label vectors, temperatures, thresholds, trust). The
picture is drawn, for a photograph would show the home to everybody who gets the bundle.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError, one_line
from edgevl_core.bundle.arrays import Kind, read_arrays
from edgevl_core.bundle.fusion import DEFAULT_TRUST, Trust, probabilities
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.manifest import MODALITIES, ByModality
from edgevl_core.camera.preprocess import Preprocess, to_input
from edgevl_core.engine import Engine

MIN_GOLDEN_COSINE = 0.99
MAX_GOLDEN = 64
_HEIGHT, _WIDTH = 60, 80
_TRUST_STEPS = 17
_MAX_LEVELS = 1.0  # mean difference of 255 between two OpenCVs' rounding; another rotation is far beyond
_TOLERANCE = 1e-4  # of the largest logit: float32's rounding over a thousand dimensions

_MEMBERS = {
    "pixels": Kind(np.uint8, 4, MAX_GOLDEN),
    "student": Kind(np.float32, 2, MAX_GOLDEN),
    "student_fp32": Kind(np.float32, 2, MAX_GOLDEN),
}
_PATH_MEMBERS = {
    "drawn_rgb": Kind(np.uint8, 3),
    "drawn_depth": Kind(np.uint16, 2),
    "drawn_inputs": Kind(np.uint8, 4),
    "words": Kind(np.uint8, 1),
    "logits": Kind(np.float32, 3),
    "margins": Kind(np.float32, 2),
    "trust": Kind(np.float32, 2),
}


@dataclass(frozen=True)
class Answering:
    """All that turns an image into an input, and an embedding into an answer.

    ``trust``: how far each camera is believed; the default is for a student of which nothing was measured.
    """

    preprocess: Preprocess
    bank: LabelBank
    logit_scale: float
    temperature: ByModality
    unknown_threshold: ByModality
    trust: Trust = DEFAULT_TRUST


@dataclass(frozen=True)
class Golden:
    """The file's content.

    Attributes:
        pixels: (K, 3, S, S) uint8 network inputs.
        embeddings: by student, "student" and "student_fp32": (K, D) float32.
        path: the other arrays; empty in bundles of schema 1 and 2.
    """

    pixels: NDArray[np.uint8]
    embeddings: Mapping[str, NDArray[np.float32]]
    path: Mapping[str, NDArray[Any]]


def golden_bytes(
    pixels: NDArray[np.uint8], embeddings: Mapping[str, NDArray[np.float32]], answering: Answering
) -> bytes:
    """The content of ``golden.npz``; ``embeddings`` as in :class:`Golden`."""
    rgb, depth = _drawn()
    arrays = {
        "drawn_rgb": rgb,
        "drawn_depth": depth,
        "drawn_inputs": _inputs(rgb, depth, answering.preprocess),
        "words": _words(answering.bank),
        "trust": _trust(answering.trust),
        **_answers(embeddings["student"], answering),
    }
    buffer = io.BytesIO()
    np.savez(buffer, pixels=pixels, **embeddings, **arrays)  # type: ignore[arg-type]  # numpy's stub misreads **
    return buffer.getvalue()


def read_golden(path: Path) -> Golden:
    """Read ``golden.npz``.

    Raises:
        UserError: it is missing, damaged or too large, or its parts do not fit each other.
    """
    arrays = read_arrays(path, _MEMBERS, _PATH_MEMBERS)
    pixels = np.ascontiguousarray(arrays.pop("pixels"))
    embeddings = {name: arrays.pop(name) for name in ("student", "student_fp32")}
    if not 1 <= len(pixels) <= MAX_GOLDEN or any(len(rows) != len(pixels) for rows in embeddings.values()):
        raise UserError(
            f"{path}: {len(pixels)} inputs, 1 to {MAX_GOLDEN} with as many embeddings are accepted: make the bundle "
            "again"
        )
    if arrays and set(arrays) != set(_PATH_MEMBERS):
        raise UserError(f"{path} lacks {', '.join(sorted(set(_PATH_MEMBERS) - set(arrays)))}: make the bundle again")
    for name, rows in embeddings.items():
        if not _are_unit(rows):
            raise UserError(f"{path}: embeddings of {name} are not of length 1: make the bundle again")
    return Golden(pixels, embeddings, arrays)


def check_answering(path: Path, golden: Golden, answering: Answering) -> None:
    """Whether preprocessing, label vectors and calibration are those that the bundle was made with.

    Raises:
        UserError: naming what differs.
    """
    if not golden.path:
        return
    found = golden.path
    changed = f"{path} is not what it was made as: %s; copy or make the bundle again"
    p = answering.preprocess
    inputs = _inputs(found["drawn_rgb"], found["drawn_depth"], p)
    if inputs.shape != found["drawn_inputs"].shape or _levels_apart(inputs, found["drawn_inputs"]) > _MAX_LEVELS:
        said = f"{p.size_px} px, rotation_deg {p.rotation_deg}, depth_encoding {p.depth_encoding!r}"
        raise UserError(changed % f"preprocessing ({said}) makes another input of the drawn picture")
    if found["words"].tobytes() != _words(answering.bank).tobytes():
        raise UserError(changed % "the label bank has other words")
    expected = _answers(golden.embeddings["student"], answering)
    for name, what in (
        ("logits", "label vectors, logit_scale or temperature give other scores"),
        ("margins", "unknown_threshold is another"),
    ):
        if not _agree(expected[name], found[name]):
            raise UserError(changed % what)
    if not _agree(_trust(answering.trust), found["trust"]):
        raise UserError(changed % "trust is another")


def check_student(path: Path, golden: Golden, engine: Engine, most: int = MAX_GOLDEN) -> None:
    """Whether a student gives its golden embeddings on this processor, for one image and for two at a time.

    Args:
        path: the bundle, for the message.
        engine: of one of the bundle's two files.
        most: how many of the inputs are tried, 1 or more.

    Raises:
        UserError: it fails, an embedding is not of length 1, or has a cosine below 0.99 to the expected one.
    """
    pixels, expected = golden.pixels[:most], golden.embeddings[engine.path.stem][:most]
    if pixels.shape[1:] != (3, engine.size_px, engine.size_px) or expected.shape[1] != engine.embedding_dim:
        raise UserError(f"{path}: golden inputs {pixels.shape} are not for {engine.path.name}: make the bundle again")
    # In pairs, as a robot with both cameras runs it, and one alone: a large batch takes memory that nothing else does.
    try:
        parts = [engine(pixels[start : start + 2]) for start in range(0, len(pixels), 2)]
        actual = np.concatenate([*parts, engine(pixels[:1])])
    except Exception as error:  # the runtimes' own kinds; shapes that do not fit, memory that there is not
        raise UserError(
            f"{path}: {engine.path.name} fails when it is run ({one_line(str(error), 200)}): make the bundle again"
        ) from error
    expected = np.concatenate([expected, expected[:1]])
    cosine = float((actual * expected).sum(axis=1).min()) if _are_unit(actual) else float("nan")
    if not cosine >= MIN_GOLDEN_COSINE:  # also refuses NaN
        raise UserError(
            f"{path}: {engine.path.name} gives other embeddings on this processor than where it was made (golden "
            f"inputs: cosine {cosine:.4f}, at least {MIN_GOLDEN_COSINE} is needed): x86 without VNNI saturates int8 "
            "sums of 8-bit weights; use the float file (precision: auto or float), or make the bundle on such a machine"
        )


def _drawn() -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """A picture that no turn and no mirror leaves as it is: (60, 80, 3) uint8, and (60, 80) uint16 millimetres."""
    down, across = np.mgrid[0:_HEIGHT, 0:_WIDTH].astype(np.float32)
    rgb = np.stack([across * 3, down * 4, 255 - across * 2 - down], axis=-1).clip(0, 255).astype(np.uint8)
    rgb[5:25, 8:30] = (230, 40, 20)
    depth = (400 + across * 90 + down * 30).astype(np.uint16)
    depth[30:50, 50:70] = 0
    return rgb, depth


def _inputs(rgb: NDArray[np.uint8], depth: NDArray[np.uint16], preprocess: Preprocess) -> NDArray[np.uint8]:
    return np.stack([to_input(rgb, preprocess), to_input(depth, preprocess)])


def _levels_apart(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Largest of both images' mean difference."""
    return float(np.abs(a.astype(np.int16) - b).mean(axis=(1, 2, 3)).max())


def _words(bank: LabelBank) -> NDArray[np.uint8]:
    rows: Sequence[Any] = [bank.names, bank.synonyms]
    return np.frombuffer(json.dumps(rows, ensure_ascii=False).encode(), dtype=np.uint8)


def _answers(embeddings: NDArray[np.float32], answering: Answering) -> dict[str, NDArray[np.float32]]:
    """Of each embedding, as if it came from each modality: scores (3, K, N), and margins over the threshold (3, K).

    Scores are those before soft-max, which hides what is far from the best.
    """
    logits, margins = [], []
    cosines = embeddings @ answering.bank.vectors.T
    for modality in MODALITIES:
        temperature = answering.temperature.of(modality)
        logits.append(cosines * np.float32(answering.logit_scale / temperature))
        scores = probabilities(embeddings, answering.bank.vectors, answering.logit_scale, temperature)
        margins.append(scores.max(axis=-1) - np.float32(answering.unknown_threshold.of(modality)))
    return {"logits": np.stack(logits).astype(np.float32), "margins": np.stack(margins).astype(np.float32)}


def _trust(trust: Trust) -> NDArray[np.float32]:
    """Both curves at evenly spread points."""
    at = np.linspace(0, 1, _TRUST_STEPS, dtype=np.float32)
    return np.stack([trust.rgb(at * 255), trust.depth(at)])


def _agree(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Also False where either has what is no number."""
    if a.shape != b.shape:
        return False
    with np.errstate(all="ignore"):
        return bool((np.abs(a - b) <= _TOLERANCE * max(1.0, float(np.abs(b).max()))).all())


def _are_unit(rows: NDArray[np.float32]) -> bool:
    with np.errstate(all="ignore"):
        return bool((np.abs(np.linalg.norm(rows, axis=1) - 1) < 1e-3).all())
