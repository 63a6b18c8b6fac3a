"""``edgevl teacher``: ``pretrain``."""

from pathlib import Path
from typing import Annotated

import typer

from edgevl_cli.console import Json, answer, waiting
from edgevl_cli.grouped import LEARNING, RUN, GroupedCommand
from edgevl_cli.resumable import resumable
from edgevl_cli.topics import Depth, MaxSkew, Rgb, as_settings
from edgevl_cli.training import LOADING, Out, Settings, figures_of, needs_training_extra

app = typer.Typer(no_args_is_help=True, help="A teacher for machines without CLIP weights.")


@app.command(cls=GroupedCommand)
def pretrain(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Bags with truth, folders with one folder of photos a label, CSV files image,caption."),
    ],
    out: Out,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="Label file: words, synonyms and prompts for folders and rooms.", rich_help_panel=LEARNING
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME@FILE",
            help="Image tower: a timm model and a .safetensors file of its weights.",
            rich_help_panel=LEARNING,
        ),
    ] = None,
    size_px: Annotated[
        int | None, typer.Option(min=32, max=1024, help="Side of the model's input.", rich_help_panel=LEARNING)
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.", rich_help_panel=LEARNING)] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.", rich_help_panel=LEARNING)] = None,
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    settings: Settings = [],  # noqa: B006  (typer copies it)
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a pretraining that was cut off.", rich_help_panel=RUN)
    ] = False,
    json: Json = None,
) -> None:
    """Train a small open_clip model on captioned images. Frames of bags, photos, or both."""
    needs_training_extra()
    of_bags = as_settings("", rgb, depth, max_skew_s)
    given = [f"seed={seed}", *([] if epochs is None else [f"epochs={epochs}"]), *of_bags, *settings]
    with resumable():
        with waiting(LOADING):
            from edgevl_train.pretrain.run import pretrain as run
            from edgevl_train.pretrain.settings import load_settings

        spec = run(sources, out, labels=labels, settings=load_settings(backbone, size_px, given), resume=resume)
    answer({"teacher": spec, **figures_of(out / "metrics.json")}, json, lambda: print(f"teacher: {spec}"))
