"""``edgevl demo``: the whole loop on a simulated robot, over real ROS 2.

plan: how large; processes: nodes and commands as children; live: the stages over ROS 2; recorder: what it sees of them;
outcome: table and figures; sheet: the contact sheet; rooms: names on the map; run: the stages one after the other.
quick: ``--quick``, ready-made files looked at in seconds.
"""

from pathlib import Path
from typing import Annotated

import typer

from edgevl_core.base.errors import UserError


def command(
    out: Annotated[
        Path | None, typer.Option("--out", help="New directory for what is made (default: demo_out, or demo_quick).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other homes and other weights.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="A first picture in seconds, by a ready-made student on ready-made drives.")
    ] = False,
) -> None:
    """Simulate, log, pretrain a teacher, adapt, and drive through unseen homes in light and darkness."""
    if quick:
        if seed:
            raise UserError(f"--seed {seed} with --quick: its student and drives are ready-made; leave --seed out")
        from edgevl_cli.demo.quick import quick as run_quick

        run_quick(out or Path("demo_quick"))
        return
    from edgevl_cli.demo.run import run

    run(out or Path("demo_out"), seed)
