"""How good a bundle or a teacher is on bags: against the true rooms where known, against a teacher elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.errors import UserError
from edgevl_core.fusion import probabilities
from edgevl_core.pairlog.pairs import RgbdPair, read_pairs
from edgevl_train.calibrate import expected_calibration_error
from edgevl_train.predictors import Predictor, label_set_of, load_predictor, teacher_predictor
from edgevl_train.teacher import Teacher, load_teacher

MODALITIES = ("rgb", "depth", "rgbd")
MIN_FURNITURE = 0.05  # frames that show less name no room; figures over all frames are given beside
BATCH = 64


def evaluate(
    model: Path | str,
    bags: Sequence[Path],
    *,
    labels: Path | None = None,
    teacher: str | Teacher | None = None,
    on_progress: Callable[[int], None] = lambda pairs: None,
) -> dict[str, Any]:
    """Evaluate one model; see :func:`evaluate_all` for the figures.

    Args:
        model: a bundle's directory, or a teacher's spec.
        labels: label file; None: the bundle's own labels.
        teacher: compare with this teacher too.
        on_progress: called with the number of pairs done.

    Raises:
        UserError: no pairs, a bundle that is refused, a teacher without labels.
    """
    predictor = load_predictor(model, labels)
    other = None
    if teacher is not None:
        loaded = load_teacher(teacher) if isinstance(teacher, str) else teacher
        other = teacher_predictor(loaded, labels or label_set_of(predictor.bank))
    return evaluate_all({"model": predictor}, bags, teacher=other, on_progress=on_progress)["model"]


def evaluate_all(
    predictors: Mapping[str, Predictor],
    bags: Sequence[Path],
    *,
    teacher: Predictor | None = None,
    on_progress: Callable[[int], None] = lambda pairs: None,
) -> dict[str, dict[str, Any]]:
    """Evaluate several models in one pass over the bags.

    Returns, per model (figures by modality are {"rgb", "depth", "rgbd"}; {} where nothing is known to compare
    with):
        samples, labels; labelled: pairs whose true room is a label; other_rooms: true rooms that are no
        label, counted;
        with_furniture: labelled pairs that show at least 5 % furniture; top1, macro (mean recall over the
            rooms
        present) on those; top1_all_frames, macro_all_frames on all labelled pairs; confusion: rows true,
        columns answered, in the order of ``labels``; ece, 15 bins, against the truth (or, without it, the
        teacher's answers);
        abstention: share called unknown; teacher_agreement, teacher_cosine: with the teacher's embedding of
            the RGB.

    Raises:
        UserError: the bags hold no pairs.
    """
    seen: dict[str, list[_Part]] = {name: [] for name in predictors}
    pairs_done = 0
    pairs = _pairs(bags)
    while batch := list(islice(pairs, BATCH)):
        reference = teacher.embed(batch)["rgb"] if teacher is not None else None
        for name, predictor in predictors.items():
            seen[name].append(_answers(predictor, batch, reference, teacher))
        pairs_done += len(batch)
        on_progress(pairs_done)
    if not pairs_done:
        raise UserError(f"{', '.join(map(str, bags))}: no RGB-D pairs to evaluate on")
    return {name: _figures(predictor, seen[name]) for name, predictor in predictors.items()}


_Part = dict[str, Any]


def _pairs(bags: Sequence[Path]) -> Iterator[RgbdPair]:
    return chain.from_iterable(read_pairs(bag) for bag in bags)


def _answers(
    predictor: Predictor,
    pairs: Sequence[RgbdPair],
    reference: NDArray[np.float32] | None,
    teacher: Predictor | None,
) -> _Part:
    """One batch: true rooms, and per modality answer, confidence, cosine."""
    names = [pair.truth.room if pair.truth else "" for pair in pairs]
    found = [predictor.bank.find(name) if name else None for name in names]
    part: _Part = {
        "true": np.array([-1 if row is None else row for row in found]),
        "room": names,
        "furniture": np.array([pair.truth.furniture_fraction if pair.truth else 0.0 for pair in pairs]),
    }
    if reference is not None and teacher is not None:
        columns = [teacher.bank.find(name) for name in predictor.bank.names]
        if any(column is None for column in columns):
            raise UserError("the teacher's label set lacks labels of the model: evaluate both with one label file")
        part["teacher"] = (reference @ teacher.bank.vectors[columns].T).argmax(1)
    for modality, embedding in predictor.embed(pairs).items():
        p = probabilities(
            embedding,
            predictor.bank.vectors,
            predictor.logit_scale,
            predictor.temperature.of(modality),  # type: ignore[arg-type]
        )
        part[f"answer_{modality}"], part[f"confidence_{modality}"] = p.argmax(1), p.max(1)
        if reference is not None:
            norm = np.maximum(np.linalg.norm(embedding, axis=1), 1e-12)
            part[f"cosine_{modality}"] = (embedding * reference).sum(1) / norm
    return part


def _figures(predictor: Predictor, parts: list[_Part]) -> dict[str, Any]:
    joined = {key: list(chain(*(part[key] for part in parts))) for key in parts[0]}
    columns = {key: np.array(values) for key, values in joined.items() if key != "room"}
    true, count = columns["true"], len(predictor.bank.names)
    labelled = true >= 0
    shown = labelled & (columns["furniture"] >= MIN_FURNITURE)
    others = [room for room, row in zip(joined["room"], true, strict=True) if room and row < 0]
    result: dict[str, Any] = {
        "model": predictor.id,
        "samples": len(true),
        "labels": list(predictor.bank.names),
        "labelled": int(labelled.sum()),
        "with_furniture": int(shown.sum()),
        "other_rooms": {room: others.count(room) for room in sorted(set(others))},
    }
    by_modality: dict[str, dict[str, Any]] = {name: {} for name in _FIGURES}
    for modality in MODALITIES:
        answer, confidence = columns[f"answer_{modality}"], columns[f"confidence_{modality}"]
        matrix, matrix_all = (confusion_matrix(true[rows], answer[rows], count) for rows in (shown, labelled))
        known = confidence >= predictor.unknown_threshold.of(modality)  # type: ignore[arg-type]
        by_modality["abstention"][modality] = float((~known).mean())
        if shown.any():
            by_modality["top1"][modality], by_modality["macro"][modality] = top1_and_macro(matrix)
            by_modality["confusion"][modality] = matrix.tolist()
        if labelled.any():
            top1, macro = top1_and_macro(matrix_all)
            by_modality["top1_all_frames"][modality], by_modality["macro_all_frames"][modality] = top1, macro
        rows, target = (shown, true) if shown.any() else (np.ones(len(true), bool), columns.get("teacher"))
        if target is not None:
            right = answer[rows] == target[rows]
            by_modality["ece"][modality] = expected_calibration_error(confidence[rows], right)
        if "teacher" in columns:
            by_modality["teacher_agreement"][modality] = float((answer == columns["teacher"]).mean())
            by_modality["teacher_cosine"][modality] = float(columns[f"cosine_{modality}"].mean())
    return result | by_modality


_FIGURES = (
    "top1",
    "macro",
    "top1_all_frames",
    "macro_all_frames",
    "teacher_agreement",
    "teacher_cosine",
    "abstention",
    "ece",
    "confusion",
)


def confusion_matrix(true: NDArray[np.int64], answer: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(C, C) int64: rows true, columns answered."""
    return np.bincount(true * count + answer, minlength=count * count).reshape(count, count)


def top1_and_macro(matrix: NDArray[np.int64]) -> tuple[float, float]:
    """Share of right answers, and the mean of the recalls of the labels that occur."""
    total = matrix.sum(1)
    recall = np.diag(matrix)[total > 0] / total[total > 0]
    return float(np.diag(matrix).sum() / max(total.sum(), 1)), float(recall.mean()) if len(recall) else 0.0
