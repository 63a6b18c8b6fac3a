"""``edgevl``: parses, calls, prints. Nothing heavy is imported before the command that needs it."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated, NoReturn

import typer

from edgevl_cli import (
    bags,
    benchmark,
    bundles,
    classify,
    compare,
    demo,
    doctor,
    merge,
    report,
    rooms,
    split,
    teacher,
    training,
    watch,
)
from edgevl_cli.grouped import GroupedCommand, GroupedCommands
from edgevl_core.base.errors import UserError

app = typer.Typer(
    name="edgevl",
    cls=GroupedCommands,
    epilog="edgevl COMMAND --help tells more. Exit code 2: wrong input, said in one line.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

FIRST, BAGS, LEARNING, ROBOT = "First steps", "Drives: bags of RGB and depth", "Teacher and student", "On the robot"
# Each on one line of 80 columns.
_COMMANDS: tuple[tuple[str, Callable[..., None], str, str], ...] = (
    ("demo", demo.command, FIRST, "The whole loop on a simulated robot, with a table at the end."),
    ("doctor", doctor.command, FIRST, "What is wrong with this machine, or the running robot (--live)."),
    ("sim", bags.sim, BAGS, "Make a bag of a drive through simulated homes."),
    ("import", bags.import_pairs, BAGS, "Make a bag of a public RGB-D collection, or a folder of pairs."),
    ("export", bags.export_pairs, BAGS, "Write a bag's pairs for other tools: webdataset, lerobot."),
    ("adapt", training.adapt, LEARNING, "Distil the teacher into a student for the places in bags."),
    ("merge", merge.command, LEARNING, "One student from those of several robots; no picture leaves one."),
    ("evaluate", training.evaluate, LEARNING, "How often a student or teacher is right, on bags."),
    ("compare", compare.command, LEARNING, "Recipes on equal terms: which is worth it on your data."),
    ("report", report.command, LEARNING, "A run as a page: deploy the student or not, and why."),
    ("benchmark", benchmark.command, LEARNING, "How fast teachers, students and a bundle are on this machine."),
    ("split", split.command, LEARNING, "Where a student may be cut between robot and base station."),
    ("classify", classify.command, ROBOT, "What a student says of bags or pictures, without a robot."),
    ("map", rooms.command, ROBOT, "Put names on the rooms of a map; files for nav2."),
    ("watch", watch.command, ROBOT, "Watch a running robot: scene, log, adaptation, room."),
)
for _name, _command, _heading, _short in _COMMANDS:
    app.command(_name, cls=GroupedCommand, rich_help_panel=_heading, short_help=_short)(_command)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"edgevl {version('edgevl')}")
        raise typer.Exit()


@app.callback()
def _options(
    asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A robot teaches itself to name the place it is in: drive, log, adapt, run."""


app.add_typer(bags.log, name="log", rich_help_panel=BAGS)
app.add_typer(teacher.app, name="teacher", rich_help_panel=LEARNING)
app.add_typer(bundles.bundle, name="bundle", rich_help_panel=LEARNING)


def main() -> None:
    """Run the command line. Exit 0: done; 2: the user's input is wrong (one line); 1: our fault (a traceback)."""
    # A spinning OpenMP thread takes the core that another one needs: 25 times slower steps were measured.
    # It must stand in the environment before the OpenMP library is loaded, hence here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    told: list[int] = []

    def terminated(number: int, _frame: FrameType | None) -> NoReturn:
        """Leave as after Ctrl-C: what was started, nodes and workers, ends with the command."""
        told.append(number)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, terminated)
    try:
        app()
    except UserError as error:
        print(f"edgevl: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("edgevl: interrupted", file=sys.stderr)
        sys.exit(130)
    except RuntimeError:
        if not told:
            raise
        sys.exit(128 + told[0])  # a pool of workers cannot be taken down properly while it is being set up


if __name__ == "__main__":
    main()
