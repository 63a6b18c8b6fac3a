"""Student bundles on the command line: ``bundle make``, ``show``, ``verify``, ``sign``, ``keys``."""

from pathlib import Path
from typing import Annotated

import typer

from edgevl_cli.console import Json, answer, waiting
from edgevl_cli.grouped import NEEDED, GroupedCommand

BundleDir = Annotated[Path, typer.Argument(metavar="DIR", help="A student bundle.")]

KeyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A private key file (Ed25519, PEM).")]

# What bundle make goes through, and about how long each takes.
MAKING = {"the image tower": 2, "quantising": 5, "exporting": 2, "measuring": 3, "writing and testing the bundle": 3}

bundle = typer.Typer(no_args_is_help=True, help="Make a first bundle, look at one, check it, or sign it.")
keys = typer.Typer(no_args_is_help=True, help="Keys that sign bundles.")
bundle.add_typer(keys, name="keys")


@bundle.command(cls=GroupedCommand)
def make(
    teacher: Annotated[
        str,
        typer.Option(
            "--teacher", help="A small CLIP: open_clip:<name>/<pretrained>, or a file.", rich_help_panel=NEEDED
        ),
    ],
    labels: Annotated[
        Path, typer.Option("--labels", help="YAML file of the labels to tell apart.", rich_help_panel=NEEDED)
    ],
    out: Annotated[Path, typer.Option("--out", help="New directory for the bundle.", rich_help_panel=NEEDED)],
    calibrate: Annotated[
        list[Path],
        typer.Option(metavar="PATH", help="Pictures, a folder of them, or a bag; may be repeated (default: drawn)."),
    ] = [],  # noqa: B006  (typer copies it)
    text_encoder: Annotated[
        bool, typer.Option("--text-encoder", help="Take the text tower along, for any other words.")
    ] = False,
    json: Json = None,
) -> None:
    """A first answer without training: a small CLIP's image tower. In int8, for RGB only."""
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
    from edgevl_train.progress import RunProgress
    from edgevl_train.teacher.loading import load_teacher

    unreadable: list[str] = []
    pictures = drawn_to_calibrate()
    if calibrate:
        looked = read_pictures(calibrate, PICTURES)
        unreadable = looked.unreadable
        pictures = Pictures(looked.images, ", ".join(path.name for path in looked.used), True)
    with RunProgress(None, MAKING) as progress:
        found = make_bundle(
            load_teacher(teacher),
            words,
            out,
            pictures,
            drawn_rooms(homes=1, frames_per_room=1),
            text_encoder=text_encoder,
            on_step=progress.stage,
        )
    result = {"bundle": out, **vars(found), "unreadable": unreadable}
    answer(result, json, lambda: show_first_bundle(out, found, pictures.source, unreadable))


@bundle.command(cls=GroupedCommand)
def show(path: BundleDir, json: Json = None) -> None:
    """What is in a bundle, and where it came from. Student, teacher, labels, sizes, figures."""
    from edgevl_cli.tables import show_bundle
    from edgevl_core.bundle.student_bundle import read_manifest

    manifest = read_manifest(path)
    answer({"bundle": path, **manifest.model_dump(mode="json")}, json, lambda: show_bundle(path, manifest))


@bundle.command(cls=GroupedCommand)
def verify(
    path: BundleDir,
    key: Annotated[
        list[str], typer.Option("--key", metavar="PUBLIC", help="Only if one of these keys signed it; may be repeated.")
    ] = [],  # noqa: B006  (typer copies it)
    json: Json = None,
) -> None:
    """Check every file, and that both students answer as they should. They run in a process of their own."""
    from edgevl_core.bundle.self_test import LIMITS, try_bundle
    from edgevl_core.bundle.signature import SIGNATURE_FILE, trusted_keys

    trusted = trusted_keys(key)
    with waiting(f"checking {path}, at most {LIMITS.wall_s} s"):
        tried = try_bundle(path, trusted=trusted)
    signed = (path / SIGNATURE_FILE).exists()

    def say() -> None:
        print(f"{path}: bundle {tried.bundle_id} is whole; golden inputs agree")
        if trusted:
            print("signed by a key that was given")
        elif signed:
            print("not checked: who signed it; pass the public keys that you trust with --key")
        if tried.unchecked:
            print(f"not checked: {tried.unchecked}")

    result = {"bundle": path, "bundle_id": tried.bundle_id, "signed": signed, "signer_checked": bool(trusted)}
    answer({**result, "unchecked": tried.unchecked}, json, say)


@bundle.command(cls=GroupedCommand)
def sign(
    path: BundleDir,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Private key file.", rich_help_panel=NEEDED)],
    json: Json = None,
) -> None:
    """Sign a bundle, or a cut student, for robots that trust the key. Their parameter trust has its public half."""
    from edgevl_core.bundle.signature import fingerprint
    from edgevl_core.bundle.signing import sign_bundle
    from edgevl_core.offload.manifest import is_cut_student, read_split_manifest

    public = sign_bundle(path, key, read_split_manifest) if is_cut_student(path) else sign_bundle(path, key)
    said = f"{path}: signed by key {fingerprint(public)}, {public}"
    answer({"bundle": path, "fingerprint": fingerprint(public), "public_key": public}, json, lambda: print(said))


@keys.command()
def new(file: KeyFile, json: Json = None) -> None:
    """Make a key pair. The private key goes to FILE, for its owner alone; the public key is printed."""
    from edgevl_core.bundle.signing import new_key

    _show_key(new_key(file), file, json)


@keys.command("show")
def show_key(file: KeyFile, json: Json = None) -> None:
    """Print the public key of a private key file. It is what the parameter trust takes."""
    from edgevl_core.bundle.signing import public_key

    _show_key(public_key(file), file, json)


def _show_key(public: str, file: Path, json: Path | None) -> None:
    from edgevl_core.bundle.signature import fingerprint

    answer({"file": file, "fingerprint": fingerprint(public), "public_key": public}, json, lambda: print(public))
