"""How good a model is on bags: against the true rooms where known, against a teacher elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.pairs import MAX_SKEW_S, PairReader, PairSettings
from edgevl_core.pairlog.readable import readable
from edgevl_core.pairlog.reader import check_given_once
from edgevl_train.data.cache import hash_bag
from edgevl_train.evaluation.metrics.confusion import confusion_matrix, top1_and_macro
from edgevl_train.evaluation.metrics.label_sets import named_rows, split_bank
from edgevl_train.evaluation.metrics.summary import Pairs, all_pairs, figures
from edgevl_train.evaluation.predictions import Embedded
from edgevl_train.evaluation.predictors import Predictor, Reference, label_set_of, load_predictor, teacher_reference
from edgevl_train.sharing import Share, alone
from edgevl_train.teacher.loading import Teacher, load_teacher

__all__ = ["confusion_matrix", "evaluate", "evaluate_all", "top1_and_macro"]

BATCH = 64


def evaluate(  # noqa: PLR0913  (one for each option of the command)
    model: Path | str,
    bags: Sequence[Path],
    *,
    against: Path | str | None = None,
    labels: Path | None = None,
    teacher: str | Teacher | None = None,
    leave_out: Sequence[str] = (),
    retrieval_s: float | None = None,
    rgb: str | None = None,
    depth: str | None = None,
    max_skew_s: float | None = None,
    on_progress: Callable[[int], None] = lambda pairs: None,
    share: Share = alone,
) -> dict[str, Any]:
    """Evaluate one model; see :func:`evaluate_all` for the figures.

    Args:
        model: a bundle's directory, a run directory or a checkpoint in it, or a teacher's spec.
        against: another one, evaluated on the very same pairs in the same pass; the teacher sees them as it does for
            ``model``.
        labels: label file; None: the bundle's own labels.
        teacher: compare with this teacher too, that of the bundle or run.
        rgb, depth: topics of the bags, found by type when None.
        max_skew_s: largest difference of stamps within a pair; None: that of the model's own training where it is
            known, else the usual one.
        on_progress: called with the number of pairs done.
        share: processes that share look at a part of the bags each, and all have the figures.

    Returns:
        The figures of ``model``; with ``against``, that one's under "current"; "note" where its figures need one.

    Raises:
        UserError: a bag given twice, no pairs, too many that cannot be decoded, a model that is refused, a teacher
            without labels or that is not the model's; two models of different labels, and no ``labels`` for both.
    """
    check_given_once(bags)
    other = load_teacher(teacher) if isinstance(teacher, str) else teacher
    predictor = load_predictor(model, labels, other)
    predictors = {"model": predictor}
    if against is not None:
        predictors["current"] = load_predictor(against, labels, other)
        if labels is None:
            _check_alike(predictor, predictors["current"])
    reference = None
    if other is not None:
        reference = teacher_reference(other, labels or label_set_of(predictor.bank), view=predictor.view)
    known_s = max_skew_s if max_skew_s is not None else predictor.max_skew_s
    found = evaluate_all(
        predictors,
        bags,
        settings=PairSettings(rgb, depth, known_s if known_s is not None else MAX_SKEW_S),
        teacher=reference,
        leave_out=leave_out,
        retrieval_s=retrieval_s,
        on_progress=on_progress,
        share=share,
    )
    if predictor.note:
        found["model"]["note"] = predictor.note
    return found["model"] | ({"current": found["current"]} if against is not None else {})


def evaluate_all(
    predictors: Mapping[str, Predictor],
    bags: Sequence[Path],
    *,
    teacher: Reference | None = None,
    leave_out: Sequence[str] = (),
    retrieval_s: float | None = None,
    settings: PairSettings = PairSettings(),  # noqa: B008  (frozen)
    on_progress: Callable[[int], None] = lambda pairs: None,
    share: Share = alone,
) -> dict[str, dict[str, Any]]:
    """Evaluate several models in one pass over the bags, in which each embeds every image once.

    Args:
        leave_out: labels (or synonyms) taken out of the label set; the frames that show them are the unknowns.
        settings: which pairs of the bags.
        retrieval_s: look how often the teacher's embedding within so many seconds is the nearest one.

    Returns:
        Per model the figures of :func:`edgevl_train.evaluation.metrics.summary.figures`; ``bags``: for each its path,
        topics, pairs, dropped messages by reason, and losses of the reader; and ``trained_on``: paths of those that the
        model was trained on, known by the names and contents of their files.

    Raises:
        UserError: a bag holds no pairs, or too many that cannot be decoded; a label to leave out that is not there,
            or that no frame shows; retrieval without a teacher; teacher and model of different dimensions or labels.
    """
    if retrieval_s is not None and not 0 <= retrieval_s < np.inf:
        raise UserError(f"--retrieval {retrieval_s}: a time in seconds >= 0 is accepted")
    if retrieval_s is not None and teacher is None:
        raise UserError(f"--retrieval {retrieval_s}: looks among a teacher's embeddings; pass --teacher as well")
    for predictor in predictors.values():  # before the slow part
        bank, _ = split_bank(predictor.bank, leave_out)
        if teacher is not None:
            named_rows(teacher.bank, bank)
    done = 0

    def look(numbered: tuple[int, Path]) -> _Seen:
        nonlocal done
        number, bag = numbered
        found = _one_pass(predictors, number, settings.read(bag), teacher, lambda pairs: on_progress(done + pairs))
        done += len(found.pairs.room)
        return replace(found, sha256=hash_bag(bag)) if any(each.trained_on for each in predictors.values()) else found

    seen = share(list(enumerate(bags)), look)
    pairs, of_bags = all_pairs([each.pairs for each in seen]), [each.of_bag for each in seen]
    embedded = {name: _joined([each.embedded[name] for each in seen]) for name in predictors}
    return {
        name: figures(predictor, pairs, embedded[name], teacher, leave_out, retrieval_s)
        | {"bags": of_bags, "trained_on": [each.of_bag["path"] for each in seen if each.sha256 in predictor.trained_on]}
        for name, predictor in predictors.items()
    }


def _check_alike(model: Predictor, current: Predictor) -> None:
    """Refuse models whose figures would be of other frames and of choices among other labels."""
    if apart := set(model.bank.names) ^ set(current.bank.names):
        raise UserError(
            f"--against {current.id}: its labels are not those of {model.id} (in one alone: "
            f"{', '.join(sorted(apart))}): pass --labels, for example config/labels/home.yaml, to ask both for the same"
        )


@dataclass(frozen=True)
class _Seen:
    """What is known of a bag's pairs, every model's view of them, and what is said of the bag itself.

    ``sha256``: of the bag, where a model says what it was trained on; else "".
    """

    pairs: Pairs
    embedded: dict[str, Embedded]
    of_bag: dict[str, Any]
    sha256: str = ""


def _one_pass(
    predictors: Mapping[str, Predictor],
    number: int,
    reader: PairReader,
    teacher: Reference | None,
    on_progress: Callable[[int], None],
) -> _Seen:
    """One bag; images are let go batch by batch."""
    known: list[Pairs] = []
    seen: dict[str, list[Embedded]] = {name: [] for name in predictors}
    stream, done = readable(reader), 0
    while batch := list(islice(stream, BATCH)):
        known.append(
            Pairs(
                np.array([pair.stamp_ns for pair in batch], np.int64),
                np.full(len(batch), number, np.int64),
                [pair.truth.room if pair.truth else "" for pair in batch],
                np.array([pair.truth.furniture_fraction if pair.truth else 0.0 for pair in batch]),
                None if teacher is None else teacher.encode(batch),
            )
        )
        for name, predictor in predictors.items():
            seen[name].append(predictor.embed(batch))
        on_progress(done := done + len(batch))
    return _Seen(all_pairs(known), {name: _joined(parts) for name, parts in seen.items()}, _of_bag(reader))


def _of_bag(reader: PairReader) -> dict[str, Any]:
    dropped = {reason: count for reason, count in reader.stats.items() if reason != "pairs"}
    return {
        "path": str(reader.path),
        "rgb": reader.streams.rgb,
        "depth": reader.streams.depth,
        "pairs": reader.stats["pairs"],
        "dropped": dropped,
        "losses": list(reader.losses),
    }


def _joined(parts: Sequence[Embedded]) -> Embedded:
    return Embedded(
        np.concatenate([part.rgb for part in parts]),
        np.concatenate([part.depth for part in parts]),
        np.concatenate([part.quality for part in parts], axis=1),
        parts[0].sees_depth,
    )
