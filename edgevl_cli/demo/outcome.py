"""What the demo shows at its end: the live figures, one table, summary.json's numbers and the contact sheet."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_cli.console import size

if TYPE_CHECKING:
    from rich.table import Table

    from edgevl_cli.demo.recorder import Recorder

NAMED_FRACTION = 0.05
"""A frame with less furniture than this names no room (the evaluation's rule)."""

MODELS = {
    "teacher": "teacher",
    "student_fp32": "student fp32",
    "ptq_int8": "PTQ int8",
    "student_int8": "student int8",
}


def live_figures(recorder: "Recorder") -> dict[str, Any]:
    """Account for every frame of the live drive, whose second half was dark.

    sent: RGB-D pairs that the player published; received: pairs that reached the classifier; answered, superseded: what
    became of those; lost = sent - received. Accuracies are over frames that name a room.
    """
    player, classifier = recorder.player(), recorder.classifier()
    sent = min(int(player["sent_rgb"]), int(player["sent_depth"]))
    received = min(int(classifier["received_rgb"]), int(classifier["received_depth"]))
    stamps = sorted(recorder.truths)
    dark_from = stamps[len(stamps) // 2]

    def accuracy(chosen: list[int]) -> float:
        named = [s for s in chosen if recorder.truths[s].furniture_fraction >= NAMED_FRACTION]
        right = [recorder.scenes[s].label == recorder.truths[s].room for s in named if s in recorder.scenes]
        return float(np.mean(right)) if right else float("nan")

    latencies = [scene.latency_ms for scene in recorder.scenes.values()]
    p50, p95 = np.percentile(latencies, [50, 95]) if latencies else (float("nan"), float("nan"))
    dark = [recorder.scenes[s] for s in stamps if s >= dark_from and s in recorder.scenes]
    return {
        "sent": sent,
        "received": received,
        "answered": len(recorder.scenes),
        "superseded": int(classifier["superseded"]),
        "lost": sent - received,
        "accuracy": accuracy([s for s in stamps if s < dark_from]),
        "accuracy_lights_off": accuracy([s for s in stamps if s >= dark_from]),
        "modality_lights_off": {m: sum(s.modality == m for s in dark) for m in sorted({s.modality for s in dark})},
        "latency_ms": {"p50": float(p50), "p95": float(p95)},
    }


def contact_sheet(recorder: "Recorder", live_bag: Path, path: Path) -> None:
    """One column a room: the overlay lit, the overlay in the dark at the same place, and the depth it went by."""
    from edgevl_core.base.atomic import atomic_write
    from edgevl_core.camera.images import decode_rgb
    from edgevl_core.draw.overlay import contact_sheet as tile
    from edgevl_core.draw.overlay import depth_picture
    from edgevl_core.pairlog.pairs import read_pairs

    stamps = sorted(recorder.truths)
    half = len(stamps) // 2
    drawn = [
        (recorder.truths[lit].room, recorder.truths[lit].furniture_fraction, lit, dark)
        for lit, dark in zip(stamps[:half], stamps[half:])
        if lit in recorder.overlays and dark in recorder.overlays
    ]
    # Of each room the last one in this order stays: the one that shows the most furniture.
    best = {room: (lit, dark) for room, _, lit, dark in sorted(drawn)}
    wanted = {dark for _, dark in best.values()}
    depths = {pair.stamp_ns: depth_picture(pair.depth_m) for pair in read_pairs(live_bag) if pair.stamp_ns in wanted}

    def overlay(stamp: int) -> NDArray[np.uint8]:
        return decode_rgb(recorder.overlays[stamp])

    rooms = sorted(best)
    rows = [
        [(overlay(best[room][0]), f"{room}, lit") for room in rooms],
        [(overlay(best[room][1]), f"{room}, dark") for room in rooms],
        [(depths[best[room][1]], f"{room}, depth") for room in rooms],
    ]
    # Eight rooms side by side are too wide for a screen: two bands of up to four columns.
    columns = 4
    tiles = [tile_ for start in range(0, len(rooms), columns) for row in rows for tile_ in row[start : start + columns]]
    sheet = tile([image for image, _ in tiles], [caption for _, caption in tiles], columns=columns)
    atomic_write(path, cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())


def _of_one_home(top1: Mapping[str, Mapping[str, Mapping[str, float]]]) -> "Table":
    """Teacher, student before and after its adaptation to one home, on another day."""
    from rich.table import Table

    table = Table(title="one home, on another day: rooms named rightly", title_justify="left")
    for column in ("", "RGB", "depth", "both", "both, lights out"):
        table.add_column(column, justify="left" if not column else "right")
    names = {"teacher": "teacher", "before": "student of many homes", "after": "adapted to this home"}
    for key, name in names.items():
        lit, dark = top1[key]["lit"], top1[key]["dark"]
        table.add_row(name, *(f"{lit[modality]:.3f}" for modality in ("rgb", "depth", "rgbd")), f"{dark['rgbd']:.3f}")
    return table


def show(summary: Mapping[str, Any]) -> None:
    """Print the demo's one table and where things are."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="rooms named rightly, homes never seen in training (frames that show furniture)")
    for column in ("", "RGB", "depth", "size", "latency"):
        table.add_column(column, justify="left" if not column else "right")
    for key, name in MODELS.items():
        top1, size_bytes = summary["top1"][key], summary["size_bytes"].get(key)
        latency = summary["latency_ms"].get(key)
        table.add_row(
            name,
            f"{top1['rgb']:.3f}",
            f"{top1['depth']:.3f}",
            "" if size_bytes is None else size(size_bytes),
            "" if latency is None else f"{latency:.2f} ms",
        )
    live = summary["live"]
    table.add_section()
    table.add_row("live, RGB + depth, lit", f"{live['accuracy']:.3f}", "", "", f"{live['latency_ms']['p50']:.1f} ms")
    table.add_row("live, in the dark", "", f"{live['accuracy_lights_off']:.3f}", "", "")
    lit, dark = (f"{found['named']} of {found['rooms']}" for found in map(summary["rooms"].get, ("lit", "dark")))
    table.add_section()
    table.add_row("rooms on the map, one drive, lit", lit, "", "", "")
    table.add_row("rooms on the map, in the dark", "", dark, "", "")
    console = Console()
    console.print(table)
    console.print(
        f"live drive: {live['sent']} pairs sent, {live['received']} received, {live['answered']} answered, "
        f"{live['superseded']} superseded by a newer one, {live['lost']} lost"
    )
    console.print(_of_one_home(summary["home"]["top1"]))
    console.print(f"decision for this home: {summary['home']['decision']}", highlight=False)
    ratio = summary["size_bytes"]["vit_b_32_image_tower"] / summary["size_bytes"]["student_int8"]
    console.print(f"the int8 student is {ratio:.0f} times smaller than CLIP ViT-B-32's image tower")
