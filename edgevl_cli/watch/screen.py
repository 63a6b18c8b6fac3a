"""What is seen of a robot as a screen of a terminal. A pure function: what is drawn is what was seen."""

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edgevl_cli.watch.rows import Row, headline, modality, rows
from edgevl_core.watch.seen import Adaptation, Scene, Seen

LABELS = 5
LEAST_SURE, SURE = 0.5, 0.8
STYLES = {True: "", None: "yellow", False: "bold yellow"}


def screen(seen: Seen, title: str) -> RenderableType:
    """Everything in one frame, as wide as the terminal; ``title``: which robot, what time."""
    parts: list[RenderableType] = []
    if seen.scene is not None:
        parts += [_scene(seen.scene), Text()]
    # The scene stands above, larger.
    table = _table([row for row in rows(seen) if row.name != "scene"])
    if table.row_count:
        parts.append(table)
    if seen.adaptation is not None and seen.adaptation.state == "running":
        parts += [Text(), _progress(seen.adaptation)]
    if not parts:
        parts.append(Text("nothing heard yet", style="dim"))
    return Panel(Group(*parts), title=title, title_align="left", subtitle="Ctrl-C ends", box=ROUNDED, padding=(1, 2))


def _scene(scene: Scene) -> RenderableType:
    name = Text(headline(scene), style=f"bold {_colour(scene)}", overflow="ellipsis", no_wrap=True)
    facts = f"{modality(scene)}  {scene.hz:.1f} a second  {scene.latency_ms:.0f} ms"
    head = Table.grid(expand=True, padding=(0, 1))
    head.add_column(ratio=1)
    head.add_column(justify="right", no_wrap=True)
    head.add_row(name, Text(facts, style="dim"))
    bars = Table.grid(expand=True, padding=(0, 1))
    bars.add_column(no_wrap=True, overflow="ellipsis", max_width=24)
    bars.add_column(ratio=1)
    bars.add_column(justify="right", no_wrap=True)
    for number, (label, score) in enumerate(list(scene.scores.items())[:LABELS]):
        style = _colour(scene) if label == scene.label else "grey50"
        bar = ProgressBar(total=1.0, completed=score, complete_style=style, finished_style=style)
        bars.add_row(Text(label, style="bold" if number == 0 else ""), bar, f"{score:.0%}")
    return Group(head, Text(), bars)


def _colour(scene: Scene) -> str:
    if not scene.known or scene.confidence < LEAST_SURE:
        return "yellow"
    return "green" if scene.confidence >= SURE else "cyan"


def _table(shown: list[Row]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in shown:
        table.add_row(row.name, Text(row.text, style=STYLES[row.fine]))
    return table


def _progress(adaptation: Adaptation) -> RenderableType:
    bar = Table.grid(expand=True, padding=(0, 1))
    bar.add_column(no_wrap=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right", no_wrap=True)
    bar.add_row(adaptation.stage, ProgressBar(total=1.0, completed=adaptation.progress), f"{adaptation.progress:.0%}")
    return bar
