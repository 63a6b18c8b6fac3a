"""``edgevl benchmark``: how fast teachers, students and a bundle are on this machine, all measured in one run.

files: the ONNX files; graph: what they say of their size; accuracy: a bundle's, on a bag; node_path: the robot's part;
run: the measurement; operators: a profile; students: the comparison; table, picture: what is shown; machine:
where it was measured.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgevl_cli.console import Json, answer, output_file, progress
from edgevl_cli.grouped import PAIRS
from edgevl_cli.topics import Depth, MaxSkew, Rgb, checked_skew
from edgevl_core.base.errors import UserError

if TYPE_CHECKING:
    from edgevl_cli.benchmark.files import Model

TIMED = "What is timed"
TEACHERS = ("ViT-B-32", "MobileCLIP2-S0")
SLOW_TEACHERS = ("ViT-B-16",)
STUDENTS = ("mobilenetv4_conv_small", "mobilenetv4_conv_medium", "resnet18")


def command(
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="A student bundle to time as well.")] = None,
    bag: Annotated[
        Path | None, typer.Option(help="With a BUNDLE: its top-1 on this bag with true rooms.", rich_help_panel=PAIRS)
    ] = None,
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    json: Json = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw latency against size into this .png file.")] = None,
    students: Annotated[
        bool, typer.Option("--students", help="Compare all students, without teachers.", rich_help_panel=TIMED)
    ] = False,
    budget_ms: Annotated[
        float | None,
        typer.Option(metavar="MS", help="As --students: name the largest that is fast enough.", rich_help_panel=TIMED),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="All students, ViT-B-16, teachers in int8; minutes.", rich_help_panel=TIMED),
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="STUDENT", help="Only show where a student's time goes, by operator.", rich_help_panel=TIMED
        ),
    ] = None,
    all_threads: Annotated[
        bool, typer.Option("--all-threads", help="Time everything on all cores as well.", rich_help_panel=TIMED)
    ] = False,
    seconds: Annotated[
        float, typer.Option(help="About how long the timing itself takes.", rich_help_panel=TIMED)
    ] = 20.0,
    work: Annotated[
        Path | None, typer.Option(help="Keep the exported files here for the next time (default: nowhere).")
    ] = None,
) -> None:
    """Time teachers, students and a bundle on this machine, one image at a time on one thread."""
    _check(bundle, bag, plot, budget_ms, seconds)
    _check_pairing(bag, rgb, depth, max_skew_s)
    from edgevl_cli.training import needs_training_extra

    needs_training_extra()
    from edgevl_cli.benchmark.picture import write_plot
    from edgevl_cli.benchmark.students import choose, compare
    from edgevl_cli.benchmark.table import show

    compared = students or budget_ms is not None
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if profile is not None:
            _profile(profile, folder, json)
            return
        accuracy = _accuracy(bundle, bag, rgb, depth, max_skew_s)  # first: a wrong topic is told before the slow part
        models = _models(folder, bundle, compared, everything)
        numbers = _timed(models, seconds, all_threads, None if compared else _on_robot(models))
    found = compare(numbers["rows"])
    chosen = None if budget_ms is None else choose(found, budget_ms)
    budget = None if budget_ms is None else {"ms": budget_ms, "student": chosen and chosen["model"]}
    numbers |= {"accuracy": accuracy, "students": found, "budget": budget}
    answer(numbers, json, lambda: show(numbers))
    if plot is not None:
        write_plot(numbers, plot)


def _accuracy(
    bundle: Path | None, bag: Path | None, rgb: str | None, depth: str | None, max_skew_s: float | None
) -> dict[str, Any] | None:
    from edgevl_cli.benchmark.accuracy import top1
    from edgevl_core.pairlog.pairs import MAX_SKEW_S, PairSettings

    if bundle is None or bag is None:
        return None
    settings = PairSettings(rgb, depth, MAX_SKEW_S if max_skew_s is None else max_skew_s)
    with progress("evaluating") as on_progress:
        return top1(bundle, bag, settings, on_progress)


def _timed(models: "list[Model]", seconds: float, all_threads: bool, node: "Model | None") -> dict[str, Any]:
    from edgevl_cli.benchmark.run import run

    with progress("timing") as on_progress:
        return run(models, seconds=seconds, all_threads=all_threads, node=node, on_progress=on_progress)


def _check(bundle: Path | None, bag: Path | None, plot: Path | None, budget_ms: float | None, seconds: float) -> None:
    """What can be said before anything slow is imported."""
    output_file("--plot", plot, ".png")
    for option, value in (("--seconds", seconds), ("--budget-ms", budget_ms)):
        if value is not None and not value > 0:
            raise UserError(f"{option} {value:g}: a number above 0 is accepted")
    if bag is not None and bundle is None:
        raise UserError(f"--bag {bag}: it is for the accuracy of a bundle; name the BUNDLE as well")
    if bundle is not None:
        from edgevl_core.bundle.student_bundle import read_manifest

        read_manifest(bundle)


def _check_pairing(bag: Path | None, rgb: str | None, depth: str | None, max_skew_s: float | None) -> None:
    checked_skew(max_skew_s)
    for option, value in (("--rgb", rgb), ("--depth", depth), ("--max-skew-s", max_skew_s)):
        if bag is None and value is not None:
            raise UserError(f"{option} {value}: it is for the pairs of a bag; name the --bag as well")


def _models(folder: Path, own: Path | None, compared: bool, everything: bool) -> "list[Model]":
    """The models to time, the bundle first; exporting them is the slow part."""
    from functools import partial

    from edgevl_cli.benchmark.files import bundle, student, teacher
    from edgevl_train.student.presets import PRESETS

    folder.mkdir(parents=True, exist_ok=True)
    teachers = () if compared else TEACHERS + (SLOW_TEACHERS if everything else ())
    names = PRESETS if compared or everything else STUDENTS
    makers = [partial(bundle, own)] if own is not None else []
    makers += [partial(teacher, name, folder, int8=everything) for name in teachers]
    makers += [partial(student, name, folder) for name in names]
    models = []
    with progress("exporting") as on_progress:
        on_progress(0, len(makers))
        for make in makers:
            models.append(make())
            on_progress(len(models), len(makers))
    return models


def _profile(name: str, folder: Path, json: Path | None) -> None:
    """A student's float file and the one the robot runs, by operator."""
    from edgevl_cli.benchmark.files import FLOAT, student
    from edgevl_cli.benchmark.operators import by_operator
    from edgevl_cli.benchmark.table import show_operators
    from edgevl_train.student.presets import PRESETS

    if name not in PRESETS:
        raise UserError(f"--profile {name}: no such student; accepted are {', '.join(PRESETS)}")
    folder.mkdir(parents=True, exist_ok=True)
    model = student(name, folder)
    found = {precision: by_operator(model.files[precision]) for precision in (FLOAT, model.on_robot)}
    answer({"model": name, "operators": found}, json, lambda: show_operators(name, found))


def _on_robot(models: "list[Model]") -> "Model":
    """The bundle where there is one, else the default student."""
    from edgevl_train.student.presets import DEFAULT

    return next((m for m in models if m.kind == "bundle"), None) or next(m for m in models if m.name == DEFAULT)
