"""``edgevl demo --quick``: a ready-made student names the rooms of a home that it has never seen, in seconds.

Bundle and drives are files of the package, made by ``benchmarks/quick_files.py``. Neither torch nor ROS 2 is needed.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevl_cli.console import size, write_json
from edgevl_core.base.errors import UserError
from edgevl_core.base.resources import resource

if TYPE_CHECKING:
    from edgevl_core.bundle.student_bundle import Bundle
    from edgevl_core.classify.classifier import Scene
    from edgevl_core.pairlog.pairs import RgbdPair

BUNDLE = "quick/bundle"
DRIVES = {"lit": "quick/lit", "dark": "quick/dark"}
SEED, SPLIT, HOME, DAY = 0, "test", 20, 1
"""Which simulated home the drives go through, see :func:`edgevl_sim.home_seed`; on its second day."""
PICTURE, SUMMARY = "picture.png", "summary.json"
_WIDTH_PX = 320  # of a frame in the picture


class _Answered(NamedTuple):
    """A pair with the student's answers from RGB alone, from depth alone, and from both."""

    pair: "RgbdPair"
    rgb: "Scene"
    depth: "Scene"
    both: "Scene"


def quick(out: Path) -> dict[str, Any]:
    """Classify the two drives, put names on the home's map, and write a picture and summary.json into ``out``.

    Returns what summary.json holds.

    Raises:
        UserError: ``out`` exists, or the ready-made files are not installed.
    """
    from edgevl_cli.demo.rooms import floors, judged
    from edgevl_core.bundle.student_bundle import STUDENT_INT8, load_bundle
    from edgevl_sim import home_seed
    from edgevl_sim.home_map import home_map

    started = time.monotonic()
    if out.exists():
        raise UserError(f"--out {out} exists already: choose a new name, or remove it first")
    bundle = load_bundle(resource(BUNDLE), fall_back=True)
    bags = {name: resource(path) for name, path in DRIVES.items()}
    answered = {name: list(_answers(bundle, bag)) for name, bag in bags.items()}
    true = home_map(home_seed(SEED, SPLIT, HOME), DAY)
    drives, rooms = judged(bags, bundle, true)
    _write_picture(answered, floors(drives, rooms, true), out / PICTURE)
    summary = {
        "top1": {name: _top1(frames) for name, frames in answered.items()},
        "frames": {name: len(_telling(frames)) for name, frames in answered.items()},
        "rooms": rooms,
        "student_bytes": (bundle.path / STUDENT_INT8).stat().st_size,
        "note": bundle.fallback,
        "wall_s": round(time.monotonic() - started, 1),
    }
    write_json(summary, out / SUMMARY)
    _show(summary, out)
    return summary


def _answers(bundle: "Bundle", bag: Path) -> Iterator[_Answered]:
    from edgevl_core.classify.classifier import Classifier
    from edgevl_core.pairlog.pairs import read_pairs

    classifier = Classifier(bundle)
    for pair in read_pairs(bag):
        rgb, depth = classifier.classify(pair.rgb), classifier.classify(depth=pair.depth)
        yield _Answered(pair, rgb, depth, classifier.classify(pair.rgb, pair.depth))


def _telling(frames: Sequence[_Answered]) -> list[_Answered]:
    """Those that show enough furniture to name a room."""
    from edgevl_sim.bag import TELLING_FRACTION

    return [each for each in frames if each.pair.truth and each.pair.truth.furniture_fraction >= TELLING_FRACTION]


def _top1(frames: Sequence[_Answered]) -> dict[str, float]:
    """Share of the telling frames that each kind of answer names rightly."""
    right = {
        kind: [getattr(each, kind).label == each.pair.truth.room for each in _telling(frames) if each.pair.truth]
        for kind in ("rgb", "depth", "both")
    }
    return {kind: round(float(np.mean(found)), 4) for kind, found in right.items()}


def _write_picture(answered: Mapping[str, Sequence[_Answered]], plans: NDArray[np.uint8], path: Path) -> None:
    """One column a room from the place that shows most of it, and below the maps."""
    from edgevl_cli.demo.sheet import RoomShown, room_sheet
    from edgevl_core.base.atomic import atomic_write
    from edgevl_core.camera.images import encode_png
    from edgevl_core.draw.overlay import depth_picture, draw_scene

    def most_furniture(each: _Answered) -> float:
        return each.pair.truth.furniture_fraction if each.pair.truth else 0.0

    dark = {each.pair.stamp_ns: each for each in answered["dark"]}  # the same way at the same times, without light
    lit = {each.pair.truth.room: each for each in sorted(answered["lit"], key=most_furniture) if each.pair.truth}
    shown = {}
    for room, light in lit.items():
        night = dark[light.pair.stamp_ns]
        by_day, by_night = (draw_scene(_enlarged(each.pair.rgb), each.both) for each in (light, night))
        shown[room] = RoomShown(by_day, by_night, _enlarged(depth_picture(night.pair.depth_m)))
    sheet = room_sheet(shown)
    size_px = sheet.shape[1], round(plans.shape[0] * sheet.shape[1] / plans.shape[1])
    maps = np.asarray(cv2.resize(plans, size_px, interpolation=cv2.INTER_AREA), np.uint8)
    path.parent.mkdir(parents=True)
    atomic_write(path, encode_png(np.vstack([sheet, maps])))


def _enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height = round(image.shape[0] * _WIDTH_PX / image.shape[1])
    return np.asarray(cv2.resize(image, (_WIDTH_PX, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _show(summary: Mapping[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title="rooms named rightly, in a simulated home that this student has never seen", title_justify="left"
    )
    for column in ("", "RGB", "depth", "both", "rooms on the map"):
        table.add_column(column, justify="left" if not column else "right")
    for name in DRIVES:
        top1, rooms = summary["top1"][name], summary["rooms"][name]
        cells = (f"{top1[kind]:.2f}" for kind in ("rgb", "depth", "both"))
        title = f"{name}, {summary['frames'][name]} frames"
        table.add_row(title, *cells, f"{rooms['named']} of {rooms['rooms']}")
    Console().print(table)
    print(f"the student: {size(summary['student_bytes'])}, int8; all of this took {summary['wall_s']} s")
    if summary["note"]:
        print(f"note: {summary['note']}")
    print(f"look at {out / PICTURE}; all figures: {out / SUMMARY}")
    print(_NEXT)


_NEXT = """
next:
  edgevl demo                     the whole loop on a simulated robot: drive, log, teach, adapt; ten minutes
  edgevl log view YOUR_BAG        a bag of your own as a page: pictures, gaps, health in words
  edgevl adapt YOUR_BAG --help    a student for your own place, without a label (README.md)"""
