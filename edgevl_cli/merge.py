"""``edgevl merge``: one student from several robots' adapted students, without a picture of theirs."""

from pathlib import Path
from typing import Annotated

import typer

from edgevl_cli.console import Json, waiting
from edgevl_cli.grouped import LEARNING, NEEDED, RUN
from edgevl_cli.resumable import resumable
from edgevl_cli.topics import Depth, MaxSkew, Rgb, as_settings
from edgevl_cli.training import (
    LOADING,
    Labels,
    Out,
    Recipe,
    Settings,
    Sign,
    TeacherSpec,
    answer_run,
    needs_training_extra,
)
from edgevl_core.base.errors import UserError

DISTIL = "distil"
CHOICES = ("greedy", "layers", "all", DISTIL)


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Runs of edgevl adapt, or their bundles: of one student; with --choice distil of any.",
        ),
    ],
    bag: Annotated[
        list[Path],
        typer.Option("--bag", help="Pairs at hand, of any place; may be repeated.", rich_help_panel=NEEDED),
    ],
    teacher: TeacherSpec,
    labels: Labels,
    out: Out,
    choice: Annotated[
        str,
        typer.Option(
            help="How weights are averaged: greedy, layers, all; or distil: a new student learns from all of them.",
            rich_help_panel=LEARNING,
        ),
    ] = CHOICES[0],
    recipe: Recipe = None,
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    settings: Settings = [],  # noqa: B006  (typer copies it)
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a merge that was cut off.", rich_help_panel=RUN)
    ] = False,
    sign: Sign = None,
    json: Json = None,
) -> None:
    """Make one student of several robots': their average, or one that they teach; no image leaves a robot."""
    if choice not in CHOICES:
        raise UserError(f"--choice {choice}: accepted are {', '.join(CHOICES)}")
    if recipe is not None and choice != DISTIL:
        raise UserError(f"--recipe with --choice {choice}: an average is what its runs are; leave it out, or distil")
    needs_training_extra()
    from edgevl_core.bundle.labels import load_labels

    load_labels(labels)
    with resumable(), waiting(f"{LOADING}, checking runs, bags and teacher") as ready:
        from edgevl_train.adapt import adapt as run
        from edgevl_train.merge.runs import find_runs, merge_recipe
        from edgevl_train.merge.students import distil_recipe
        from edgevl_train.recipe import load_recipe

        given = [*as_settings("cache", rgb, depth, max_skew_s), *settings]
        if choice == DISTIL:
            resolved = distil_recipe(runs, load_recipe(recipe, given))
        else:
            resolved = merge_recipe(find_runs(runs), choice, given)
        bundle = run(bag, teacher, labels, out, resolved, resume=resume, signing_key=sign, on_ready=ready)
    answer_run(bundle, out, json)
