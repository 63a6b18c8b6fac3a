"""The table at the end of ``edgevl adapt``: by the teacher's answers, what the student is worth, and what to do."""

from collections.abc import Mapping
from typing import Any

from edgevl_cli.tables import figure_table, plain_console

COLUMNS = {"rgb": "RGB", "depth": "depth", "rgbd": "both", "rgb_dim": "RGB\ndim", "rgbd_dim": "both\ndim"}


def show_decision(decision: Mapping[str, Any]) -> None:
    """What :class:`edgevl_train.evaluation.decision.Decision` holds, as in report.json."""
    rows = decision["rows"]
    changes = ": before→now, or one number for both" if "base" in rows["all"] else ""
    title = f"% of validation pairs with the teacher's answer to the lit RGB{changes}\ndim: with a fifth of the light"
    table = figure_table(title, "teacher says", "pairs", "teacher\ndim", *COLUMNS.values())
    for name, row in rows.items():
        if name == "all":
            table.add_section()
        cells = (_cell(row, column) for column in COLUMNS)
        dim = "" if row["teacher_dim"] is None else _percent(row["teacher_dim"])
        table.add_row(name, str(row["pairs"]), dim, *cells)
    console = plain_console()
    console.print(table)
    colour = "green" if decision["deploy"] else "yellow"
    console.print(decision["sentence"], style=f"bold {colour}", highlight=False)


def _cell(row: Mapping[str, Any], column: str) -> str:
    now = _percent(row["adapted"][column])
    before = _percent(row["base"][column]) if "base" in row else now
    return now if before == now else f"{before}→{now}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"
