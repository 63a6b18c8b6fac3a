"""Rooms on the map, on the command line: ``map``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgevl_cli.console import Json, answer, progress, say
from edgevl_cli.grouped import NEEDED
from edgevl_cli.topics import Depth, MaxSkew, Rgb, checked_skew
from edgevl_core.base.errors import UserError

if TYPE_CHECKING:
    from edgevl_core.room_map.from_bags import Drive
    from edgevl_core.room_map.view import Stand

PICTURE, EXPORT = "rooms.png", "nav2"


def command(
    bags: Annotated[list[Path], typer.Argument(help="rosbag2 directories or .mcap files with RGB, depth and pose.")],
    bundle: Annotated[
        Path, typer.Option("--bundle", help="The student bundle that names the frames.", rich_help_panel=NEEDED)
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="New directory for picture, masks, polygons and goals.", rich_help_panel=NEEDED),
    ],
    map_file: Annotated[
        Path | None, typer.Option("--map", help="map_saver's YAML file (default: the map in the bags).")
    ] = None,
    pose: Annotated[
        str | None, typer.Option(help="Pose topic in the frame of the map, or tf (default: found).")
    ] = None,
    start: Annotated[
        list[str] | None,
        typer.Option(
            help="X,Y,YAW (metres, radians) on the map where the drive begins: the poses are odometry, and walls set "
            "them right. One for all bags, or one for each."
        ),
    ] = None,
    rgb: Rgb = None,
    depth: Depth = None,
    max_skew_s: MaxSkew = None,
    json: Json = None,
) -> None:
    """Put names on the rooms of a map: drives in, a labelled map and nav2's files out."""
    from edgevl_core.bundle.self_test import open_untrusted
    from edgevl_core.pairlog.pairs import MAX_SKEW_S, PairSettings, expected_pairs
    from edgevl_core.pairlog.reader import check_given_once
    from edgevl_core.room_map.files import export, save
    from edgevl_core.room_map.from_bags import map_of_bags
    from edgevl_core.room_map.occupancy import read_map

    if out.exists():
        raise UserError(f"--out {out} exists already: choose a new name, or remove it first")
    check_given_once(bags)
    occupancy = read_map(map_file) if map_file is not None else None
    starts = [_stand(each) for each in start or ()]
    settings = PairSettings(rgb, depth, checked_skew(max_skew_s) or MAX_SKEW_S)
    total = sum(expected_pairs(bag, settings) for bag in bags)
    loaded = open_untrusted(bundle)
    with progress("naming rooms") as on_progress:
        drive = map_of_bags(bags, loaded, occupancy, pose, starts, lambda pairs: on_progress(pairs, total), settings)
    save(drive.rooms, out)
    export(drive.rooms, out / EXPORT)
    _draw(drive, out / PICTURE)
    answer(_as_json(drive), json, lambda: _show(drive, out))


def _stand(text: str) -> "Stand":
    import math

    from edgevl_core.room_map.view import Stand

    try:
        x, y, yaw = (float(part) for part in text.split(","))
    except ValueError:
        x = y = yaw = math.nan
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(yaw)):
        raise UserError(f"--start {text}: X,Y,YAW are three numbers: metres, metres, radians, such as 1.5,0.8,3.14")
    return Stand(x, y, yaw)


def _draw(drive: "Drive", file: Path) -> None:
    import cv2
    import numpy as np

    from edgevl_core.base.atomic import atomic_write
    from edgevl_core.draw.floor import draw_floor

    numbers, grid = drive.rooms.numbers()
    way = grid.cells(np.array(drive.way)) if drive.way else None
    picture = draw_floor(numbers, drive.occupancy.occupied, drive.rooms.rooms(), way)
    atomic_write(file, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())


def _show(drive: "Drive", out: Path) -> None:
    from rich.table import Table

    from edgevl_cli.tables import plain_console

    title = f"{len(drive.rooms.rooms())} rooms from {len(drive.way)} of {drive.frames} frames"
    table = Table(title=title, title_justify="left")
    for column in ("room", "name", "probability", "m2", "frames that count", "a place inside (x, y)"):
        table.add_column(column, justify="left" if column == "name" else "right")
    for room in drive.rooms.rooms():
        inside = f"{room.pose_m[0]:.2f}, {room.pose_m[1]:.2f}"
        cells = (f"{room.probability:.2f}", f"{room.area_m2:.1f}", f"{room.weight:.1f}", inside)
        table.add_row(str(room.id), room.label, *cells)
    plain_console().print(table)
    for note in drive.notes:
        say(f"note: {note}")
    print(f"look at {out / PICTURE}; masks, polygons and goals for nav2: {out / EXPORT}")


def _as_json(drive: "Drive") -> dict[str, Any]:
    from edgevl_core.room_map.files import goal

    rooms = [goal(room) for room in drive.rooms.rooms()]
    counts = {"frames": drive.frames, "frames_used": len(drive.way), "dropped": dict(drive.rooms.dropped)}
    return {**counts, "notes": drive.notes, "rooms": rooms}
