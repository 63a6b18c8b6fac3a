"""What benchmarks/one_home.py prints: every bound with its figure and spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

Figures = Mapping[str, Any]
CAMERAS = ("rgb", "depth")


@dataclass(frozen=True)
class Row:
    """One bound. figure: a mean over runs unless ``what`` says otherwise; spread: standard deviation over seeds."""

    what: str
    figure: float
    spread: float
    bound: float
    at_least: bool = True

    @property
    def reached(self) -> bool:
        """Whether the figure keeps the bound."""
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound


def bounds(figures: Figures) -> list[Row]:
    """The bounds of the parts that were measured."""
    rows = _of_scratch(_runs(figures, "scratch"))
    rows += _of_adapted(_runs(figures, "adapted"), figures)
    for part in ("scratch", "adapted"):
        rows += _of_light(part, _runs(figures, part))
    words = {share: _words(figures, share) for share in ("0.75", "0.0")}
    strict = _runs(figures, "strict")
    asked = [(f"words never entered, replay {share}: under the teacher", runs) for share, runs in words.items()]
    asked.append(("words of no bag: under the teacher", strict))
    return rows + [_mean(what, runs, _under_teacher, 0.10, at_least=False) for what, runs in asked if runs]


def _of_scratch(runs: Figures) -> list[Row]:
    if not runs:
        return []
    rows = [_mean(f"from scratch, {name}", runs, _lit(name), 0.93) for name in CAMERAS]
    return rows + [_worst_home(f"from scratch, {name}, worst home", runs, _lit(name), 0.85) for name in CAMERAS]


def _of_adapted(runs: Figures, figures: Figures) -> list[Row]:
    if not runs:
        return []
    rows = [_mean(f"from a base, {name}", runs, _lit(name), bound) for name, bound in (("rgb", 0.97), ("depth", 0.95))]
    for name in CAMERAS:
        what = f"from a base, {name}, least gain of a home"
        rows.append(_worst_home(what, runs, lambda f, n=name: _lit(n)(f) - f["before"][n], -0.01))
    for name in CAMERAS:
        base = {key: figures[f"base/{key.split('/')[1]}"][name] for key in runs}
        lost = {key: {"x": base[key] - found["others"][name]} for key, found in runs.items()}
        rows.append(_mean(f"lost on other homes, {name}", lost, lambda f: f["x"], 0.01, at_least=False))
    return rows


def _of_light(part: str, runs: Figures) -> list[Row]:
    if not runs:
        return []
    rows = [
        _mean(f"{part}, light {gain}: both - better camera", runs, lambda f, g=gain: _fusion(f, g), -0.01)
        for gain in next(iter(runs.values()))["light"]
    ]
    rows.append(_mean(f"{part}, RGB at light 0.3", runs, lambda f: f["light"]["0.3"]["rgb"], 0.75))
    return rows + [
        _mean(f"{part}, unknown caught at 10 %, {name}", runs, lambda f, n=name: f["unknown"][n]["caught"], 0.6)
        for name in (*CAMERAS, "rgbd")
    ]


def _words(figures: Figures, share: str) -> Figures:
    return {key: found for key, found in _runs(figures, "words").items() if key.endswith(f"/{share}")}


def show(rows: Sequence[Row], figures: Figures) -> None:
    """The bounds; then the mean figures in any light."""
    table = Table(title="one home, judged on another day (simulated; mean, ± over seeds)", title_justify="left")
    for column in ("", "figure", "bound", ""):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        sign = "≥" if row.at_least else "≤"
        mark = "[green]reached[/green]" if row.reached else "[red]not reached[/red]"
        table.add_row(row.what, f"{row.figure:.3f} ± {row.spread:.3f}", f"{sign} {row.bound:g}", mark)
    console = Console(width=110)
    console.print(table)
    light = Table(title="top-1 by light: RGB / depth / both", title_justify="left")
    kinds = [kind for kind in ("teacher", "scratch", "adapted") if _runs(figures, kind)]
    for column in ("light", *kinds):
        light.add_column(column, justify="right")
    for gain in next(iter(_runs(figures, "teacher").values()))["light"]:
        cells = []
        for kind in kinds:
            found = [f["light"][gain] for f in _runs(figures, kind).values()]
            cells.append(" / ".join(f"{np.mean([f[name] for f in found]):.3f}" for name in ("rgb", "depth", "rgbd")))
        light.add_row(gain, *cells)
    console.print(light)
    if adapted := _runs(figures, "adapted"):
        print(f"the decision was to deploy in {sum(f['deploy'] for f in adapted.values())} of {len(adapted)} homes")


def _runs(figures: Figures, part: str) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if key.startswith(f"{part}/")}


def _lit(name: str) -> Any:
    return lambda f: f["light"]["1.0"][name]


def _fusion(f: Figures, gain: str) -> float:
    by = f["light"][gain]
    return float(by["rgbd"] - max(by["rgb"], by["depth"]))


def _under_teacher(f: Figures) -> float:
    """The teacher sees RGB alone; the student's figure is the mean of RGB and depth."""
    student = f.get("adapted") or f["student"]
    return float(f["teacher"]["rgb"] - (student["rgb"] + student["depth"]) / 2)


def _by_seed(runs: Figures, value: Any) -> list[list[float]]:
    seeds = sorted({key.split("/")[1] for key in runs})
    return [[value(f) for key, f in runs.items() if key.split("/")[1] == seed] for seed in seeds]


def _mean(what: str, runs: Figures, value: Any, bound: float, at_least: bool = True) -> Row:
    means = [float(np.mean(values)) for values in _by_seed(runs, value)]
    return Row(what, float(np.mean(means)), _spread(means), bound, at_least)


def _worst_home(what: str, runs: Figures, value: Any, bound: float) -> Row:
    """The lowest of all homes, each the mean over its seeds; spread: of the lowest one by seed."""
    homes = sorted({key.split("/")[2] for key in runs})
    of_home = [float(np.mean([value(f) for key, f in runs.items() if key.split("/")[2] == home])) for home in homes]
    return Row(what, min(of_home), _spread([min(values) for values in _by_seed(runs, value)]), bound)


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
