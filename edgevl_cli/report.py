"""``edgevl report``: a finished run as one picture and one page, several runs side by side, or in a logger."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from edgevl_cli.console import Json, answer, html_file, progress, waiting
from edgevl_cli.training import needs_training_extra
from edgevl_core.base.errors import UserError

_TIMED_S = 1.5  # for all students of a run together


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories of edgevl adapt.")],
    compare: Annotated[bool, typer.Option("--compare", help="Put several runs side by side on one page.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="With --compare: the page, FILE.html (default: comparison.html). With --to: the logger's directory "
            "(default: RUN/LOGGER).",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="LOGGER", help="Instead: the curves for tensorboard, mlflow or wandb (offline)."),
    ] = None,
    json: Json = None,
) -> None:
    """Show what a run did: one page to look at (report.html) and one picture (report.png), in the run's directory."""
    needs_training_extra()
    if to is not None:
        from edgevl_train.loggers import forward

        if compare:
            raise UserError(f"--to {to} and --compare: give one of them")
        ways = [forward(run, to, out) for run in runs]
        answer({"look": ways}, json, lambda: print(*(f"look: {way}" for way in ways), sep="\n"))
        return
    if compare:
        from edgevl_train.report.comparison import write_comparison

        with waiting(f"comparing {len(runs)} runs"):
            page = write_comparison(runs, html_file(out or Path("comparison.html")))
        answer({"page": page}, json, lambda: print(f"page: {page}"))
        return
    if out is not None:
        raise UserError(f"--out {out}: goes with --compare or --to; the page of a run is RUN/report.html")
    found = [_report(run) for run in runs]
    answer({"runs": found}, json, lambda: _show(found))


def _show(found: list[dict[str, Path | None]]) -> None:
    for run in found:
        for what in ("picture", "page"):
            if run[what] is not None:
                print(f"{what}: {run[what]}")


def _report(run: Path) -> dict[str, Path | None]:
    """Where its page and its picture are; no picture of a run that is not finished."""
    from edgevl_cli.benchmark.machine import load, machine
    from edgevl_train.evaluation.report import write_report
    from edgevl_train.report.page import write_run_page

    with progress("asking the students") as on_progress:
        here = machine()
        where = f"{here['cpu']}, {here['cores']} cores, with {load()} processes that wanted to run"
        page = write_run_page(run, timed=_seconds, machine=where, on_progress=on_progress)
    picture = write_report(run) if (run / "report.json").is_file() else None
    return {"run": run, "picture": picture, "page": page}


def _seconds(tasks: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    from edgevl_core.base.timing import measure

    return {name: timing.median_s for name, timing in measure(tasks, seconds=_TIMED_S).items()}
