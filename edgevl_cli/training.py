"""Training on the command line: ``adapt``, ``evaluate``; the options that other commands share with them."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edgevl_cli.ablation import SEEDS, check_together, parse_numbers, show_ablation
from edgevl_cli.console import Json, answer, output_file, progress, say, waiting
from edgevl_cli.grouped import LEARNING, NEEDED, RUN
from edgevl_cli.resumable import resumable
from edgevl_cli.topics import Depth, MaxSkew, Rgb, as_settings, checked_skew
from edgevl_core.base.errors import UserError

LOADING = "loading PyTorch"
ABLATION, COMPARED, FURTHER = "With --ablate: what each step is worth", "Compared with", "Further questions"

Bags = Annotated[list[Path], typer.Argument(help="rosbag2 directories or .mcap files.")]
TeacherSpec = Annotated[
    str,
    typer.Option(
        "--teacher",
        help="open_clip:<name>/<pretrained> or open_clip:<config>@<checkpoint file>.",
        rich_help_panel=NEEDED,
    ),
]
Labels = Annotated[
    Path, typer.Option("--labels", help="YAML file of the labels to tell apart.", rich_help_panel=NEEDED)
]
Recipe = Annotated[
    Path | None,
    typer.Option(
        "--recipe", help="YAML file, or the name of a shipped one (default: edgevl).", rich_help_panel=LEARNING
    ),
]
Settings = Annotated[
    list[str], typer.Option("--set", help="key=value, over the recipe; may be repeated.", rich_help_panel=LEARNING)
]
Sign = Annotated[
    Path | None,
    typer.Option("--sign", metavar="KEY", help="Private key file that signs the bundle.", rich_help_panel=RUN),
]
Out = Annotated[Path, typer.Option("--out", help="New directory for what this makes.", rich_help_panel=NEEDED)]


def needs_training_extra() -> None:
    """Say which extra is missing before an import fails inside a library."""
    from importlib.util import find_spec

    missing = [name for name in ("torch", "open_clip", "timm", "lightning_fabric", "onnx") if not find_spec(name)]
    if missing:
        raise UserError(
            f"training needs {', '.join(missing)}, not installed here: pip install '.[train]' in edgevl's source "
            "tree (a robot does not need it; a workstation does)"
        )


def figures_of(file: Path) -> dict[str, Any]:
    """What a JSON file of a run holds."""
    import json

    return dict(json.loads(file.read_text(encoding="utf-8")))


def adapt(  # over 50 lines by its options, each of which typer wants as an argument
    bags: Bags,
    teacher: TeacherSpec,
    labels: Labels,
    out: Out,
    recipe: Recipe = None,
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    settings: Settings = [],  # noqa: B006  (typer copies it)
    budget_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="Choose the most accurate student that takes no longer here for one image.",
            rich_help_panel=LEARNING,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was cut off.", rich_help_panel=RUN)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check bags, teacher, labels and recipe; train nothing.", rich_help_panel=RUN),
    ] = False,
    sign: Sign = None,
    logger: Annotated[
        list[str],
        typer.Option(
            help="Tell tensorboard, mlflow or wandb (offline) each epoch's figures; may be repeated.",
            rich_help_panel=RUN,
        ),
    ] = [],  # noqa: B006
    ablate: Annotated[
        bool,
        typer.Option(
            "--ablate",
            help="Make no bundle, but this comparison, over several seeds.",
            rich_help_panel=ABLATION,
        ),
    ] = False,
    seeds: Annotated[
        str | None, typer.Option(help=f"Training seeds (default: {SEEDS}).", rich_help_panel=ABLATION)
    ] = None,
    test: Annotated[
        list[Path], typer.Option(help="A bag with truth, of other places; may be repeated.", rich_help_panel=ABLATION)
    ] = [],  # noqa: B006
    variant: Annotated[
        list[str],
        typer.Option(
            help="Settings of stage1, stage2 or augmentation to compare; may be repeated.", rich_help_panel=ABLATION
        ),
    ] = [],  # noqa: B006
    weight_bits: Annotated[
        str, typer.Option(help="Weights of fewer bits too, such as 4,3.", rich_help_panel=ABLATION)
    ] = "",
    json: Json = None,
) -> None:
    """Distil the teacher into a small int8 student for the places in these bags, without a label."""
    needs_training_extra()
    of_ablation = {"--seeds": seeds, "--test": test, "--variant": variant, "--weight-bits": weight_bits}
    check_together(ablate, of_ablation | {"--sign": sign, "--logger": logger, "--dry-run": dry_run})
    from edgevl_core.bundle.labels import load_labels
    from edgevl_core.pairlog.pairs import expected_pairs
    from edgevl_train.data.cache import find_bags
    from edgevl_train.recipe import load_recipe

    budget = [] if budget_ms is None else [f"student.budget_ms={budget_ms}"]
    resolved = load_recipe(recipe, [*as_settings("cache", rgb, depth, max_skew_s), *settings, *budget])
    # Wrong words and bags are said now, and not after the seconds that torch takes to load.
    load_labels(labels)
    for bag in find_bags(bags):
        expected_pairs(bag, resolved.cache.pairs)
    if dry_run:
        from edgevl_train.plan import plan

        planned = plan(bags, teacher, labels, out, resolved, resume=resume)
        answer({"plan": planned.splitlines()}, json, lambda: say(planned))
        return
    if ablate:
        chosen = parse_numbers("--seeds", SEEDS if seeds is None else seeds)
        numbers = {"seeds": chosen, "weight_bits": parse_numbers("--weight-bits", weight_bits)}
        with resumable():
            with waiting(LOADING):
                from edgevl_train.ablation.ablate import ablate as compare

            found = compare(bags, teacher, labels, out, resolved, test=test, variants=variant, resume=resume, **numbers)
        answer(found, json, lambda: show_ablation(found, out))
        return
    with resumable(), waiting(f"{LOADING}, checking bags, teacher and student") as ready:
        from edgevl_train.adapt import adapt as run

        how: dict[str, Any] = {"resume": resume, "signing_key": sign, "loggers": logger, "on_ready": ready}
        bundle = run(bags, teacher, labels, out, resolved, **how)
    answer_run(bundle, out, json)


def answer_run(bundle: Path, out: Path, json: Path | None) -> None:
    """What a finished run has come to: its bundle and the decision."""
    decision = figures_of(out / "report.json")["decision"]
    answer({"bundle": bundle, "run": out, "decision": decision}, json, lambda: _show_run(bundle, out, decision))


def _show_run(bundle: Path, out: Path, decision: dict[str, Any]) -> None:
    from edgevl_cli.decision_table import show_decision

    show_decision(decision)
    print(f"bundle: {bundle}; all figures: {out}/report.json; look at {out}/report.png; as a page: edgevl report {out}")


def evaluate(  # over 50 lines, as adapt
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A bundle, a teacher (open_clip:…), or a run of edgevl adapt or a checkpoint in it.",
        ),
    ],
    bags: Bags,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="CURRENT", help="Another model, on the very same pairs in the same pass.", rich_help_panel=COMPARED
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Labels (default: the bundle's own).", rich_help_panel=COMPARED)
    ] = None,
    teacher: Annotated[
        str | None, typer.Option("--teacher", help="Compare with this teacher as well.", rich_help_panel=COMPARED)
    ] = None,
    leave_out: Annotated[
        list[str],
        typer.Option(
            "--leave-out",
            help="Label taken out: are its frames called unknown? May be repeated.",
            rich_help_panel=FURTHER,
        ),
    ] = [],  # noqa: B006  (typer copies it)
    retrieval: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How often the teacher's RGB within so many seconds is retrieved first.",
            rich_help_panel=FURTHER,
        ),
    ] = None,
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the figures into this .png file.")] = None,
    json: Json = None,
) -> None:
    """Top-1 where the bags carry truth, agreement with the teacher where they do not."""
    needs_training_extra()
    from edgevl_cli.evaluation_tables import show_evaluation
    from edgevl_core.pairlog.doubts import bag_doubts
    from edgevl_core.pairlog.pairs import PairSettings, expected_pairs
    from edgevl_train.evaluation.evaluate import evaluate as run
    from edgevl_train.evaluation.evaluation_plot import write_plot
    from edgevl_train.sharing import among
    from edgevl_train.training.distributed import launched

    output_file("--plot", plot, ".png")
    checked_skew(max_skew_s)
    total = sum(expected_pairs(bag, PairSettings(rgb, depth)) for bag in bags)
    for bag in bags:
        for doubt in bag_doubts(bag, rgb, depth):
            say(f"warning: {bag}: {doubt}", sys.stderr)
    fabric = launched()
    first, processes = (True, 1) if fabric is None else (fabric.is_global_zero, fabric.world_size)
    with progress("evaluating") as on_progress:

        def tell(pairs: int) -> None:
            if first:
                on_progress(min(pairs * processes, total), total)

        numbers = run(
            model,
            bags,
            against=against,
            labels=labels,
            teacher=teacher,
            leave_out=leave_out,
            retrieval_s=retrieval,
            rgb=rgb,
            depth=depth,
            max_skew_s=max_skew_s,
            on_progress=tell,
            share=among(fabric),
        )
    if not first:
        return
    answer(numbers, json, lambda: show_evaluation(numbers))
    if plot is not None:
        write_plot(numbers, plot)
