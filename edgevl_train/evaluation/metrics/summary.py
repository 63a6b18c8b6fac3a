"""All figures of one model over a set of pairs, as plain numbers for JSON, tables and pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_core.bundle.label_bank import LabelBank
from edgevl_core.bundle.manifest import Modality
from edgevl_train.evaluation.confidence import expected_calibration_error, mean_cosine
from edgevl_train.evaluation.metrics.abstention import abstention_curve
from edgevl_train.evaluation.metrics.angles import angle_statistics
from edgevl_train.evaluation.metrics.confusion import confusion_matrix, per_class, top1_and_macro
from edgevl_train.evaluation.metrics.label_sets import named_rows, split_bank
from edgevl_train.evaluation.metrics.retrieval import retrieved_first
from edgevl_train.evaluation.metrics.unknown import unknown_roc
from edgevl_train.evaluation.metrics.unseen import unseen_words
from edgevl_train.evaluation.predictions import Answers, Embedded, answers
from edgevl_train.evaluation.predictors import Predictor, Reference

MIN_FURNITURE = 0.05  # frames that show less name no room; figures over all frames are given beside
ByName = dict[Modality, Any]


@dataclass(frozen=True)
class Pairs:
    """What is known of N pairs, whatever the model.

    Attributes:
        stamp_ns, bag: (N,) int64; room: N true rooms, "" where not recorded; furniture: (N,) share of the pixels.
        teacher: (N, D) float32, L2-normalised, the teacher's embeddings of the RGB; None without a teacher.
    """

    stamp_ns: NDArray[np.int64]
    bag: NDArray[np.int64]
    room: Sequence[str]
    furniture: NDArray[np.float64]
    teacher: NDArray[np.float32] | None


def all_pairs(parts: Sequence[Pairs]) -> Pairs:
    """The pairs of one part after those of the other; at least one part."""
    teachers = [part.teacher for part in parts if part.teacher is not None]
    return Pairs(
        np.concatenate([part.stamp_ns for part in parts]),
        np.concatenate([part.bag for part in parts]),
        [room for part in parts for room in part.room],
        np.concatenate([part.furniture for part in parts]),
        np.concatenate(teachers) if teachers else None,
    )


def figures(
    predictor: Predictor,
    pairs: Pairs,
    embedded: Embedded,
    reference: Reference | None = None,
    leave_out: Sequence[str] = (),
    retrieval_s: float | None = None,
) -> dict[str, Any]:
    """Everything that can be said of a model's answers.

    Returns: figures by modality are {"rgb", "depth", "rgbd"}; {} where there is nothing to compare with.
        model, samples, labels; labelled: pairs whose true room is a label; with_furniture: those of them that show at
        least 5 % furniture; most_furniture: the largest furniture_fraction of ``labelled``, 0 where there are none;
        other_rooms: true rooms that are no label, counted.
        abstention: share called unknown, by modality.
        Against the truth: top1, macro (mean recall over the rooms present) on ``with_furniture``; top1_all_frames,
        macro_all_frames on ``labelled``.
        Against the teacher, on all pairs: teacher_agreement, teacher_cosine, ece_teacher; teacher_agreement_by_bag, a
        list of it, bag by bag; teacher_cosine_of_mean, one number: what the best constant embedding would reach as
        cosine (None without a teacher).
        ``against`` "truth" on ``with_furniture``, otherwise "teacher" (its answers) on all pairs, otherwise None: ece,
        15 bins; confusion, rows true, columns answered, in the order of ``labels``; per_class; abstention_curve;
        angles; and, where labels are left out, unknown, on the same pairs and those of the labels left out.
        unseen, where the bundle says what it was adapted to and frames of other labels are there: what is left of the
        words that adaptation never saw, see :func:`edgevl_train.evaluation.metrics.unseen.unseen_words`.
        retrieval, where asked for: window_s, pairs, chance, and first, by modality.

    Raises:
        UserError: see :func:`edgevl_train.evaluation.evaluate.evaluate_all`.
    """
    bank, count = split_bank(predictor.bank, leave_out)
    vectors = bank.vectors[:count]
    found = answers(embedded, vectors, predictor.logit_scale, predictor.temperature, predictor.unknown_threshold)
    row_of = {room: bank.find(room) for room in set(pairs.room)}
    true = np.array([-1 if row_of[room] is None else row_of[room] for room in pairs.room], np.int64)
    labelled = (true >= 0) & (true < count)
    shows_room = pairs.furniture >= MIN_FURNITURE
    others = [room for room, row in zip(pairs.room, true, strict=True) if room and row < 0]
    result: dict[str, Any] = {
        "model": predictor.id,
        "samples": len(true),
        "labels": list(bank.names[:count]),
        "labelled": int(labelled.sum()),
        "with_furniture": int((labelled & shows_room).sum()),
        "most_furniture": float(np.nan_to_num(pairs.furniture[labelled]).max(initial=0.0)),
        "other_rooms": {room: others.count(room) for room in sorted(set(others))},
        "abstention": {name: float((~answer.known).mean()) for name, answer in found.items()},
        "against": None,
        "teacher_cosine_of_mean": None,
    }
    result |= {name: {} for name in (*_OF_TRUTH, *_OF_TEACHER, *_OF_TARGET)}
    judged, target, teachers = np.zeros(len(true), bool), true, None
    if pairs.teacher is not None and reference is not None:
        similar = _cosines(pairs.teacher, reference.bank.vectors[named_rows(reference.bank, bank)])
        teachers = similar[:, :count].argmax(1)  # among the labels that the model chooses from
        result |= _against_teacher(pairs, pairs.teacher, embedded, found, teachers, retrieval_s)
        judged, target = np.ones(len(true), bool), similar.argmax(1)
        result["against"] = "teacher"
    if (labelled & shows_room).any():
        judged, target = (true >= 0) & shows_room, true
        result["against"] = "truth"
    if labelled.any():
        result |= _against_truth(found, true, labelled, labelled & shows_room, count)
    inside = judged & (target < count)
    if inside.any():
        cosines = {name: _cosines(embedding[inside], vectors) for name, embedding in embedded.by_modality().items()}
        result |= _against_target(result["labels"], _rows(found, inside), cosines, target[inside])
    if predictor.adapted_to is not None:
        seen = _pairs_of_label(predictor.adapted_to, bank)
        result |= unseen_words(bank.names[:count], seen, found, np.where(judged, target, -1), teachers)
    if leave_out:
        why = f" ({why_no_truth(result)})" if labelled.any() and result["against"] is None else ""
        result["unknown"] = _unknown(bank.names[count:], found, inside, judged & (target >= count), why)
    return result


def why_no_truth(numbers: Mapping[str, Any]) -> str:
    """Why :func:`figures` could not compare with the truth, in words."""
    if not numbers["labelled"]:
        return "no true rooms of these labels"
    return (
        f"{numbers['labelled']} true rooms of these labels, all with a furniture_fraction of at most "
        f"{numbers['most_furniture']:g}, and below {MIN_FURNITURE} a frame names no room: set it in edgevl/SceneTruth "
        "to the share of the pixels that show furniture, or to 1 where that is not known"
    )


def _pairs_of_label(adapted_to: Mapping[str, int], bank: LabelBank) -> Counter[int]:
    """Row of the bank -> pairs that adaptation saw of it; a synonym counts for its label."""
    pairs: Counter[int] = Counter()
    for name, seen in adapted_to.items():
        if (row := bank.find(name)) is not None:
            pairs[row] += seen
    return pairs


_OF_TRUTH = ("top1", "macro", "top1_all_frames", "macro_all_frames")
_OF_TEACHER = ("teacher_agreement", "teacher_cosine", "ece_teacher")
_OF_TARGET = ("ece", "confusion", "per_class", "abstention_curve", "angles")


def _against_truth(
    found: Mapping[Modality, Answers],
    true: NDArray[np.int64],
    labelled: NDArray[np.bool_],
    shown: NDArray[np.bool_],
    count: int,
) -> dict[str, ByName]:
    result: dict[str, ByName] = {name: {} for name in _OF_TRUTH}
    for name, answer in found.items():
        for suffix, rows in (("", shown), ("_all_frames", labelled)):
            if rows.any():
                matrix = confusion_matrix(true[rows], answer.label[rows], count)
                result["top1" + suffix][name], result["macro" + suffix][name] = top1_and_macro(matrix)
    return result


def _against_teacher(
    pairs: Pairs,
    teacher: NDArray[np.float32],
    embedded: Embedded,
    found: Mapping[Modality, Answers],
    pseudo_label: NDArray[np.int64],
    retrieval_s: float | None,
) -> dict[str, Any]:
    embeddings = embedded.by_modality()
    agrees = {name: answer.label == pseudo_label for name, answer in found.items()}
    result: dict[str, Any] = {
        "teacher_agreement": {name: float(each.mean()) for name, each in agrees.items()},
        "teacher_agreement_by_bag": [
            {name: float(each[pairs.bag == bag].mean()) for name, each in agrees.items()}
            for bag in np.unique(pairs.bag)
        ],
        "teacher_cosine": {name: mean_cosine(x, teacher) for name, x in embeddings.items()},
        # The mean cosine to a set of unit vectors is greatest for their mean's direction, and is then its length.
        "teacher_cosine_of_mean": float(np.linalg.norm(teacher.mean(0))),
        "ece_teacher": {
            name: expected_calibration_error(answer.confidence, agrees[name]) for name, answer in found.items()
        },
    }
    if retrieval_s is not None:
        place = (teacher, pairs.stamp_ns, pairs.bag, retrieval_s)
        first = {name: retrieved_first(x, *place) for name, x in embeddings.items()}
        result["retrieval"] = {
            "window_s": retrieval_s,
            "pairs": len(teacher),
            "chance": first["rgb"][1],
            "first": {name: share for name, (share, _) in first.items()},
        }
    return result


def _against_target(
    labels: Sequence[str],
    found: Mapping[Modality, Answers],
    cosines: Mapping[Modality, NDArray[np.float32]],
    target: NDArray[np.int64],
) -> dict[str, Any]:
    right = {name: answer.label == target for name, answer in found.items()}
    matrices = {name: confusion_matrix(target, answer.label, len(labels)) for name, answer in found.items()}
    return {
        "ece": {name: expected_calibration_error(found[name].confidence, right[name]) for name in found},
        "confusion": {name: matrix.tolist() for name, matrix in matrices.items()},
        "per_class": per_class(labels, matrices),
        "abstention_curve": {name: abstention_curve(found[name].certainty, right[name]) for name in found},
        "angles": {name: angle_statistics(cosines[name], target) for name in found},
    }


def _unknown(
    left_out: Sequence[str],
    found: Mapping[Modality, Answers],
    inside: NDArray[np.bool_],
    outside: NDArray[np.bool_],
    why: str,
) -> dict[str, Any]:
    """ROC of "unknown" by modality, and what the thresholds in force do; ``why``: there is no truth to go by."""
    if not inside.any() or not outside.any():
        raise UserError(
            f"--leave-out {', '.join(left_out)}: {outside.sum()} frames show it and {inside.sum()} show other "
            f"labels{why}, both are needed: evaluate on bags that show both, with their truth or with --teacher"
        )
    return {
        "left_out": list(left_out),
        "frames": {"known": int(inside.sum()), "unknown": int(outside.sum())},
        "roc": {name: unknown_roc(x.certainty[inside], x.certainty[outside]) for name, x in found.items()},
        "at_threshold": {
            name: {"false_unknown": float((~x.known[inside]).mean()), "caught": float((~x.known[outside]).mean())}
            for name, x in found.items()
        },
    }


def _rows(found: Mapping[Modality, Answers], rows: NDArray[np.bool_]) -> dict[Modality, Answers]:
    return {name: Answers(*(column[rows] for column in vars(answer).values())) for name, answer in found.items()}


def _cosines(embeddings: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return embeddings @ vectors.T / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), np.float32(1e-12))
