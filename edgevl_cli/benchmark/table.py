"""A benchmark on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from edgevl_cli.console import size
from edgevl_cli.tables import figure_table


def show(numbers: Mapping[str, Any], console: Console | None = None) -> None:
    """The machine, the table of models or of students, the node's path, what was left out and why."""
    console = console or Console()
    m, settings = numbers["machine"], numbers["settings"]
    console.print(
        f"{m['cpu']}, {m['cores']} cores, {' '.join(m['flags']) or 'no integer instructions known'}; "
        f"{', '.join(f'{name} {version}' for name, version in m['versions'].items())}",
        highlight=False,
    )
    console.print(
        f"load {numbers['load']['start']:.2f} at the start, {numbers['load']['end']:.2f} at the end; "
        f"{settings['rounds']} interleaved rounds; int8 peak of a core {numbers['peak_int8_gmac_s']:.0f} GMAC/s",
        highlight=False,
    )
    console.print(_models(numbers["rows"]))
    if numbers["students"]:
        console.print(_students(numbers["students"]))
    if numbers["node"] is not None:
        console.print(_node(numbers["node"]))
    for line in numbers["left_out"]:
        console.print(f"[yellow]left out:[/yellow] {line}", highlight=False)
    if numbers["accuracy"] is not None:
        console.print(_accuracy(numbers["accuracy"]))
    if numbers["budget"] is not None:
        console.print(_budget(numbers["budget"], numbers["students"]), highlight=False)


def _models(rows: Sequence[Mapping[str, Any]]) -> Table:
    teachers = [row["model"] for row in rows if row["kind"] == "teacher"]
    wide = any(row["all_threads_ms"] for row in rows)
    columns = ["", "px", "M par.", "GMAC", "MB", "ms, 1 thread", "quartiles", *(["ms, all cores"] if wide else [])]
    columns += ["x float", *(f"x {name}" for name in teachers), "GMAC/s", "of peak"]
    table = figure_table("latency of one image; x: how many times faster", *columns)
    for row in rows:
        gain = row["times_faster_than_float"]
        runtime = "" if row["runtime"] == "ONNX Runtime" else f", {row['runtime']}"
        table.add_row(
            f"{row['model']} {row['precision']}{runtime}",
            str(row["size_px"]),
            f"{row['parameters'] / 1e6:.1f}",
            _number(row["gmacs"], 2),
            f"{row['bytes'] / 1e6:.1f}",
            _number(row["ms"]["median"], 2),
            f"{row['ms']['q1']:.2f}-{row['ms']['q3']:.2f}",
            *([_number(row["all_threads_ms"] and row["all_threads_ms"]["median"], 2)] if wide else []),
            _number(gain and gain["median"], 2),
            *(_number(row["times_faster_than_teacher"].get(name), 1) for name in teachers),
            _number(row["gmac_s"], 0),
            "-" if row["of_int8_peak"] is None else f"{row['of_int8_peak']:.0%}",
            end_section=row is rows[-1],
        )
    return table


def _students(students: Sequence[Mapping[str, Any]]) -> Table:
    table = figure_table(
        "students",
        "",
        "px",
        "M par.",
        "GMAC",
        "int8 size",
        "float ms",
        "int8 ms",
        "gain",
        "best int8",
        "int8 helps here",
    )
    for entry in students:
        table.add_row(
            entry["model"],
            str(entry["size_px"]),
            f"{entry['parameters'] / 1e6:.1f}",
            _number(entry["gmacs"], 2),
            size(entry["int8_bytes"]),
            f"{entry['float_ms']:.2f}",
            f"{entry['int8_ms']:.2f}",
            f"{entry['int8_gain']:.2f}",
            entry["best_int8"],
            "yes" if entry["int8_helps"] else "no",
        )
    return table


def _node(node: Mapping[str, Any]) -> Table:
    title = f"scene_classifier, a pair of 640x480, {node['model']}: {node['not_inference']:.0%} is not inference"
    table = figure_table(title, "", "ms", "quartiles")
    for part, ms in node["parts"].items():
        table.add_row(part, f"{ms['median']:.3f}", f"{ms['q1']:.3f}-{ms['q3']:.3f}")
    table.add_row("sum", f"{node['total_ms']:.3f}", "")
    return table


def _accuracy(accuracy: Mapping[str, Mapping[str, float]]) -> Table:
    table = figure_table("top-1 of the bundle on the bag", "", "RGB", "depth", "RGB + depth")
    for precision, top1 in accuracy.items():
        table.add_row(precision, *(f"{top1[modality]:.3f}" for modality in ("rgb", "depth", "rgbd")))
    return table


def _budget(budget: Mapping[str, Any], students: Sequence[Mapping[str, Any]]) -> str:
    if budget["student"] is not None:
        return f"largest student within {budget['ms']:g} ms here: {budget['student']}"
    fastest = min(students, key=lambda entry: min(entry["float_ms"], entry["int8_ms"]))
    best_ms = min(fastest["float_ms"], fastest["int8_ms"])
    return f"no student fits into {budget['ms']:g} ms here; the fastest, {fastest['model']}, takes {best_ms:.2f} ms"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
