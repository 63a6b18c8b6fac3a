"""``edgevl demo``: the whole loop on a simulated robot, over real ROS 2.

plan: how large; processes: nodes and commands as children; live: the stages over ROS 2; recorder: what it sees of them;
outcome: table, figures, contact sheet; rooms: names on the map; run: the stages one after the other.
"""

from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Option("--out", help="New directory for everything the demo makes.")] = Path("demo_out"),
    seed: Annotated[int, typer.Option(help="Another seed, other homes and other weights.")] = 0,
) -> None:
    """Simulate, log, pretrain a teacher, adapt, and drive through unseen homes in light and darkness."""
    from edgevl_cli.demo.run import run

    run(out, seed)
