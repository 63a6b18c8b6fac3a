"""What benchmarks/real_rooms.py prints."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

COLUMNS = {"rgb": "RGB", "depth": "depth", "rgbd": "both"}


def show(figures: Mapping[str, Any]) -> None:
    """Two tables: rooms that are known; a camera with holes."""
    rows = figures["rows"]
    table = Table(
        title=f"real rooms: {rows['frames']} frames of {rows['sequences']} sequences, five rooms, "
        f"{rows['seeds']} seed(s); top-1 (95 %) / macro",
        title_justify="left",
    )
    table.add_column("")
    for name in COLUMNS.values():
        table.add_column(name, justify="right")
    for kind, by in rows["by"].items():
        table.add_row(kind, *(_cell(by[name]) if name in by else "" for name in COLUMNS))
    console = Console(width=120)
    console.print(table)
    raw = figures["raw"]
    holes = Table(
        title=f"raw depth: {raw['pairs']} pairs of another camera, {raw['holes']:.0%} of their depth missing",
        title_justify="left",
    )
    holes.add_column("")
    for name in COLUMNS.values():
        holes.add_column(name, justify="right")
    for key in ("cosine", "agreement"):
        found = raw[key]
        label = f"{key} with the teacher"
        holes.add_row(label, *(f"{found[name]:.3f}" if name in found else "" for name in COLUMNS))
    for key, label in (("whole", "rooms of fold 0"), ("punched", "with those holes")):
        holes.add_row(label, *(_cell(raw[key][name]) for name in COLUMNS))
    console.print(holes)
    print(f"all students trained and judged in {figures['minutes']:.0f} minutes")


def _cell(found: Mapping[str, Any]) -> str:
    top1, low, high = found["top1"]
    spread = f" ± {found['spread']:.3f}" if found.get("spread") is not None else ""
    return f"{top1:.3f}{spread} ({low:.3f}-{high:.3f}) / {found['macro'][0]:.3f}"
