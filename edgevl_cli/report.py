"""``edgevl report``: a finished run as one picture and one page, several runs side by side, or in a logger."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from edgevl_cli.console import html_file, progress
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
) -> None:
    """Show what a run did: one page to look at (report.html) and one picture (report.png), in the run's directory."""
    needs_training_extra()
    if to is not None:
        from edgevl_train.loggers import forward

        if compare:
            raise UserError(f"--to {to} and --compare: give one of them")
        for run in runs:
            print(f"look: {forward(run, to, out)}")
        return
    if compare:
        from edgevl_train.report.comparison import write_comparison

        print(f"page: {write_comparison(runs, html_file(out or Path('comparison.html')))}")
        return
    if out is not None:
        raise UserError(f"--out {out}: goes with --compare or --to; the page of a run is RUN/report.html")
    for run in runs:
        _report(run)


def _report(run: Path) -> None:
    from edgevl_cli.benchmark.machine import load, machine
    from edgevl_train.evaluation.report import write_report
    from edgevl_train.report.page import write_run_page

    with progress("asking the students") as on_progress:
        here = machine()
        where = f"{here['cpu']}, {here['cores']} cores, with {load()} processes that wanted to run"
        page = write_run_page(run, timed=_seconds, machine=where, on_progress=on_progress)
    if (run / "report.json").is_file():
        print(f"picture: {write_report(run)}")
    print(f"page: {page}")


def _seconds(tasks: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    from edgevl_core.base.timing import measure

    return {name: timing.median_s for name, timing in measure(tasks, seconds=_TIMED_S).items()}
