"""The table at the end of ``edgevl adapt``: by the teacher's answers, what the student is worth, and what to do."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from edgevl_cli.tables import figure_table

COLUMNS = {"rgb": "RGB", "depth": "depth", "rgbd": "both", "rgb_dim": "RGB, dim", "rgbd_dim": "both, dim"}


def show_decision(decision: Mapping[str, Any]) -> None:
    """What :class:`edgevl_train.decision.Decision` holds, as in report.json."""
    rows = decision["rows"]
    compared = "base" in rows["all"]
    of = "before -> now" if compared else "now"
    title = (
        f"agreement with the teacher's answer to the lit RGB image, validation pairs, {of}; dim: a fifth of the light"
    )
    table = figure_table(title, "the teacher says", "pairs", "teacher, dim", *COLUMNS.values())
    for name, row in rows.items():
        if name == "all":
            table.add_section()
        cells = (_cell(row, column) for column in COLUMNS)
        dim = "" if row["teacher_dim"] is None else f"{row['teacher_dim']:.2f}"
        table.add_row(name, str(row["pairs"]), dim, *cells)
    console = Console()
    console.print(table)
    colour = "green" if decision["deploy"] else "yellow"
    console.print(f"[bold {colour}]{decision['sentence']}[/bold {colour}]", highlight=False)


def _cell(row: Mapping[str, Any], column: str) -> str:
    now = f"{row['adapted'][column]:.2f}"
    return f"{row['base'][column]:.2f} -> {now}" if "base" in row else now
