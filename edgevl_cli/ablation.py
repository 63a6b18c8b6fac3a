"""``edgevl adapt --ablate``: its options and its table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from edgevl_cli.tables import plain_console

SEEDS = "0,1,2"
OF_ABLATION = {  # option -> what one run takes in its place
    "--seeds": "pass --set seed=7",
    "--weight-bits": "pass --set stage2.weight_bits=4",
    "--variant": "pass each of its settings with --set",
    "--test": "ask `edgevl evaluate RUN/bundle BAG` afterwards",
}
OF_A_RUN = {  # option -> what to do in its place
    "--logger": "after it, `edgevl report DIR --to LOGGER` on its seed directories",
    "--sign": "it makes no bundle to sign, leave --sign out",
    "--dry-run": "a dry run checks one run, not what --ablate varies: leave --ablate and its options out",
}


def check_together(ablate: bool, given: Mapping[str, object]) -> None:
    """Refuse options that would be passed over, with --ablate or without it; empty ones were not given.

    Raises:
        UserError: naming the first.
    """
    from edgevl_core.base.errors import UserError

    for option in (option for option, value in given.items() if value):
        if option in OF_ABLATION and not ablate:
            raise UserError(f"{option} belongs to --ablate: pass that as well; for one run {OF_ABLATION[option]}")
        if option in OF_A_RUN and ablate:
            raise UserError(f"{option} and --ablate: {OF_A_RUN[option]}")


def parse_numbers(option: str, text: str) -> list[int]:
    """``0,1,2``, given with ``option``, as numbers; none from an empty text.

    Raises:
        UserError: it is something else.
    """
    from edgevl_core.base.errors import UserError

    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise UserError(
            f"{option} {text!r}: whole numbers with commas between are accepted, for example 0,1,2"
        ) from error


def show_ablation(result: Mapping[str, Any], out: Path) -> None:
    """One line per row, mean +- standard deviation over the seeds; then the paired gains, and where all figures are."""
    figures = list(result["rows"]["stage1_fp32"])
    where = f"test: {', '.join(result['test'])}" if result["test"] else "validation pairs, against the teacher"
    table = Table(title=f"ablation over seeds {', '.join(map(str, result['seeds']))} ({where})", title_justify="left")
    stem = "top1" if result["test"] else "validation_agreement"
    shown = [name for name in figures if name.startswith(stem)]
    table.add_column("")
    for name in shown:
        table.add_column(name.removeprefix(f"{stem}_") if result["test"] else name, justify="right")
    for row, values in result["rows"].items():
        table.add_row(result["names"][row], *(spread_text(values[name]) for name in shown))
    table.add_section()
    for gain, values in result["gain"].items():
        table.add_row(gain, *(spread_text(values[name], signed=True) for name in shown))
    console = plain_console()
    console.print(table)
    console.print("a gain smaller than its spread is no gain")
    print(f"all figures: {out}/ablation.json; look at {out}/ablation.png")


def spread_text(figure: Mapping[str, Any], signed: bool = False) -> str:
    """Mean ± standard deviation; the mean alone of one seed."""
    mean = f"{figure['mean']:+.3f}" if signed else f"{figure['mean']:.3f}"
    return f"{mean} ± {figure['std']:.3f}" if len(figure["values"]) > 1 else mean
