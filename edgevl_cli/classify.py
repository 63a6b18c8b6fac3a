"""``edgevl classify``: what a student says of the pairs of bags, or of pictures, without a robot and without truth."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from edgevl_cli.console import Json, answer, output_file, progress, say
from edgevl_cli.grouped import NEEDED
from edgevl_cli.topics import Depth, MaxSkew, Rgb, checked_skew
from edgevl_core.base.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from edgevl_core.camera.depth import MeasuredDepth
    from edgevl_core.classify.classifier import Scene
    from edgevl_core.pairlog.pairs import PairSettings

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
SHOWN, COLUMNS = 24, 6  # pictures of the sheet
LISTED = 20  # so few are told one by one


class Seen(NamedTuple):
    """One input: ``rgb`` (H, W, 3) uint8, and its depth where there is one."""

    name: str
    rgb: "np.ndarray[Any, np.dtype[np.uint8]]"
    depth: "MeasuredDepth | None"


def command(
    what: Annotated[
        list[Path], typer.Argument(metavar="BAG|PICTURE...", help="rosbag2 directories, .mcap files, or picture files.")
    ],
    bundle: Annotated[
        Path, typer.Option("--bundle", help="The student bundle that names them.", rich_help_panel=NEEDED)
    ],
    words: Annotated[
        str | None, typer.Option("--words", metavar="A,B,...", help="Other words than the bundle's, with commas.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE.png", help=f"Draw up to {SHOWN} of them with their answers.")
    ] = None,
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    json: Json = None,
) -> None:
    """Name the scenes of bags or pictures with a student, each frame by itself."""
    from edgevl_core.bundle.self_test import open_untrusted
    from edgevl_core.classify.classifier import Classifier
    from edgevl_core.pairlog.pairs import MAX_SKEW_S, PairSettings, expected_pairs
    from edgevl_core.pairlog.reader import check_given_once

    output_file("--sheet", sheet, ".png")
    check_given_once(what, "bags or pictures")
    settings = PairSettings(rgb, depth, checked_skew(max_skew_s) or MAX_SKEW_S)
    names = None if words is None else [word.strip() for word in words.split(",") if word.strip()]
    classifier = Classifier(open_untrusted(bundle), names)
    total = sum(1 if _is_photo(path) else expected_pairs(path, settings) for path in what)
    answers: list[tuple[str, Scene]] = []
    drawn: list[tuple[Seen, Scene]] = []
    losses: list[str] = []
    every = max(1, -(-total // SHOWN))
    with progress("classifying") as on_progress:
        for seen in _inputs(what, settings, losses):
            scene = classifier.classify(seen.rgb, seen.depth)
            if sheet is not None and len(answers) % every == 0:
                drawn.append((seen, scene))
            answers.append((seen.name, scene))
            on_progress(len(answers), total)
    if not answers:
        raise UserError(f"{', '.join(map(str, what))}: no pairs of RGB and depth: edgevl log info tells why")
    if sheet is not None:
        _draw(drawn, sheet)
    result = {"bundle_id": classifier.bundle_id, "frames": [_told(name, scene) for name, scene in answers]}
    answer({**result, "lost": losses}, json, lambda: _show(answers, losses, sheet))


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTOS and not path.is_dir()


def _inputs(what: Sequence[Path], settings: "PairSettings", losses: list[str]) -> Iterator[Seen]:
    from edgevl_core.camera.photo import read_photo

    for path in what:
        if _is_photo(path):
            yield Seen(path.name, read_photo(path), None)
            continue
        pairs = settings.read(path)
        for pair in pairs:
            yield Seen(f"{path.name} {pair.stamp_ns / 1e9:.3f}", pair.rgb, pair.depth)
        losses += [f"{path}: {loss}" for loss in pairs.losses]


def _told(name: str, scene: "Scene") -> dict[str, Any]:
    chosen = {"label": scene.label, "confidence": scene.confidence, "known": scene.known, "modality": scene.modality}
    return {"name": name, **chosen, "scores": dict(zip(scene.labels, scene.scores, strict=True))}


def _draw(drawn: Sequence[tuple[Seen, "Scene"]], sheet: Path) -> None:
    from edgevl_core.base.atomic import atomic_write
    from edgevl_core.camera.images import encode_png
    from edgevl_core.draw.overlay import contact_sheet, draw_scene

    pictures = [draw_scene(seen.rgb, scene) for seen, scene in drawn[:SHOWN]]
    captions = [seen.name for seen, _ in drawn[:SHOWN]]
    sheet.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(sheet, encode_png(contact_sheet(pictures, captions, columns=COLUMNS)))


def _show(answers: Sequence[tuple[str, "Scene"]], losses: Sequence[str], sheet: Path | None) -> None:
    from edgevl_cli.tables import plain_console

    plain_console().print(_one_by_one(answers) if len(answers) <= LISTED else _by_label(answers))
    for loss in losses:
        say(f"warning: {loss}")
    if sheet is not None:
        print(f"look at {sheet}")


def _one_by_one(answers: Sequence[tuple[str, "Scene"]]) -> "Table":
    from edgevl_cli.tables import MODALITIES, figure_table

    table = figure_table("what the student says", "", "scene", "confidence", "by")
    for name, scene in answers:
        shown = scene.label if scene.known else f"unknown, most like {scene.label}"
        table.add_row(name, shown, f"{scene.confidence:.2f}", MODALITIES[scene.modality])
    return table


def _by_label(answers: Sequence[tuple[str, "Scene"]]) -> "Table":
    from edgevl_cli.tables import MODALITIES, figure_table

    of_label: dict[str, list[Scene]] = defaultdict(list)
    for _, scene in answers:
        of_label[scene.label if scene.known else "unknown"].append(scene)
    modalities = [modality for modality in MODALITIES if any(scene.modality == modality for _, scene in answers)]
    shown = [f"by {MODALITIES[modality]}" for modality in modalities]
    title = f"what the student says of {len(answers)} frames"
    table = figure_table(title, "scene", "frames", "share", "mean confidence", *shown)
    for label, scenes in sorted(of_label.items(), key=lambda entry: -len(entry[1])):
        ways = Counter(scene.modality for scene in scenes)
        confidence = sum(scene.confidence for scene in scenes) / len(scenes)
        figures = (str(len(scenes)), f"{len(scenes) / len(answers):.2f}", f"{confidence:.2f}")
        table.add_row(label, *figures, *(str(ways[modality]) for modality in modalities))
    return table
