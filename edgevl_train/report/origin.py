"""What a run's student was made from, where that is more than a name: other runs, pruning, weights of fewer bits."""

from collections.abc import Mapping
from typing import Any

from edgevl_train.report.run_files import RunFiles


def origin(files: RunFiles) -> dict[str, Any] | None:
    """Sentences, and of a merged student a row for each run; None where there is nothing to say."""
    student, teacher = (files.recipe.get(section, {}) for section in ("student", "teacher"))
    told = [*_beginning(student), *_taught(teacher), *_bits(files.recipe.get("stage2", {}))]
    merged = files.report.get("merged")
    if not told and not merged:
        return None
    return {"told": told, "merged": _merged(merged) if merged else None}


def _beginning(student: Mapping[str, Any]) -> list[str]:
    start, share, widths = student.get("start_from"), student.get("prune_share"), student.get("widths") or {}
    pruned = f"; {len(widths)} of its layers are narrower than those of a whole {student.get('name')}" if widths else ""
    if start and share:
        return [f"It began with the student of {start}, {100 * share:g}% of whose channels were taken out{pruned}."]
    return [f"It went on from the student of {start}{pruned}."] if start else []


def _taught(teacher: Mapping[str, Any]) -> list[str]:
    students, share = teacher.get("students") or [], teacher.get("students_share", 1.0)
    if not students:
        return []
    beside = "in the teacher's place" if share == 1 else f"beside the teacher, as {100 * share:g}% of each target"
    return [f"It learned what {len(students)} students answer {beside}: {', '.join(map(str, students))}."]


def _bits(stage2: Mapping[str, Any]) -> list[str]:
    bits = stage2.get("weight_bits", 8)
    found = [f"of {bits} bits"] if bits != 8 else []
    found += ["with one scale a layer"] if stage2.get("weight_scale", "per_channel") == "per_tensor" else []
    found += ["with scales that are powers of two"] if stage2.get("power_of_two") else []
    return [f"The weights of its int8 files are {', '.join(found)}."] if found else []


def _merged(merged: Mapping[str, Any]) -> dict[str, Any]:
    """Runs by falling score alone, with what was taken of each; then the average of all, and what was made."""
    scores, blocks = dict(merged["scores"]), merged["parts"].get("blocks", {})
    average = scores.pop("average")
    rows = []
    for run, score in sorted(scores.items(), key=lambda entry: -entry[1]):
        own = [block for block, chosen in blocks.items() if chosen == run]
        taken = "averaged" if run in merged["parts"]["runs"] else "left out"
        rows.append({"run": run, "score": score, "taken": ", ".join([taken, *(f"{block} whole" for block in own)])})
    return {"choice": merged["choice"], "rows": rows, "average": average, "score": merged["score"]}
