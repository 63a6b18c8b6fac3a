"""The figures of a run: what was measured, the bound it is held to, and one table of them all."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        part: what was measured: "pair_logger", "scene_classifier", ...
        what: the figure in words.
        value: nan where it could not be measured.
        most, least: bounds, inclusive; None: no bound in this direction.
    """

    part: str
    what: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the bounds hold (nan reaches none); None where there are none."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    @property
    def bound(self) -> str:
        """The bounds in words."""
        parts = (("at most", self.most), ("at least", self.least))
        return ", ".join(f"{word} {limit:g}" for word, limit in parts if limit is not None)


def table(rows: Sequence[Row], title: str) -> Table:
    """All rows, the part named where it changes."""
    made = Table(title=title)
    for heading in ("", "figure", "measured", "unit", "bound", "reached"):
        made.add_column(heading, justify="right" if heading == "measured" else "left")
    part = ""
    for row in rows:
        reached = {True: "[green]yes[/]", False: "[red]NO[/]", None: ""}[row.reached]
        if row.part != part and part:
            made.add_section()
        made.add_row("" if row.part == part else row.part, row.what, f"{row.value:.4g}", row.unit, row.bound, reached)
        part = row.part
    return made


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The rows for machines."""
    return [{**vars(row), "reached": row.reached} for row in rows]
