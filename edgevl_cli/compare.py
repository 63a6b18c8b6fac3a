"""``edgevl compare``: recipes against each other, on equal terms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgevl_cli.ablation import parse_numbers, spread_text
from edgevl_cli.console import Json, answer, waiting
from edgevl_cli.grouped import RUN
from edgevl_cli.resumable import resumable
from edgevl_cli.topics import Depth, MaxSkew, Rgb, as_settings
from edgevl_cli.training import LOADING, Bags, Labels, Out, Settings, TeacherSpec, needs_training_extra
from edgevl_core.base.errors import UserError

SHIPPED = ("clip4retrofit", "ghostnetv3", "mobileone", "ofa", "clip_kd", "vanilla_kd")
COMPARED = "What is compared"


def command(
    bags: Bags,
    teacher: TeacherSpec,
    labels: Labels,
    out: Out,
    recipe: Annotated[
        str, typer.Option(help="Recipe whose data, steps and image size all get.", rich_help_panel=COMPARED)
    ] = "edgevl",
    against: Annotated[
        list[str],
        typer.Option(
            help=f"Recipe file, or shipped name; may be repeated (default: {', '.join(SHIPPED)}).",
            rich_help_panel=COMPARED,
        ),
    ] = [],  # noqa: B006  (typer copies it)
    same_student: Annotated[
        bool, typer.Option("--same-student", help="All train the student of --recipe.", rich_help_panel=COMPARED)
    ] = False,
    fractions: Annotated[
        str, typer.Option(help="Percent of the training pairs.", rich_help_panel=COMPARED)
    ] = "10,30,100",
    seeds: Annotated[str, typer.Option(help="Training seeds.", rich_help_panel=COMPARED)] = "0,1,2",
    test: Annotated[
        list[Path], typer.Option(help="A bag with truth, of other places; may be repeated.", rich_help_panel=COMPARED)
    ] = [],  # noqa: B006
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    settings: Settings = [],  # noqa: B006
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a comparison that was cut off.", rich_help_panel=RUN)
    ] = False,
    json: Json = None,
) -> None:
    """Train recipes on the same pairs, cache and steps, over fractions of the data and seeds; which is worth it?

    --set changes the recipe of --recipe, and with it what all others have from that: data, steps, image size.
    """
    needs_training_extra()
    from edgevl_core.bundle.labels import load_labels
    from edgevl_core.pairlog.pairs import expected_pairs
    from edgevl_train.data.cache import find_bags
    from edgevl_train.recipe import load_recipe, recipe_file

    numbers = {"fractions": parse_numbers("--fractions", fractions), "seeds": parse_numbers("--seeds", seeds)}
    base = load_recipe(recipe_file(recipe), [*as_settings("cache", rgb, depth, max_skew_s), *settings])
    files = [recipe_file(each) for each in (against or SHIPPED)]
    names = [file.stem for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"--against: {', '.join(twice)} is given twice: recipes are told apart by their files' names")
    others = {file.stem: load_recipe(file) for file in files}
    load_labels(labels)
    for bag in find_bags(bags):
        expected_pairs(bag, base.cache.pairs)
    with resumable():
        with waiting(LOADING):
            from edgevl_train.comparison.compare import compare as run

        found = run(
            bags,
            teacher,
            labels,
            out,
            (recipe_file(recipe).stem, base),
            others,
            test=test,
            same_student=same_student,
            resume=resume,
            **numbers,
        )
    answer(found, json, lambda: show_comparison(found, out))


def show_comparison(result: Mapping[str, Any], out: Path) -> None:
    """A line for each recipe and fraction, int8: accuracy with its spread, held-out words, size and time; verdicts."""
    from rich.table import Table

    from edgevl_cli.tables import plain_console

    where = f"test: {', '.join(result['test'])}" if result["test"] else "validation pairs, against the teacher"
    seeds = ", ".join(map(str, result["seeds"]))
    table = Table(title=f"int8 students, seeds {seeds} ({where})", title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("recipe", no_wrap=True)
    for name in ("%", "RGB", "depth", "held-out", "MB", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    figures = [f"{result['figure']}_{each}" for each in ("rgb", "depth")] + ["held_out_agreement_mean"]
    for recipe, sizes in result["recipes"].items():
        for percent in map(str, result["fractions"]):
            row = result["cells"][recipe][percent]["stage2_int8"]
            size = (f"{sizes['int8']['bytes'] / 1e6:.1f}", f"{sizes['int8']['ms'][1]:.2f}")
            table.add_row(recipe, percent, *(spread_text(row[name]) for name in figures), *size)
        table.add_section()
    plain_console().print(table)
    print("%: of the training pairs; held-out: agreement with the teacher among words that nothing was learned by")
    for each in result["verdicts"].values():
        print(each["sentence"])
    print(f"all figures: {out}/compare.json; look at {out}/compare.png")
