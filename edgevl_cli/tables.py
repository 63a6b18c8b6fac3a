"""Tables that people look at: a bag, a bundle."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from edgevl_cli.console import say, size
from edgevl_core.base.errors import printable

if TYPE_CHECKING:
    from edgevl_core.bundle.manifest import Manifest, Modality
    from edgevl_core.log_view.health import Sign
    from edgevl_core.pairlog.info import LogInfo

SKIPPED = 5  # so many are told one by one
MODALITIES: "dict[Modality, str]" = {"rgb": "RGB", "depth": "depth", "rgbd": "RGB + depth"}


class _PlainConsole(Console):
    """Rich passes on what a terminal obeys, and names in bags and bundles may hold it."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def plain_console() -> Console:
    """Shows names and paths as they are: no "[old]" is taken for markup, no ":house:" for a picture; nothing obeyed."""
    return _PlainConsole(markup=False, emoji=False)


def figure_table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are figures."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def show_skipped(unreadable: Sequence[str]) -> None:
    """Why what could not be read was passed over, a line each for the first few."""
    for line in unreadable[:SKIPPED]:
        say(f"skipped: {line}")
    if len(unreadable) > SKIPPED:
        print(f"skipped: {len(unreadable) - SKIPPED} more, all of them with --json FILE")


def show_log(info: "LogInfo", signs: "Iterable[Sign]") -> None:
    """A bag: topics, pairs, coverage, and its health in words."""
    from edgevl_core.log_view.health import LOST

    console = plain_console()
    start = datetime.fromtimestamp(info.start_ns / 1e9, tz=timezone.utc)
    console.print(
        f"{info.path}: {info.messages} messages, {size(info.bytes)} in {info.segments} segments, "
        f"{info.duration_s:.1f} s from {start:%Y-%m-%d %H:%M:%S} UTC"
    )
    topics = figure_table("topics", "topic", "type", "messages")
    for topic in info.topics:
        topics.add_row(topic.name, topic.type, str(topic.messages))
    console.print(topics)
    if info.pairing is None:
        console.print(f"no pairs: {info.not_paired_because}")
    else:
        p = info.pairing
        dropped = ", ".join(f"{count} {reason}" for reason, count in p.dropped.items()) or "none left over"
        skew = f"; skew p50 {p.skew_p50_s * 1e3:.2f} ms, p95 {p.skew_p95_s * 1e3:.2f} ms" if p.pairs else ""
        console.print(f"{p.pairs} pairs of {p.rgb} and {p.depth}{skew}; {dropped}", highlight=False)
    if info.coverage:
        coverage = figure_table("true rooms (evaluation only)", "room", "frames")
        for room, frames in info.coverage.items():
            coverage.add_row(room, str(frames))
        console.print(coverage)
    if info.facts:
        facts = ", ".join(f"{name} {value}" for name, value in info.facts.items())
        console.print(f"written by pair_logger: {facts}", highlight=False)
    for sign in signs:
        label = LOST if sign.text.startswith(LOST) else "fine: " if sign.fine else "doubt: "
        text = Text(label, style="green" if sign.fine else "yellow")
        console.print(text.append(sign.text.removeprefix(LOST), style="default"), soft_wrap=True)


def show_losses(losses: Iterable[str], bag: str = "") -> None:
    """What a reader has lost, one line each; ``bag`` names it where there are several."""
    console = plain_console()
    for loss in losses:
        text = Text("lost: ", style="yellow").append(f"{bag}: {loss}" if bag else loss, style="default")
        console.print(text, soft_wrap=True)


def show_bundle(path: Path, manifest: "Manifest") -> None:
    """A bundle: what the student is, its files, its figures, where it came from."""
    console = plain_console()
    p = manifest.preprocess
    console.print(f"{path}: bundle {manifest.bundle_id}, schema {manifest.schema_version}", highlight=False)
    if manifest.unchecked:
        console.print(f"not checked: {manifest.unchecked}", highlight=False)
    if manifest.rgb_only:
        console.print(manifest.rgb_only, highlight=False)
    console.print(
        f"student {manifest.student}, {p.size_px} px, depth as {p.depth_encoding}, {manifest.embedding_dim} dims"
    )
    console.print(f"teacher {manifest.teacher}")
    console.print(f"labels {', '.join(manifest.labels)}", highlight=False)
    files = figure_table("files", "file", "size", "sha256")
    for name, digest in manifest.files.items():
        file = path / name
        files.add_row(name, size(file.stat().st_size) if file.is_file() else "missing", digest[:12])
    console.print(files)
    console.print(_calibration(manifest))
    trust = figure_table("how far each camera is believed", "", "from nothing to all it gets")
    for name, curve, unit in (("RGB", manifest.trust.rgb, "mean luma"), ("depth", manifest.trust.depth, "valid share")):
        points = ", ".join(f"{at:.3g}: {weight:.2f}" for at, weight in zip(curve.at, curve.weight))
        trust.add_row(f"{name}, by {unit}", points)
    console.print(trust)
    training = manifest.metrics.get("training")
    if isinstance(training, dict) and training.get("decision"):
        console.print(f"decision when it was made: {training['decision']}", highlight=False)
    if manifest.provenance.bags:
        bags = figure_table("learned from", "bag", "pairs", "depth registered to RGB")
        for bag in manifest.provenance.bags:
            bags.add_row(bag.name, str(bag.pairs or "not known"), bag.registered)
        console.print(bags)
    software = ", ".join(f"{name} {version}" for name, version in manifest.provenance.software.items())
    console.print(f"made {manifest.provenance.created}" + (f" with {software}" if software else ""), highlight=False)
    console.print("the recipe and all figures: --json -", highlight=False)


_FIGURES = ("agreement", "cosine", "ece")  # of validation pairs against the teacher, where the bundle has them


def _calibration(manifest: "Manifest") -> Table:
    validation = manifest.metrics.get("validation")
    figures = validation if isinstance(validation, dict) else {}
    table = figure_table("validation", "", "temperature", "unknown below", *_FIGURES)
    for modality, name in MODALITIES.items():
        learned = manifest.temperature.of(modality), manifest.unknown_threshold.of(modality)
        measured = [of.get(modality) if isinstance(of := figures.get(figure), dict) else None for figure in _FIGURES]
        table.add_row(name, *(f"{each:.3f}" if isinstance(each, float) else "-" for each in (*learned, *measured)))
    return table
