"""An evaluation on the terminal: one narrow table for each question."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from edgevl_cli.tables import MODALITIES, figure_table, plain_console, show_losses

_HEADLINES = (
    *("top1", "macro", "top1_all_frames", "macro_all_frames", "teacher_agreement", "teacher_cosine"),
    *("abstention", "ece", "ece_teacher"),
)
_COVERAGES = (0.5, 0.8, 0.9, 1.0)
_MISTAKES = 8  # the commonest ones; the whole matrix is in the JSON and in the picture


def show_evaluation(numbers: Mapping[str, Any]) -> None:
    """What :func:`edgevl_train.evaluation.evaluate.evaluate` found."""
    from edgevl_train.evaluation.metrics.summary import MIN_FURNITURE, why_no_truth

    console = plain_console()
    console.print(f"{numbers['model']}: {numbers['samples']} pairs, {len(numbers['labels'])} labels")
    if "note" in numbers:
        console.print(f"note: {numbers['note']}; what stands under depth says nothing", highlight=False)
    for bag in numbers.get("bags", ()):
        dropped = "".join(f", {count} {reason}" for reason, count in bag["dropped"].items())
        console.print(
            f"{bag['path']}: {bag['pairs']} pairs of {bag['rgb']} and {bag['depth']}{dropped}", highlight=False
        )
        show_losses(bag["losses"], bag["path"])
    for each in (numbers, numbers.get("current", {})):
        if bags := ", ".join(each.get("trained_on", ())):
            console.print(
                f"note: {each['model']} was trained on {bags}: figures there say nothing of other places",
                highlight=False,
            )
    if numbers["other_rooms"]:
        rooms = ", ".join(f"{name} {frames}" for name, frames in numbers["other_rooms"].items())
        console.print(f"true rooms that are no label, left aside: {rooms}")
    if (bare := numbers["labelled"] - numbers["with_furniture"]) and numbers["with_furniture"]:
        console.print(
            f"true rooms of frames with a furniture_fraction below {MIN_FURNITURE}, left aside: {bare} of "
            f"{numbers['labelled']}"
        )
    console.print(_by_modality("by modality", _headlines(numbers)))
    if "current" in numbers:
        console.print(_by_modality(f"{numbers['current']['model']}, the same pairs", _headlines(numbers["current"])))
    if numbers["teacher_cosine_of_mean"] is not None:
        console.print(f"teacher cosine of the best constant embedding: {numbers['teacher_cosine_of_mean']:.3f}")
    if numbers["against"] is None:
        console.print(f"{why_no_truth(numbers)}; no --teacher: nothing to compare with", style="yellow")
        return
    if numbers["labelled"] and numbers["against"] == "teacher":
        console.print(why_no_truth(numbers), style="yellow")
    against = "the true rooms" if numbers["against"] == "truth" else "the teacher's answers"
    console.print(f"below: against {against}")
    console.print(_by_label(numbers["per_class"]))
    console.print(_mistakes(numbers["labels"], numbers["confusion"]))
    console.print(_abstention(numbers["abstention_curve"]))
    console.print(_angles(numbers["angles"]))
    if "unseen" in numbers:
        console.print(_unseen(numbers["unseen"]))
    if "unknown" in numbers:
        console.print(_unknown(numbers["unknown"]))
    if "retrieval" in numbers:
        console.print(_retrieval(numbers["retrieval"]))


def _headlines(numbers: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    return {name.replace("_", " "): numbers[name] for name in _HEADLINES}


def _by_modality(title: str, rows: Mapping[str, Mapping[str, float]], digits: int = 3) -> Table:
    """One column per modality; figures that were not measured are left out."""
    table = figure_table(title, "", *MODALITIES.values())
    for name, values in rows.items():
        if values:
            table.add_row(name, *(f"{values[modality]:.{digits}f}" for modality in MODALITIES))
    return table


def _by_label(per_class: Mapping[str, Any]) -> Table:
    table = figure_table("recall / precision by label", "", "frames", *MODALITIES.values())
    for label, row in per_class.items():
        both = ((row["recall"][modality], row["precision"][modality]) for modality in MODALITIES)
        table.add_row(label, str(row["n"]), *(f"{_share(recall)} / {_share(precision)}" for recall, precision in both))
    return table


def _mistakes(labels: list[str], confusion: Mapping[str, list[list[int]]]) -> Table:
    """The commonest confusions, most frequent over all modalities first."""
    table = figure_table("commonest mistakes, frames", "right -> answered", *MODALITIES.values())
    size = range(len(labels))
    found = {(i, j): [confusion[m][i][j] for m in MODALITIES] for i in size for j in size if i != j}
    for (i, j), counts in sorted(found.items(), key=lambda entry: -sum(entry[1]))[:_MISTAKES]:
        if any(counts):
            table.add_row(f"{labels[i]} -> {labels[j]}", *map(str, counts))
    return table


def _abstention(curves: Mapping[str, Any]) -> Table:
    rows = {
        f"surest {share:.0%}": {m: _accuracy_at(curve, share) for m, curve in curves.items()} for share in _COVERAGES
    }
    area = {"area under the curve": {modality: curve["area"] for modality, curve in curves.items()}}
    return _by_modality("accuracy where only the surest are answered", rows | area)


def _accuracy_at(curve: Mapping[str, Any], share: float) -> float:
    """Accuracy at the first point of the curve that covers at least this share; the last one covers all."""
    points = zip(curve["coverage"], curve["accuracy"])
    return float(next(accuracy for coverage, accuracy in points if coverage >= share))


def _angles(angles: Mapping[str, Any]) -> Table:
    rows = {}
    for kind, name in (("right", "right label"), ("wrong", "nearest wrong")):
        found = {modality: kinds[kind] for modality, kinds in angles.items() if kind in kinds}
        for figure in ("mean", "std"):
            rows[f"{name}, {figure}"] = {modality: each[figure] for modality, each in found.items()}
        for decile in (1, 5, 9):
            rows[f"{name}, {decile}0 %"] = {modality: each["deciles"][decile - 1] for modality, each in found.items()}
    return _by_modality("degrees between image and text", rows, digits=1)


def _unknown(unknown: Mapping[str, Any]) -> Table:
    frames, roc, at = unknown["frames"], unknown["roc"], unknown["at_threshold"]
    rows = {
        "AUROC": {modality: roc[modality]["auroc"] for modality in roc},
        "caught at 10 % false unknowns": {modality: roc[modality]["caught_at_10_percent"] for modality in roc},
        "caught by the threshold": {modality: at[modality]["caught"] for modality in at},
        "false unknowns by the threshold": {modality: at[modality]["false_unknown"] for modality in at},
    }
    left_out = ", ".join(unknown["left_out"])
    return _by_modality(f"unknown: {left_out}, {frames['unknown']} frames among {frames['known']} others", rows)


def _unseen(unseen: Mapping[str, Any]) -> Table:
    labels = ", ".join(unseen["labels"])
    rows = {"right": unseen["top1"]}
    if unseen["teacher_top1"] is not None:
        rows["teacher, RGB"] = dict.fromkeys(MODALITIES, unseen["teacher_top1"])
    return _by_modality(f"words that adaptation never saw: {labels}, {unseen['frames']} frames", rows)


def _retrieval(found: Mapping[str, Any]) -> Table:
    title = f"teacher's RGB within {found['window_s']:g} s retrieved first, of {found['pairs']}"
    return _by_modality(title, {"found": found["first"], "chance": dict.fromkeys(MODALITIES, found["chance"])})


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
