"""``edgevl split``: where a student may be cut between robot and base station, what each cut costs, and the cutting."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgevl_cli.console import Json, answer, progress
from edgevl_cli.topics import Depth, MaxSkew, Rgb, checked_skew
from edgevl_core.base.errors import UserError

if TYPE_CHECKING:
    from edgevl_core.pairlog.pairs import PairSettings
    from edgevl_train.split.compress import Compressed
    from edgevl_train.split.cut import Cut
    from edgevl_train.split.measure import Measured, Way


def command(
    student: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE|RUN|FILE.onnx", help="A student bundle, a run directory, or an ONNX file of a student."
        ),
    ],
    mbit: Annotated[str, typer.Option(help="Bandwidths in Mbit/s, with commas.")] = "5,20,100",
    base_speed: Annotated[float, typer.Option(min=0.01, help="How many times as fast the base station is.")] = 4.0,
    at: Annotated[
        int | None, typer.Option(metavar="LAYER", help="Write what both machines need for the cut after it to --out.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New directory: the parameter offload of scene_classifier and base_station.")
    ] = None,
    compress: Annotated[
        int, typer.Option(min=1, metavar="TIMES", help="So many times fewer channels travel; trained on RUN's pairs.")
    ] = 1,
    judge: Annotated[
        list[Path], typer.Option(metavar="BAG", help="Compare both halves' answers with the whole's; may be repeated.")
    ] = [],  # noqa: B006  (typer copies it)
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="About how long the timing takes.")] = 10.0,
    json: Json = None,
) -> None:
    """Measure every cut of a student: bytes that travel, milliseconds here and there."""
    from edgevl_cli.training import needs_training_extra

    needs_training_extra()
    from edgevl_core.bundle.self_test import try_student
    from edgevl_core.pairlog.pairs import MAX_SKEW_S, PairSettings
    from edgevl_train.split.measure import best, measure_cuts

    speeds, settings = _speeds(mbit), PairSettings(rgb, depth, checked_skew(max_skew_s) or MAX_SKEW_S)
    _check(student, at, out, compress, judge, settings)
    file = _file(student)
    try_student(file)
    cut = None if at is None else _cut(file, at)
    with tempfile.TemporaryDirectory() as directory:
        thin = None if cut is None or compress == 1 else _compressed(student, cut, compress, Path(directory))
        with progress("timing") as on_progress:
            ways = measure_cuts(file, seconds, on_progress, _ways(thin))
        chosen = {each: best(ways, each, base_speed) for each in speeds}
        judged: dict[str, Any] = {}
        if cut is not None and out is not None:
            _write(file, cut, out, thin)
            judged = _judged(file.parent, out, judge, settings) if judge else {}
    result = {
        "file": file,
        "base_speed": base_speed,
        "cuts": [_told(way, ways) for way in ways],
        "best": {f"{each:g} Mbit/s": _told(way, ways) for each, way in chosen.items()},
        **({} if thin is None else {"cosine_before": thin.cosine_before, "cosine": thin.cosine}),
        **({"judged": judged} if judged else {}),
    }

    def show() -> None:
        _show(file, ways, speeds, base_speed, chosen)
        if out is not None:
            _show_cut(out, thin, judged)

    answer(result, json, show)


def _check(
    student: Path, at: int | None, out: Path | None, compress: int, judge: Sequence[Path], settings: "PairSettings"
) -> None:
    from edgevl_core.bundle.manifest import MANIFEST_FILE

    if (at is None) != (out is None):
        raise UserError("--at and --out: give both, or neither")
    if out is not None and out.exists():
        raise UserError(f"--out {out} exists: choose a new directory")
    if (compress > 1 or judge) and at is None:
        raise UserError("--compress and --judge are about one cut: give --at and --out as well")
    if compress > 1 and not (student / "recipe.yaml").is_file():
        raise UserError(f"--compress {compress} learns from training pairs: pass the run directory, not {student}")
    if judge and not (_file(student).parent / MANIFEST_FILE).is_file():
        raise UserError(f"--judge compares with a bundle's answers: pass a bundle or a run directory, not {student}")
    for bag in judge:  # now, not after a training
        settings.read(bag)


def _speeds(text: str) -> list[float]:
    try:
        found = [float(each) for each in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < each < float("inf") for each in found):  # nor NaN
        raise UserError(f"--mbit {text!r}: numbers above 0 with commas are accepted, such as 5,20,100")
    return found


def _file(student: Path) -> Path:
    from edgevl_core.bundle.files import STUDENT_INT8
    from edgevl_core.bundle.manifest import MANIFEST_FILE

    for bundle in (student, student / "bundle"):
        if (bundle / MANIFEST_FILE).is_file():
            return bundle / STUDENT_INT8
    return student


def _cut(file: Path, layer: int) -> "Cut":
    from edgevl_train.split.cut import find_cuts, load_network

    cuts = {cut.after: cut for cut in find_cuts(load_network(file))}
    if layer not in cuts:
        raise UserError(f"--at {layer}: cuts are possible after the layers {', '.join(map(str, cuts))}")
    return cuts[layer]


def _compressed(run: Path, cut: "Cut", times: int, directory: Path) -> "Compressed":
    from edgevl_train.split.compress import compress

    with progress("bottleneck") as show:
        return compress(run, cut, times, directory / "thin.onnx", lambda done, total, _: show(done, total))


def _ways(thin: "Compressed | None") -> "list[Way]":
    from edgevl_train.split.cut import load_network
    from edgevl_train.split.measure import Way

    return [] if thin is None else [Way(load_network(thin.file), thin.cut, thin.times)]


def _write(file: Path, cut: "Cut", out: Path, thin: "Compressed | None") -> None:
    from edgevl_train.split.write import write_split

    if thin is not None:
        write_split(file, thin.cut, out, thin.file, thin.times)
    else:
        write_split(file, cut, out)


def _judged(bundle: Path, out: Path, bags: Sequence[Path], settings: "PairSettings") -> dict[str, Any]:
    """Top-1 by modality of the whole and of both halves; no figures where no bag has true rooms."""
    from edgevl_core.offload.halves import load_halves
    from edgevl_train.split.judge import judge

    found = judge(bundle, load_halves(out, own=True), bags, settings)
    return {name: {key: each[key] for key in ("samples", "top1", "macro")} for name, each in found.items()}


def _name(way: "Measured", ways: "Sequence[Measured]") -> str:
    if way.cut is not None:
        return f"{way.cut.after} of {way.cut.of}{f', 1/{way.compress}' if way.compress > 1 else ''}"
    return "all there" if way is ways[0] else "all here"


def _told(way: "Measured", ways: "Sequence[Measured]") -> dict[str, Any]:
    cut = None if way.cut is None else {"tensor": way.cut.tensor, "after": way.cut.after, "of": way.cut.of}
    times = {"front_ms": way.front_ms, "back_ms": way.back_ms, "compress": way.compress}
    return {"what": _name(way, ways), "cut": cut, "shape": list(way.shape), "bytes": way.bytes, **times}


def _show(
    file: Path,
    ways: "Sequence[Measured]",
    speeds: Sequence[float],
    base_speed: float,
    chosen: "Mapping[float, Measured]",
) -> None:
    from edgevl_cli.tables import figure_table, plain_console

    columns = ("sent", "bytes", "ms\nhere", "ms\nthere", *(f"ms at\n{each:g} Mbit/s" for each in speeds))
    title = f"{file.name} cut in two; the base station is {base_speed:g} times as fast"
    table = figure_table(title, "after layer", *columns)
    for way in ways:
        total = [f"{way.latency_ms(each, base_speed):.2f}{' *' if chosen[each] is way else ''}" for each in speeds]
        shape = "x".join(map(str, way.shape[1:]))
        there = f"{way.back_ms / base_speed:.2f}"
        table.add_row(_name(way, ways), shape, str(way.bytes), f"{way.front_ms:.2f}", there, *total)
    plain_console().print(table)
    print("*: the least time for one image. Timed here with one thread; the link's own delay is not in it.")


def _show_cut(out: Path, thin: "Compressed | None", judged: Mapping[str, Any]) -> None:
    if thin is not None:
        print(
            f"with 1/{thin.times} of the channels embeddings have a cosine of {thin.cosine:.4f} to the whole student's "
            f"on validation images ({thin.cosine_before:.4f} before training)"
        )
    for name, each in judged.items():
        figures = ", ".join(f"{modality} {value:.3f}" for modality, value in each["top1"].items())
        why = "unknown, no true rooms of its labels that show furniture"
        print(f"{name}: top-1 of {each['samples']} pairs: {figures or why}")
    print(f"{out} is the parameter offload of the robot's scene_classifier and of base_station: copy it to both")
