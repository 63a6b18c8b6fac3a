"""The program ``edgevl``: says which library is too old before one of them fails somewhere inside."""

import sys
from importlib.util import find_spec

from edgevl_core.base.requirements import FIX, outdated

# What the command line itself is made of: with one of them older, not even --help works.
NEEDED = ("typer", "pydantic")


def main() -> None:
    """Run the command line; with libraries that are too old for it only ``edgevl doctor`` answers, and exits 2."""
    try:
        _run()
    except KeyboardInterrupt:  # while modules are imported; later ones are the commands' own
        sys.exit(130)


def _run() -> None:
    old = [finding.what for finding in outdated() if finding.what.split()[0] in NEEDED]
    missing = [f"{name} is not installed" for name in NEEDED if not find_spec(name)]
    if not old and not missing:
        from edgevl_cli.main import main as run

        run()
        return
    if sys.argv[1:2] == ["doctor"]:
        for finding in outdated():
            print(f"BAD {finding.what}\n      fix: {finding.fix}")
        for what in missing:
            print(f"BAD {what}\n      fix: {FIX}")
    else:
        print(f"edgevl: {'; '.join([*old, *missing])}: {FIX}", file=sys.stderr)
    sys.exit(2)
