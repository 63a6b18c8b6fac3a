"""``edgevl watch``: a robot's nodes live in a terminal, for people on ssh. Reads topics, and nothing else.

rows: what is seen in words; screen: the same drawn; show: the loop, in one of the ways to show it.
"""

from typing import Annotated

import typer


def command(
    namespace: Annotated[
        str, typer.Option("--namespace", metavar="NAME", help="The robot's namespace, as given to its launch file.")
    ] = "",
    plain: Annotated[
        bool, typer.Option("--plain", help="Plain lines instead of a screen; so without a terminal, too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a second on standard output.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Show once what is heard, and end.")] = False,
) -> None:
    """Watch a running robot: scene, rates, drops, log, adaptation, room on the map. Ctrl-C ends it."""
    from edgevl_cli.doctor import needs_ros
    from edgevl_cli.watch.show import show

    needs_ros("watch")
    show(namespace, plain=plain, json=json, once=once)
