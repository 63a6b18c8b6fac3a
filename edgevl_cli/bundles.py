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
    """Check every file, load both students in a process of their own and run their golden inputs."""
    from edgevl_core.bundle.self_test import try_bundle
    from edgevl_core.bundle.student_bundle import read_manifest

    manifest = read_manifest(path)
    try_bundle(path)
    print(f"{path}: bundle {manifest.bundle_id} is whole; golden inputs agree")
    if manifest.unchecked:
        print(f"not checked: {manifest.unchecked}")
