"""Student bundles on the command line: ``bundle show``, ``bundle verify``."""

from pathlib import Path
from typing import Annotated

import typer

BundleDir = Annotated[Path, typer.Argument(metavar="DIR", help="A student bundle.")]

bundle = typer.Typer(no_args_is_help=True, help="Look at a student bundle, or check it.")


@bundle.command()
def show(path: BundleDir) -> None:
    """What is in a bundle: student, teacher, labels, sizes, figures, where it came from."""
    from edgevl_cli.tables import show_bundle
    from edgevl_core.bundle.student_bundle import read_manifest

    show_bundle(path, read_manifest(path))


@bundle.command()
def verify(path: BundleDir) -> None:
    """Check every hash, load the student and run its golden inputs."""
    from edgevl_core.bundle.student_bundle import load_bundle

    loaded = load_bundle(path)
    print(f"{path}: bundle {loaded.manifest.bundle_id} is whole; golden inputs agree")
