"""``edgevl doctor``: what is installed, what runs, what is wrong, and the fix for each finding."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edgevl_cli.console import Json, write_json
from edgevl_core.base.errors import UserError
from edgevl_core.base.findings import Finding

LIVE = "The running robot"
_MARKS = {True: "ok ", False: "BAD", None: "-  "}


def command(
    live: Annotated[
        bool, typer.Option("--live", help="Look at the running graph too: nodes, QoS, cameras.", rich_help_panel=LIVE)
    ] = False,
    rgb: Annotated[
        str, typer.Option(help="RGB topic; empty: the one that edgevl's nodes ask for.", rich_help_panel=LIVE)
    ] = "",
    depth: Annotated[str, typer.Option(help="Depth topic, likewise.", rich_help_panel=LIVE)] = "",
    seconds: Annotated[float, typer.Option(min=1.0, help="How long to listen.", rich_help_panel=LIVE)] = 5.0,
    bundle: Annotated[Path | None, typer.Option(help="A student bundle to check as well.")] = None,
    json: Json = None,
) -> None:
    """Look at this machine and, with --live, at the running robot; each finding comes with its fix."""
    found = []
    for finding in _findings(live, rgb, depth, seconds, bundle):
        found.append(finding)
        if str(json) != "-":  # as they come: the live ones take a while
            _show(finding)
    write_json({"findings": [finding._asdict() for finding in found]}, json)
    if any(finding.ok is False for finding in found):
        raise typer.Exit(2)


def _show(finding: Finding) -> None:
    print(f"{_MARKS[finding.ok]} {finding.what}", flush=True)
    if finding.ok is not True:
        print(f"      fix: {finding.fix}", flush=True)


def needs_ros(command: str) -> None:
    """Say what is missing before an import fails.

    Raises:
        UserError: ROS 2's Python library or edgevl's messages are not here.
    """
    from importlib.util import find_spec

    if not find_spec("rclpy") or not find_spec("edgevl"):
        raise UserError(
            f"edgevl {command} needs ROS 2's rclpy and edgevl's messages in this Python: edgevl doctor says what to do"
        )


def _findings(live: bool, rgb: str, depth: str, seconds: float, bundle: Path | None) -> Iterator[Finding]:
    from edgevl_cli.doctor.environment import environment

    yield from environment()
    if bundle is not None:
        yield _bundle(bundle)
    if live:
        needs_ros("doctor --live")
        from edgevl_ros.doctor.inspection import inspect

        yield from inspect(rgb, depth, seconds)


def _bundle(path: Path) -> Finding:
    from edgevl_core.bundle.self_test import try_bundle
    from edgevl_core.bundle.student_bundle import read_manifest

    try:
        try_bundle(path)
        manifest = read_manifest(path)
    except UserError as error:
        return Finding(False, str(error), "copy the bundle again, or adapt anew")
    return Finding(True, f"bundle {manifest.bundle_id}: hashes and golden inputs agree")
