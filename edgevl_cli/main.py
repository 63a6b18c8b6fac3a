"""``edgevl``: parses, calls, prints. Nothing heavy is imported before the command that needs it."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from edgevl_cli import bags, benchmark, bundles, demo, doctor, report, rooms, training
from edgevl_core.base.errors import UserError

app = typer.Typer(
    name="edgevl",
    help="A robot teaches itself to name the place it is in: drive, log, adapt, run.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.command)
app.command("sim")(bags.sim)
app.command("import")(bags.import_pairs)
app.command("export")(bags.export_pairs)
app.add_typer(bags.log, name="log")
app.add_typer(training.teacher, name="teacher")
app.command("adapt")(training.adapt)
app.command("evaluate")(training.evaluate)
app.command("benchmark")(benchmark.command)
app.command("report")(report.command)
app.add_typer(bundles.bundle, name="bundle")
app.command("map")(rooms.command)
app.command("doctor")(doctor.command)


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
