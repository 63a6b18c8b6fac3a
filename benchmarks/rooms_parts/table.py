"""What benchmarks/rooms.py prints: every figure with its spread over students, and the bounds."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from rooms_parts.figures import FIGURES

Figures = Mapping[str, Any]  # "student/home/light" -> case -> method -> figure
BOUNDS = {
    "lit": {"rooms": 0.97, "cells": 0.95, "places": 0.98, "goals": 0.97},
    "dark": {"rooms": 0.95, "cells": 0.95, "places": 0.98, "goals": 0.97},
}
COLUMNS = {
    "rooms": "rooms named rightly",
    "cells": "free cells in the right room",
    "places": "room of the robot's places",
    "goals": "goal lies in the asked room",
}


class Spread(NamedTuple):
    """Mean over students of their means over homes, and the least and the most of these."""

    mean: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.least:.3f}-{self.most:.3f})"


def spread(figures: Figures, light: str, case: str, method: str, figure: str) -> Spread:
    """Of one figure."""
    by_student: dict[str, list[float]] = {}
    for key, found in figures.items():
        student, _, lit = key.split("/")
        if lit == light:
            by_student.setdefault(student, []).append(found[case][method][figure])
    means = [float(np.mean(values)) for values in by_student.values()]
    return Spread(float(np.mean(means)), min(means), max(means))


def missed(figures: Figures) -> list[str]:
    """The bounds that the room map does not reach, one sentence each."""
    found = []
    for light, case in _told(figures):
        for figure, least in BOUNDS[light].items():
            mean = spread(figures, light, case, "room map", figure).mean
            if mean < least:
                found.append(f"{light}, {case}: {COLUMNS[figure]} {mean:.3f}, the bound is {least}")
    return found


def show(figures: Figures) -> None:
    """One table; then what was not reached."""
    students, homes = ({key.split("/")[part] for key in figures} for part in (0, 1))
    title = f"{len(homes)} unseen homes, {len(students)} students: mean (least and most student)"
    table = Table(title=title, title_justify="left")
    for column in ("light", "case", "poses off by", "frames alone", "method", *COLUMNS.values()):
        table.add_column(column)
    for light, case in _told(figures):
        first = [light, case, f"{spread(figures, light, case, 'frames', 'astray_m').mean:.2f} m"]
        first.append(f"{spread(figures, light, case, 'frames', 'right').mean:.3f}")
        for method in (name for name in next(iter(figures.values()))[case] if name != "frames"):
            cells = (str(spread(figures, light, case, method, figure)) for figure in FIGURES)
            table.add_row(*first, method, *cells)
            first = [""] * len(first)
        table.add_section()
    Console(width=170).print(table)
    for sentence in missed(figures):
        print(f"not reached: {sentence}")


def _told(figures: Figures) -> list[tuple[str, str]]:
    """Lights and cases in the order in which they were measured."""
    return list(dict.fromkeys((key.split("/")[2], case) for key, found in figures.items() for case in found))
