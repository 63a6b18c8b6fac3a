"""Deploy or not: how the new student, the one before it and the teacher answer, by the teacher's own answers.

Agreement is with the teacher's answer to the lit RGB image, on pairs that nothing was trained on. What the teacher gets
wrong, the student may get wrong with it: no true room is known here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.bundle.fusion import Trust, depth_quality, mix, rgb_quality
from edgevl_train.data.run_data import RunData, spread
from edgevl_train.evaluation.trust import Embed, darkened

DIM_GAIN = 0.2  # a room at dusk: the teacher is right in a sixth to a half of such images
LOST = 0.01  # agreement that may be lost, on this home or on earlier ones, beyond one standard error of the difference
ROUNDING = 1e-9  # agreements are shares of a count of pairs: differences below this are no pairs
MOST_PAIRS = 512  # of this home, and of the earlier ones, each looked at in two lights
USEFUL = 0.7  # agreement from which on a student that replaces none is worth having
COLUMNS = ("rgb", "depth", "rgbd", "rgb_dim", "rgbd_dim")


@dataclass(frozen=True)
class Decision:
    """What a person, or adaptation_manager, decides by.

    Attributes:
        deploy: whether the student should be used; sentence: whether and why, one line.
        rows: pseudo-label (or "all", "earlier homes") -> {"pairs", "teacher_dim", "adapted": {column: agreement},
            "base": likewise, and "error": of their difference, both absent without a base}. Columns: rgb, depth,
            rgbd (both), and rgb_dim, rgbd_dim with a fifth of the light.
    """

    deploy: bool
    sentence: str
    rows: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Judged:
    """A student to compare: its network and how far each of its cameras is believed."""

    embed: Embed
    trust: Trust


def decide(
    data: RunData,
    labels: Sequence[str],
    adapted: Judged,
    base: Judged | None,
    teacher: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    doubts: Sequence[str],
) -> Decision:
    """Compare on the validation pairs of this home, and of the runs that are replayed.

    Args:
        labels: C names, in the order of ``data.bank``.
        teacher: (M, C, C, 3) uint8 RGB -> (M, D): what it makes of dark pictures.
        doubts: why validation should not be believed; empty where it may be.
    """
    rows = spread(data.val, MOST_PAIRS)
    rgb, depth, answer = _pairs([(data, rows)])
    hits = {"adapted": _hits(adapted, rgb, depth, answer, data.bank)}
    if base is not None:
        hits["base"] = _hits(base, rgb, depth, answer, data.bank)
    dim = (teacher(darkened(data.cache.wide_rgb[rows], DIM_GAIN)) @ data.bank.T).argmax(1) == answer
    table = {labels[label]: _row(answer == label, dim, hits) for label in np.unique(answer)}
    table["all"] = _row(np.ones(len(answer), bool), dim, hits)
    if base is not None and any(len(part.val) for part in data.replay):
        parts = [part for part in data.replay if len(part.val)]
        pictures = _pairs([(part, spread(part.val, max(1, MOST_PAIRS // len(parts)))) for part in parts])
        both = {"adapted": _hits(adapted, *pictures, data.bank), "base": _hits(base, *pictures, data.bank)}
        table["earlier homes"] = _row(np.ones(len(pictures[2]), bool), None, both)
    return Decision(*_verdict(table, doubts), table)


def _pairs(
    sources: Sequence[tuple[RunData, NDArray[np.int64]]],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """RGB, depth and the teacher's answer of some rows of each source."""
    rgb = np.concatenate([part.cache.full_rgb[rows] for part, rows in sources])
    depth = np.concatenate([part.cache.full_depth[rows] for part, rows in sources])
    return rgb, depth, np.concatenate([part.answers(rows) for part, rows in sources])


def _hits(
    student: Judged,
    rgb: NDArray[np.uint8],
    depth: NDArray[np.uint8],
    answer: NDArray[np.int64],
    bank: NDArray[np.float32],
) -> dict[str, NDArray[np.bool_]]:
    """Column -> (M,) bool, where the student gives the teacher's answer."""
    of_depth, trust_depth = student.embed(depth), depth_quality(depth, student.trust.depth)
    embeddings = {"depth": of_depth}
    for suffix, pixels in (("", rgb), ("_dim", darkened(rgb, DIM_GAIN))):
        of_rgb = student.embed(pixels)
        weights = np.stack([rgb_quality(pixels, student.trust.rgb), trust_depth])
        embeddings |= {f"rgb{suffix}": of_rgb, f"rgbd{suffix}": mix(np.stack([of_rgb, of_depth]), weights)}
    return {name: (embeddings[name] @ bank.T).argmax(1) == answer for name in COLUMNS}


def _row(
    chosen: NDArray[np.bool_], dim: NDArray[np.bool_] | None, hits: Mapping[str, Mapping[str, NDArray[np.bool_]]]
) -> dict[str, Any]:
    figures = {who: {name: float(right[chosen].mean()) for name, right in by.items()} for who, by in hits.items()}
    if "base" in hits:
        changed = {name: hits["adapted"][name][chosen] * 1.0 - hits["base"][name][chosen] for name in COLUMNS}
        figures["error"] = {name: float(change.std() / np.sqrt(len(change))) for name, change in changed.items()}
    return {"pairs": int(chosen.sum()), "teacher_dim": None if dim is None else float(dim[chosen].mean()), **figures}


def _verdict(rows: Mapping[str, Mapping[str, Any]], doubts: Sequence[str]) -> tuple[bool, str]:
    now = rows["all"]["adapted"]
    figures = f"agrees with the teacher on {now['rgb']:.0%} from RGB, {now['depth']:.0%} from depth"
    if doubts:
        return False, f"do not deploy it unseen: {doubts[0]}"
    if "base" not in rows["all"]:
        good = min(now["rgb"], now["depth"]) >= USEFUL
        return good, f"deploy: it {figures}" if good else f"do not deploy: it {figures}, less than {USEFUL:.0%}"
    before = rows["all"]["base"]
    gain = _change(rows["all"])
    change = "in this home " + ", ".join(
        f"{text} {before[name]:.0%} -> {now[name]:.0%}" for name, text in (("rgb", "RGB"), ("depth", "depth"))
    )
    if earlier := rows.get("earlier homes"):
        lost = max(0.0, *(-value for value in _change(earlier).values()))
        change += f"; earlier homes lose at most {lost:.1%}"
        if _loses(earlier):
            return False, f"keep the student it began with: {change}, clearly more than the {LOST:.0%} that may be lost"
    else:
        change += "; what earlier homes lose was not measured, nothing is replayed"
    if _loses(rows["all"]) or sum(gain.values()) < -ROUNDING:
        return False, f"keep the student it began with: {change}"
    return True, f"deploy: {change}"


def _change(row: Mapping[str, Any]) -> dict[str, float]:
    """Agreement won since the base, RGB and depth."""
    return {name: row["adapted"][name] - row["base"][name] for name in ("rgb", "depth")}


def _loses(row: Mapping[str, Any]) -> bool:
    """Whether RGB or depth loses more than may be lost, and more than so few pairs leave to chance."""
    return any(-won > LOST + row["error"][name] + ROUNDING for name, won in _change(row).items())
