"""A benchmark on the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from math import floor, log10
from textwrap import wrap
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgevl_cli.benchmark.files import DYNAMIC, FLOAT, TRAINED
from edgevl_cli.benchmark.run import ONNX_RUNTIME
from edgevl_cli.console import size
from edgevl_cli.tables import figure_table, plain_console

_SMALL_SHARE = 0.01
_NAME_WIDTH = 8  # of a teacher at the head of a column


def show(numbers: Mapping[str, Any], console: Console | None = None) -> None:
    """The machine, the table of models or of students, the node's path, what was left out and why."""
    console = console or plain_console()
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
    if numbers["busy"]:
        warning = "other programs were running: trust ratios, and times no further than their quartiles"
        console.print(warning, style="yellow")
    for table in _tables(numbers):
        console.print()
        console.print(table)
    for line in numbers["left_out"]:
        console.print(Text("left out: ", style="yellow").append(line, style="default"))
    if numbers["budget"] is not None:
        console.print(_budget(numbers["budget"], numbers["students"]), highlight=False)


def show_operators(name: str, found: Mapping[str, Sequence[Mapping[str, Any]]], console: Console | None = None) -> None:
    """A table for each of a model's files; operators below one per cent are summed up."""
    console = console or plain_console()
    for precision, operators in found.items():
        total_ms = sum(entry["ms"] for entry in operators)
        title = f"{name} {precision}, {ONNX_RUNTIME}: {total_ms:.2f} ms"
        table = _narrow(figure_table(title, "operator", "nodes", "ms", "share"))
        small = [entry for entry in operators if entry["share"] < _SMALL_SHARE]
        for entry in operators[: len(operators) - len(small)]:
            table.add_row(entry["operator"], str(entry["nodes"]), f"{entry['ms']:.3f}", f"{entry['share']:.1%}")
        nodes, ms = sum(entry["nodes"] for entry in small), sum(entry["ms"] for entry in small)
        table.add_row("others", str(nodes), f"{ms:.3f}", f"{ms / total_ms:.1%}")
        console.print(table)
        console.print()


def _tables(numbers: Mapping[str, Any]) -> Iterator[Table]:
    yield _models(numbers["rows"])
    if any(row["times_faster_than_int8_teacher"] for row in numbers["rows"]):
        yield _int8_teachers(numbers["rows"])
    if numbers["students"]:
        yield _students(numbers["students"])
    if numbers["node"] is not None:
        yield _node(numbers["node"])
    if numbers["accuracy"] is not None:
        yield _accuracy(numbers["accuracy"])


def _models(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Each model's name and size, then a row for each of its files."""
    teachers = list(dict.fromkeys(row["model"] for row in rows if row["kind"] == "teacher"))
    wide = any(row["all_threads_ms"] for row in rows)
    columns = ["", "MB", "ms", "quartiles", *(["all\ncores"] if wide else []), "x\nfloat"]
    columns += [*("\n".join(["x", *wrap(name, _NAME_WIDTH)]) for name in teachers), "of\npeak"]
    table = _narrow(figure_table("one image on one thread; x: how many times faster than ...", *columns))
    last = None
    for row in rows:
        if row["model"] != last:
            last = row["model"]
            table.add_section()
            table.add_row(Text.assemble((last, "bold"), f"\n{_size(row)}"))
        gain = row["times_faster_than_float"]
        runtime = "" if row["runtime"] == ONNX_RUNTIME else f" {row['runtime']}"
        table.add_row(
            f"  {row['precision']}{runtime}",
            f"{row['bytes'] / 1e6:.1f}",
            _ms(row["ms"]["median"]),
            f"{_ms(row['ms']['q1'])}-{_ms(row['ms']['q3'])}",
            *(["-" if row["all_threads_ms"] is None else _ms(row["all_threads_ms"]["median"])] if wide else []),
            _number(gain and gain["median"], 2),
            *(_number(row["times_faster_than_teacher"].get(name), 1) for name in teachers),
            "-" if row["of_int8_peak"] is None else f"{row['of_int8_peak']:.0%}",
        )
    return table


def _int8_teachers(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Int8 students and bundles beside teachers that were made int8 by the same tool, each in the same engine."""
    teachers = list(dict.fromkeys(name for row in rows for name in row["times_faster_than_int8_teacher"]))
    title = "x: how many times faster than a teacher in int8, in the same engine"
    table = _narrow(figure_table(title, "", "engine", *(f"x\n{name}" for name in teachers)))
    for row in rows:
        if row["kind"] != "teacher" and row["precision"] != FLOAT and row["times_faster_than_int8_teacher"]:
            times = [_number(row["times_faster_than_int8_teacher"].get(name), 1) for name in teachers]
            table.add_row(f"{row['model']} {row['precision']}", row["runtime"], *times)
    return table


def _size(row: Mapping[str, Any]) -> str:
    return f"{row['size_px']} px {row['parameters'] / 1e6:.1f} M {_number(row['gmacs'], 2)} GMAC"


def _students(students: Sequence[Mapping[str, Any]]) -> Table:
    columns = ("", "px", "M\npar.", "GMAC", "int8\nsize", "float\nms", "int8\nms", "gain", "fastest", "helps\nhere")
    table = _narrow(figure_table("students, in float and in the int8 that the robot runs", *columns))
    for entry in students:
        table.add_row(
            entry["model"],
            str(entry["size_px"]),
            f"{entry['parameters'] / 1e6:.1f}",
            _number(entry["gmacs"], 2),
            size(entry["int8_bytes"]),
            _ms(entry["float_ms"]),
            _ms(entry["int8_ms"]),
            f"{entry['int8_gain']:.2f}",
            {DYNAMIC: "dynamic", TRAINED: "QAT"}.get(entry["best_int8"], "static"),
            entry["int8_helps"],
        )
    return table


def _node(node: Mapping[str, Any]) -> Table:
    title = f"scene_classifier on a pair of 640x480, {node['model']}"
    table = _narrow(figure_table(title, "", "ms", "quartiles"))
    for part, ms in node["parts"].items():
        table.add_row(part, f"{ms['median']:.3f}", f"{ms['q1']:.3f}-{ms['q3']:.3f}")
    table.add_row("sum", f"{node['total_ms']:.3f}", f"{node['not_inference']:.0%} is not inference")
    return table


def _accuracy(accuracy: Mapping[str, Mapping[str, float]]) -> Table:
    table = _narrow(figure_table("top-1 of the bundle on the bag", "", "RGB", "depth", "RGB + depth"))
    for precision, top1 in accuracy.items():
        table.add_row(precision, *(f"{top1[modality]:.3f}" for modality in ("rgb", "depth", "rgbd")))
    return table


def _budget(budget: Mapping[str, Any], students: Sequence[Mapping[str, Any]]) -> str:
    if budget["student"] is not None:
        return f"largest student within {budget['ms']:g} ms here: {budget['student']}"
    fastest = min(students, key=lambda entry: min(entry["float_ms"], entry["int8_ms"]))
    best_ms = min(fastest["float_ms"], fastest["int8_ms"])
    return f"no student fits into {budget['ms']:g} ms here; the fastest, {fastest['model']}, takes {best_ms:.2f} ms"


def _narrow(table: Table) -> Table:
    """Without frame, so that ten columns fit into 80 characters."""
    table.box, table.padding, table.show_edge = box.SIMPLE_HEAD, (0, 0), False
    table.columns[0].no_wrap = True
    return table


def _ms(value: float) -> str:
    """Three figures that count."""
    return f"{value:.{max(0, min(2, 2 - floor(log10(value))))}f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
