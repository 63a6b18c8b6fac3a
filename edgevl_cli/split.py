"""``edgevl split``: where a student may be cut between robot and base station, and what each cut costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgevl_cli.console import Json, answer, progress
from edgevl_core.base.errors import UserError

if TYPE_CHECKING:
    from edgevl_train.split.measure import Measured


def command(
    student: Annotated[
        Path, typer.Argument(metavar="BUNDLE|FILE.onnx", help="A student bundle, or an ONNX file of one.")
    ],
    mbit: Annotated[str, typer.Option(help="Bandwidths in Mbit/s, with commas.")] = "5,20,100",
    base_speed: Annotated[float, typer.Option(min=0.01, help="How many times as fast the base station is.")] = 4.0,
    at: Annotated[
        int | None, typer.Option(metavar="LAYER", help="Write what both machines need for the cut after it to --out.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New directory: scene_classifier's and base_station's parameter offload.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="About how long the timing takes.")] = 10.0,
    json: Json = None,
) -> None:
    """Measure every cut of a student: bytes that travel, milliseconds here and there."""
    from edgevl_cli.training import needs_training_extra

    needs_training_extra()
    from edgevl_train.split.measure import best, measure_cuts

    speeds = _speeds(mbit)
    if (at is None) != (out is None):
        raise UserError("--at and --out: give both, or neither")
    if out is not None and out.exists():
        raise UserError(f"--out {out} exists: choose a new directory")
    file = _file(student)
    with progress("timing") as on_progress:
        ways = measure_cuts(file, seconds, on_progress)
    chosen = {each: best(ways, each, base_speed) for each in speeds}
    if at is not None and out is not None:
        _write(file, at, ways, out)
    result = {
        "file": file,
        "base_speed": base_speed,
        "cuts": [_told(way, ways) for way in ways],
        "best": {f"{each:g} Mbit/s": _told(way, ways) for each, way in chosen.items()},
    }
    answer(result, json, lambda: _show(file, ways, speeds, base_speed, chosen, out))


def _speeds(text: str) -> list[float]:
    try:
        found = [float(each) for each in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) <= 0:
        raise UserError(f"--mbit {text!r}: numbers above 0 with commas are accepted, such as 5,20,100")
    return found


def _file(student: Path) -> Path:
    from edgevl_core.bundle.files import STUDENT_INT8
    from edgevl_core.bundle.manifest import MANIFEST_FILE

    return student / STUDENT_INT8 if (student / MANIFEST_FILE).is_file() else student


def _write(file: Path, layer: int, ways: "Sequence[Measured]", out: Path) -> None:
    from edgevl_train.split.write import write_split

    cuts = {way.cut.after: way.cut for way in ways if way.cut is not None}
    if layer not in cuts:
        raise UserError(f"--at {layer}: cuts are possible after the layers {', '.join(map(str, cuts))}")
    write_split(file, cuts[layer], out)


def _name(way: "Measured", ways: "Sequence[Measured]") -> str:
    if way.cut is not None:
        return f"{way.cut.after} of {way.cut.of}"
    return "all there" if way is ways[0] else "all here"


def _told(way: "Measured", ways: "Sequence[Measured]") -> dict[str, Any]:
    cut = None if way.cut is None else {"tensor": way.cut.tensor, "after": way.cut.after, "of": way.cut.of}
    times = {"front_ms": way.front_ms, "back_ms": way.back_ms}
    return {"what": _name(way, ways), "cut": cut, "shape": list(way.shape), "bytes": way.bytes, **times}


def _show(
    file: Path,
    ways: "Sequence[Measured]",
    speeds: Sequence[float],
    base_speed: float,
    chosen: "dict[float, Measured]",
    out: Path | None,
) -> None:
    from rich.console import Console

    from edgevl_cli.tables import figure_table

    columns = ("sent", "bytes", "ms\nhere", "ms\nthere", *(f"ms at\n{each:g} Mbit/s" for each in speeds))
    title = f"{file.name} cut in two; the base station is {base_speed:g} times as fast"
    table = figure_table(title, "after layer", *columns)
    for way in ways:
        total = [f"{way.latency_ms(each, base_speed):.2f}{' *' if chosen[each] is way else ''}" for each in speeds]
        shape = "x".join(map(str, way.shape[1:]))
        there = f"{way.back_ms / base_speed:.2f}"
        table.add_row(_name(way, ways), shape, str(way.bytes), f"{way.front_ms:.2f}", there, *total)
    Console().print(table)
    print("*: the least time for one image. Timed here with one thread; the link's own delay is not in it.")
    if out is not None:
        print(f"{out} is the parameter offload of the robot's scene_classifier and of base_station: copy it to both")
