"""ScanNet, its .sens files exported to one directory per scan.

That is scene0000_00/{color/N.jpg, depth/N.png, pose/N.txt} and scene0000_00.txt, whose sceneType is the label.
Every 100th frame is taken, by the number in its name, so that a full export and one of every 100th frame give the
same bag. Poses are not needed. Depth is in millimetres, in the depth camera's own size and view.
"""

import re
from functools import partial
from pathlib import Path

from edgevl_core.base.errors import UserError
from edgevl_train.datasets.files import read_files
from edgevl_train.datasets.sample import Collection, Sample, by_scene
from edgevl_train.datasets.splits import read_names, wanted

LAYOUT = "ScanNet, with scene0000_00/{color,depth,scene0000_00.txt} in it or in its folder scans"
STEP = 100
ROOMS = (
    "apartment",
    "bathroom",
    "bedroom/hotel",
    "bookstore/library",
    "classroom",
    "closet",
    "computer cluster",
    "conference room",
    "copy/mail room",
    "dining room",
    "game room",
    "gym",
    "hallway",
    "kitchen",
    "laundry room",
    "living room/lounge",
    "lobby",
    "office",
    "stairs",
    "storage/basement/garage",
    "misc",
)

_SCAN = re.compile(r"scene\d{4}_\d{2}")
_NAMED_SPLITS = ("train", "val", "test")


def fits(source: Path) -> bool:
    """Whether ``source`` holds scans."""
    return bool(_scans(source))


def collect(source: Path, split: str | None) -> Collection:
    """Every 100th frame of each scan.

    The scene is the place, scene0000 for scene0000_00 and scene0000_01: two scans of one room look alike.

    Args:
        split: a list of scans, one a line, or train, val or test where scannetv2_<split>.txt lies in ``source``
            or beside it.

    Raises:
        UserError: there is no such list, or none of its scans.
    """
    scans, notes = {scan.name: scan for scan in _scans(source)}, []
    if split is not None:
        listing = _split_file(source, split)
        names = read_names(listing)
        notes = wanted(names, scans, str(listing))
        scans = {name: scan for name, scan in scans.items() if name in names}
    samples, unreadable = [], []
    for scan in scans.values():
        frames = _frames(scan)
        try:
            room = _room(scan / f"{scan.name}.txt")
        except (OSError, ValueError) as error:
            unreadable += [f"{frame}: {error}" for frame in frames]
        else:
            samples += [_sample(scan, frame, room) for frame in frames]
        if not frames:
            unreadable.append(f"{scan}: no color/N.jpg: export the frames of its .sens file first")
    return Collection(by_scene(samples), unreadable, notes=notes)


def _scans(source: Path) -> list[Path]:
    folders = [scan for parent in (source, source / "scans") for scan in parent.glob("scene*") if scan.is_dir()]
    return sorted(scan for scan in folders if _SCAN.fullmatch(scan.name))


def _split_file(source: Path, split: str) -> Path:
    if split not in _NAMED_SPLITS:
        return Path(split)
    name = f"scannetv2_{split}.txt"
    for folder in (source, source.resolve().parent):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"--split {split}: no {name} in {source} or beside it; put ScanNet's list there, or give its path")


def _frames(scan: Path) -> list[Path]:
    """The colour files whose number is a multiple of STEP, in the order of the numbers."""
    files = [file for file in (scan / "color").glob("*.jpg") if file.stem.isdecimal()]
    return sorted((file for file in files if int(file.stem) % STEP == 0), key=lambda file: int(file.stem))


def _room(info: Path) -> str:
    """The label that the scan's text file names; its spelling of spaces, capitals and dots varies."""
    found = re.search(r"^\s*sceneType\s*=\s*(.*)$", info.read_text(errors="replace"), re.MULTILINE)
    if not found:
        raise ValueError(f"{info} has no line sceneType")
    named = found[1].strip()
    for room in ROOMS:
        if _letters(room) == _letters(named):
            return room
    raise ValueError(f"{info}: sceneType {named!r} is none of ScanNet's {len(ROOMS)}")


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def _sample(scan: Path, color: Path, room: str) -> Sample:
    depth = scan / "depth" / f"{color.stem}.png"
    return Sample(partial(read_files, color, depth), room, scan.name.partition("_")[0])
