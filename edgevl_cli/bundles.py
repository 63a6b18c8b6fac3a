"""Student bundles on the command line: ``bundle show``, ``verify``, ``sign``, ``keys``."""

from pathlib import Path
from typing import Annotated

import typer

BundleDir = Annotated[Path, typer.Argument(metavar="DIR", help="A student bundle.")]

KeyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A private key file (Ed25519, PEM).")]

bundle = typer.Typer(no_args_is_help=True, help="Look at a student bundle, check it, or sign it.")
keys = typer.Typer(no_args_is_help=True, help="Keys that sign bundles.")
bundle.add_typer(keys, name="keys")


@bundle.command()
def show(path: BundleDir) -> None:
    """What is in a bundle: student, teacher, labels, sizes, figures, where it came from."""
    from edgevl_cli.tables import show_bundle
    from edgevl_core.bundle.student_bundle import read_manifest

    show_bundle(path, read_manifest(path))


@bundle.command()
def verify(
    path: BundleDir,
    key: Annotated[
        list[str], typer.Option("--key", metavar="PUBLIC", help="Only if one of these keys signed it; may be repeated.")
    ] = [],  # noqa: B006  (typer copies it)
) -> None:
    """Check every file, load both students in a process of their own and run their golden inputs."""
    from edgevl_core.bundle.self_test import try_bundle
    from edgevl_core.bundle.signature import SIGNATURE_FILE, trusted_keys

    trusted = trusted_keys(key)
    tried = try_bundle(path, trusted=trusted)
    print(f"{path}: bundle {tried.bundle_id} is whole; golden inputs agree")
    if trusted:
        print("signed by a key that was given")
    elif (path / SIGNATURE_FILE).exists():
        print("not checked: who signed it; pass the public keys that you trust with --key")
    if tried.unchecked:
        print(f"not checked: {tried.unchecked}")


@bundle.command()
def sign(
    path: BundleDir, key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Private key file.")]
) -> None:
    """Sign a bundle, so that robots whose parameter trust has the public key take it."""
    from edgevl_core.bundle.signature import fingerprint
    from edgevl_core.bundle.signing import sign_bundle

    public = sign_bundle(path, key)
    print(f"{path}: signed by key {fingerprint(public)}, {public}")


@keys.command()
def new(file: KeyFile) -> None:
    """Make a key pair: the private key goes to FILE, for its owner alone; the public key is printed."""
    from edgevl_core.bundle.signing import new_key

    print(new_key(file))


@keys.command("show")
def show_key(file: KeyFile) -> None:
    """Print the public key of a private key file: what the parameter trust takes."""
    from edgevl_core.bundle.signing import public_key

    print(public_key(file))
