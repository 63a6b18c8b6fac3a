"""Options of every command that reads pairs from bags: which topics, and how far apart in time."""

from typing import Annotated

import typer

from edgevl_cli.grouped import PAIRS
from edgevl_core.base.errors import UserError

Rgb = Annotated[
    str | None,
    typer.Option("--rgb", metavar="TOPIC", help="RGB topic of the bags (default: found).", rich_help_panel=PAIRS),
]
Depth = Annotated[
    str | None,
    typer.Option("--depth", metavar="TOPIC", help="Depth topic of the bags (default: found).", rich_help_panel=PAIRS),
]
MaxSkew = Annotated[
    float | None,
    typer.Option(
        "--max-skew-s", metavar="SECONDS", help="Stamps of RGB and depth may differ by so much.", rich_help_panel=PAIRS
    ),
]
MOST_S = 60.0


def checked_skew(max_skew_s: float | None) -> float | None:
    """The option's value.

    Raises:
        UserError: it is no tolerance.
    """
    if max_skew_s is not None and not 0 < max_skew_s <= MOST_S:
        raise UserError(f"--max-skew-s {max_skew_s:g}: seconds above 0, up to {MOST_S:g}, are accepted")
    return max_skew_s


def as_settings(section: str, rgb: str | None, depth: str | None, max_skew_s: float | None) -> list[str]:
    """The options as settings ``section.key=value``, the value in YAML; those that are not given are left out."""
    import json

    given = {"rgb": rgb, "depth": depth, "max_skew_s": checked_skew(max_skew_s)}
    prefix = f"{section}." if section else ""
    return [f"{prefix}{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
