"""Student bundles on the command line: ``bundle make``, ``show``, ``verify``, ``sign``, ``keys``."""

from pathlib import Path
from typing import Annotated

import typer

BundleDir = Annotated[Path, typer.Argument(metavar="DIR", help="A student bundle.")]

KeyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A private key file (Ed25519, PEM).")]

bundle = typer.Typer(no_args_is_help=True, help="Make a first bundle, look at one, check it, or sign it.")
keys = typer.Typer(no_args_is_help=True, help="Keys that sign bundles.")
bundle.add_typer(keys, name="keys")


@bundle.command()
def make(
    teacher: Annotated[str, typer.Option("--teacher", help="A small CLIP: open_clip:<name>/<pretrained>, or a file.")],
    labels: Annotated[Path, typer.Option("--labels", help="YAML file of the labels to tell apart.")],
    out: Annotated[Path, typer.Option("--out", help="New directory for the bundle.")],
    calibrate: Annotated[
        list[Path],
        typer.Option(metavar="PATH", help="Pictures, a folder of them, or a bag; may be repeated (default: drawn)."),
    ] = [],  # noqa: B006  (typer copies it)
    text_encoder: Annotated[
        bool, typer.Option("--text-encoder", help="Take the text tower along, for any other words.")
    ] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the numbers here (- for stdout).")] = None,
) -> None:
    """A first answer without training: an int8 bundle of a small CLIP's image tower, for RGB only."""
    import sys

    from edgevl_cli.console import write_json
    from edgevl_cli.first_bundle import PICTURES, drawn_rooms, drawn_to_calibrate, show_first_bundle
    from edgevl_cli.training import needs_training_extra
    from edgevl_core.base.errors import UserError
    from edgevl_core.bundle.labels import load_labels

    needs_training_extra()
    words = load_labels(labels)
    if out.exists():
        raise UserError(f"--out {out} exists: choose a new directory, or remove it")

    from edgevl_train.first_bundle.make import Pictures, make_bundle
    from edgevl_train.first_bundle.pictures import read_pictures
    from edgevl_train.teacher.loading import load_teacher

    source = ", ".join(path.name for path in calibrate)
    pictures = Pictures(read_pictures(calibrate, PICTURES), source, True) if calibrate else drawn_to_calibrate()
    found = make_bundle(
        load_teacher(teacher),
        words,
        out,
        pictures,
        drawn_rooms(homes=1, frames_per_room=1),
        text_encoder=text_encoder,
        on_step=lambda step: print(f"{step} ...", file=sys.stderr),
    )
    if str(json) != "-":
        show_first_bundle(out, found, pictures.source)
    write_json(vars(found), json)


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
