"""Bags on the command line: ``sim``, ``import``, ``export``, ``log info``, ``log view``, ``log recover``."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgevl_cli.console import Json, answer, html_file, progress, say, size
from edgevl_cli.grouped import NEEDED, GroupedCommand
from edgevl_cli.resumable import unfinished
from edgevl_cli.topics import Depth, MaxSkew, Rgb, checked_skew

if TYPE_CHECKING:
    from edgevl_train.datasets.exported import ExportSummary
    from edgevl_train.datasets.writer import ImportSummary


class Lights(str, Enum):
    """How simulated homes are lit; halfway: all lit, then the same drives again in the dark."""

    on = "on"
    off = "off"
    mixed = "mixed"
    halfway = "halfway"


class Split(str, Enum):
    """Which simulated homes: no two of these share one."""

    train = "train"
    val = "val"
    test = "test"


OutBag = Annotated[
    Path, typer.Option("--out", help="Directory of the new rosbag2; must not exist.", rich_help_panel=NEEDED)
]
HOMES, DRIVE = "Which homes", "How they are driven through"
Bag = Annotated[Path, typer.Argument(help="A rosbag2 directory or an .mcap file.")]

log = typer.Typer(no_args_is_help=True, help="Look into a bag, or save what a damaged one still holds.")


def sim(
    out: OutBag,
    seed: Annotated[int, typer.Option(help="Another seed, other homes.", rich_help_panel=HOMES)] = 0,
    homes: Annotated[
        int, typer.Option(min=1, help="Number of apartments, each with all eight rooms.", rich_help_panel=HOMES)
    ] = 4,
    split: Annotated[
        Split, typer.Option(help="Homes of different splits are never the same.", rich_help_panel=HOMES)
    ] = Split.train,
    first_home: Annotated[
        int, typer.Option(min=0, help="Index of the first home within the split.", rich_help_panel=HOMES)
    ] = 0,
    drive: Annotated[
        int,
        typer.Option(
            help="1, 2, ...: the same homes on another day: other ways and light, some furniture moved.",
            rich_help_panel=DRIVE,
        ),
    ] = 0,
    frames_per_room: Annotated[
        int, typer.Option(min=1, help="Frames along the path through a room.", rich_help_panel=DRIVE)
    ] = 8,
    hz: Annotated[
        float, typer.Option(min=0.1, max=60.0, help="Frames a second of bag time.", rich_help_panel=DRIVE)
    ] = 1.0,
    lights: Annotated[
        Lights, typer.Option(help="halfway: every home once lit, then once more in the dark.", rich_help_panel=DRIVE)
    ] = Lights.on,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 2,
    json: Json = None,
) -> None:
    """Drive through procedural apartments and write an ordinary rosbag2: RGB, depth, camera_info, truth."""
    from dataclasses import asdict

    from edgevl_sim import write_bag

    with unfinished(out), progress(f"rendering {homes} homes") as on_progress:
        summary = write_bag(
            out,
            seed=seed,
            split=split.value,
            homes=homes,
            first_home=first_home,
            drive=drive,
            frames_per_room=frames_per_room,
            hz=hz,
            lights=lights.value,
            workers=workers,
            on_progress=on_progress,
        )
    said = f"{out}: {summary.frames} frames of {homes} {split.value} homes, {size(summary.message_bytes)}"
    answer(asdict(summary), json, lambda: print(said))


def import_pairs(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder with pairs.csv, ScanNet, SUN RGB-D, NYU Depth V2, EuroSAT, or what edgevl export wrote."
        ),
    ],
    out: OutBag,
    split: Annotated[
        str | None,
        typer.Option(
            help="Only a part. ScanNet: train, val, test or a list of scans. SUN RGB-D: a list of folders. NYU Depth "
            "V2: a list of image numbers. EuroSAT: train or test. A list is a text file, one name a line."
        ),
    ] = None,
    json: Json = None,
) -> None:
    """Make a rosbag2 of a public RGB-D collection, or of a folder of pairs; which it is shows in its layout."""
    from dataclasses import asdict

    from edgevl_train.datasets.kinds import import_collection

    with unfinished(out), progress(f"importing {source.name}") as on_progress:
        summary = import_collection(source, out, split=split, on_progress=on_progress)
    answer(asdict(summary), json, lambda: _show_import(out, summary))


def _show_import(out: Path, summary: "ImportSummary") -> None:
    from edgevl_cli.tables import show_skipped

    for note in summary.notes:
        say(f"note: {note}")
    for reason, count in summary.left_out.items():
        say(f"left out: {count} {reason}")
    show_skipped(summary.unreadable)
    print(f"{out}: {summary.pairs} pairs, {len(summary.unreadable)} unreadable, {size(summary.bytes)}")


def export_pairs(
    bag: Bag,
    to: Annotated[str, typer.Option("--to", help="webdataset or lerobot.", rich_help_panel=NEEDED)],
    out: Annotated[Path, typer.Option("--out", help="New directory for the files.", rich_help_panel=NEEDED)],
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    json: Json = None,
) -> None:
    """The pairs of a bag for other tools; depth stays as it is, to the bit."""
    from dataclasses import asdict

    from edgevl_core.pairlog.pairs import MAX_SKEW_S, PairSettings
    from edgevl_train.datasets.export import export_bag

    settings = PairSettings(rgb, depth, checked_skew(max_skew_s) or MAX_SKEW_S)
    with progress(f"exporting {bag.name}") as on_progress:
        summary = export_bag(bag, out, to, settings, on_progress)
    answer(asdict(summary), json, lambda: _show_export(out, summary))


def _show_export(out: Path, summary: "ExportSummary") -> None:
    from edgevl_cli.tables import show_skipped

    for note in (*summary.notes, *summary.losses):
        say(f"note: {note}")
    show_skipped(summary.unreadable)
    print(f"{out}: {summary.pairs} pairs in {summary.sequences} sequences, {size(summary.bytes)}")


@log.command(cls=GroupedCommand)
def info(
    bag: Bag,
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    json: Json = None,
) -> None:
    """What is in a bag, and its health in words. Topics, pairs, skew, coverage; what is lost, doubtful or fine."""
    from dataclasses import asdict

    from edgevl_cli.tables import show_log
    from edgevl_core.log_view.content import read_content
    from edgevl_core.log_view.health import signs
    from edgevl_core.pairlog.pairs import MAX_SKEW_S

    with progress("reading") as on_progress:
        content = read_content(
            bag, rgb=rgb, depth=depth, max_skew_s=checked_skew(max_skew_s) or MAX_SKEW_S, on_progress=on_progress
        )
    health = signs(content)
    result = {**content.info.model_dump(mode="json"), "health": [asdict(sign) for sign in health]}
    answer(result, json, lambda: show_log(content.info, health))


@log.command(cls=GroupedCommand)
def view(
    bag: Bag,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="The page (default: the bag's name, in this directory)."),
    ] = None,
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    json: Json = None,
) -> None:
    """One page to look at a bag: pictures, time line, scenes, health. And the way driven."""
    from dataclasses import asdict

    from edgevl_core.log_view.content import read_content
    from edgevl_core.log_view.health import signs
    from edgevl_core.log_view.page import write_log_page
    from edgevl_core.pairlog.pairs import MAX_SKEW_S

    page = html_file(out or Path(f"{bag.resolve().stem}.html"))
    with progress("reading") as on_progress:
        content = read_content(
            bag, rgb=rgb, depth=depth, max_skew_s=checked_skew(max_skew_s) or MAX_SKEW_S, on_progress=on_progress
        )
    written = write_log_page(content, page)
    health = [asdict(sign) for sign in signs(content)]
    answer({"page": written, "health": health}, json, lambda: print(f"page: {written}"))


@log.command(cls=GroupedCommand)
def recover(
    bag: Annotated[Path, typer.Argument(help="The damaged bag; it is not changed.")],
    out: OutBag,
    json: Json = None,
) -> None:
    """Save what a damaged bag still holds into a healthy one. What was lost is said."""
    from dataclasses import asdict

    from edgevl_core.pairlog.info import recover as recover_bag

    with progress("saving messages") as on_progress:
        summary = recover_bag(bag, out, on_progress)

    def show() -> None:
        for loss in summary.losses:
            say(f"lost: {loss}")
        print(f"{out}: {summary.messages} messages")

    answer({"path": out, **asdict(summary)}, json, show)
