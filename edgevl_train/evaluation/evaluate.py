"""How good a model is on bags: against the true rooms where known, against a teacher elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgevl_core.base.errors import UserError
from edgevl_core.pairlog.pairs import MAX_SKEW_S, PairReader, PairSettings, RgbdPair
from edgevl_core.pairlog.readable import readable
from edgevl_train.evaluation.metrics.confusion import confusion_matrix, top1_and_macro
from edgevl_train.evaluation.metrics.label_sets import named_rows, split_bank
from edgevl_train.evaluation.metrics.summary import Pairs, figures
from edgevl_train.evaluation.predictions import Embedded
from edgevl_train.evaluation.predictors import Predictor, Reference, label_set_of, load_predictor, teacher_reference
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
) -> dict[str, Any]:
    """Evaluate one model; see :func:`evaluate_all` for the figures.

    Args:
        model: a bundle's directory, a run directory or a checkpoint in it, or a teacher's spec.
        against: another one, evaluated on the very same pairs in the same pass; the teacher sees them as it does for
            ``model``.
        labels: label file; None: the bundle's own labels.
        teacher: compare with this teacher too.
        rgb, depth: topics of the bags, found by type when None.
        max_skew_s: largest difference of stamps within a pair; None: that of the model's own training where it is
            known, else the usual one.
        on_progress: called with the number of pairs done.

    Returns:
        The figures of ``model``; with ``against``, that one's under "current"; "note" where its figures need one.

    Raises:
        UserError: no pairs, too many that cannot be decoded, a model that is refused, a teacher without labels.
    """
    other = load_teacher(teacher) if isinstance(teacher, str) else teacher
    predictor = load_predictor(model, labels, other)
    predictors = {"model": predictor}
    if against is not None:
        predictors["current"] = load_predictor(against, labels, other)
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
) -> dict[str, dict[str, Any]]:
    """Evaluate several models in one pass over the bags, in which each embeds every image once.

    Args:
        leave_out: labels (or synonyms) taken out of the label set; the frames that show them are the unknowns.
        settings: which pairs of the bags.
        retrieval_s: look how often the teacher's embedding within so many seconds is the nearest one.

    Returns:
        Per model the figures of :func:`edgevl_train.evaluation.metrics.summary.figures`, and ``bags``: for each its
        path, topics, pairs, dropped messages by reason, and losses of the reader.

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
    readers: list[PairReader] = []
    pairs, embedded = _one_pass(predictors, _pairs(bags, settings, readers), teacher, on_progress)
    of_bags = [_of_bag(reader) for reader in readers]
    return {
        name: figures(predictor, pairs, embedded[name], teacher, leave_out, retrieval_s) | {"bags": of_bags}
        for name, predictor in predictors.items()
    }


def _one_pass(
    predictors: Mapping[str, Predictor],
    stream: Iterator[tuple[int, RgbdPair]],
    teacher: Reference | None,
    on_progress: Callable[[int], None],
) -> tuple[Pairs, dict[str, Embedded]]:
    """What is known of all pairs, and every model's view of them; images are let go batch by batch."""
    stamp_ns: list[int] = []
    bag_of: list[int] = []
    room: list[str] = []
    furniture: list[float] = []
    reference = []
    seen: dict[str, list[Embedded]] = {name: [] for name in predictors}
    while batch := list(islice(stream, BATCH)):
        pairs = [pair for _, pair in batch]
        bag_of += [number for number, _ in batch]
        stamp_ns += [pair.stamp_ns for pair in pairs]
        room += [pair.truth.room if pair.truth else "" for pair in pairs]
        furniture += [pair.truth.furniture_fraction if pair.truth else 0.0 for pair in pairs]
        for name, predictor in predictors.items():
            seen[name].append(predictor.embed(pairs))
        if teacher is not None:
            reference.append(teacher.encode(pairs))
        on_progress(len(room))
    known = Pairs(
        np.array(stamp_ns, np.int64),
        np.array(bag_of, np.int64),
        room,
        np.array(furniture),
        np.concatenate(reference) if reference else None,
    )
    return known, {name: _joined(parts) for name, parts in seen.items()}


def _pairs(bags: Sequence[Path], settings: PairSettings, readers: list[PairReader]) -> Iterator[tuple[int, RgbdPair]]:
    """The pairs of all bags with the bag's number; each bag's reader is added to ``readers``."""
    for number, bag in enumerate(bags):
        readers.append(settings.read(bag))
        for pair in readable(readers[-1]):
            yield number, pair


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
    )
