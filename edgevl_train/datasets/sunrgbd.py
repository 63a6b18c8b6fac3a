"""SUN RGB-D: every folder with image/, depth/ and scene.txt, at whatever depth, is one pair.

Depth is a 16-bit PNG of millimetres whose bits are rotated left by 3. depth_bfx, where the folder has it, is the same
image with its holes filled and is preferred.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevl_train.datasets.files import read_files
from edgevl_train.datasets.sample import Collection, Pixels, Sample, by_scene
from edgevl_train.datasets.splits import read_names, wanted

LAYOUT = "SUN RGB-D, with folders {image,depth,scene.txt} somewhere below"
ROOMS = (
    "bathroom",
    "bedroom",
    "classroom",
    "computer room",
    "conference room",
    "corridor",
    "dining area",
    "dining room",
    "discussion area",
    "furniture store",
    "home office",
    "kitchen",
    "lab",
    "lecture theatre",
    "library",
    "living room",
    "office",
    "rest space",
    "study space",
)
"""The 19 scenes that the benchmark keeps, those with more than 80 images."""

_FILLED, _RAW = "depth_bfx", "depth"


def fits(source: Path) -> bool:
    """Whether a folder at or below ``source`` is a pair."""
    return next(_folders(source), None) is not None


def collect(source: Path, split: str | None) -> Collection:
    """The pairs whose scene is one of the 19; the others are left out and counted.

    Args:
        split: a file that lists folders (or images in them), one a line; whatever stands before SUNRGBD/ in a
            line, such as the path on the authors' machine, does not count.

    Raises:
        UserError: there is no such list, or none of its folders.
    """
    folders, notes = {_scene_of(source, folder): folder for folder in _folders(source)}, []
    if split is not None:
        names = read_names(Path(split), _below_root)
        notes = wanted(names, folders, split)
        folders = {name: folder for name, folder in folders.items() if name in names}
    samples, unreadable, left_out, depths = [], [], Counter[str](), Counter[str]()
    for name, folder in sorted(folders.items()):
        try:
            room = (folder / "scene.txt").read_text(errors="replace").strip().replace("_", " ")
            if room not in ROOMS:
                left_out[f"of another scene ({room})"] += 1
                continue
            rgb, depth = _only(folder / "image", "*.jpg"), _depth(folder)
        except (OSError, ValueError) as error:
            unreadable.append(f"{error}")
        else:
            depths[depth.parent.name] += 1
            samples.append(Sample(partial(_read, rgb, depth), room, _place(name)))
    notes += [f"depth of {count} pairs from {name}" for name, count in sorted(depths.items())]
    return Collection(by_scene(samples), unreadable, dict(left_out.most_common()), notes)


def _folders(source: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(source):
        if "scene.txt" in files and {"image", _RAW} <= set(folders):
            folders.clear()
            yield Path(path)
        folders.sort()


def _scene_of(source: Path, folder: Path) -> str:
    """The folder's path from the collection's root on, where the root's name is among its parents."""
    full = folder.resolve().as_posix()
    return _below_root(full) if "/SUNRGBD/" in full else folder.relative_to(source).as_posix()


def _below_root(path: str) -> str:
    return path.rpartition("SUNRGBD/")[2].partition("/image/")[0].strip("/")


def _place(name: str) -> str:
    """The place of a pair: that of its recording, where several frames were taken from one."""
    recorded = re.match(r"(.*sun3ddata/[^/]+)/", name) or re.match(r"(.*kinect2data)/\d+_(.+)_rgbf", name)
    return "/".join(recorded.groups()) if recorded else name


def _depth(folder: Path) -> Path:
    return _only(folder / (_FILLED if (folder / _FILLED).is_dir() else _RAW), "*.png")


def _only(folder: Path, pattern: str) -> Path:
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        raise ValueError(f"{folder}: {len(files)} files {pattern}, not one")
    return files[0]


def _read(rgb: Path, depth: Path) -> Pixels:
    pixels = read_files(rgb, depth)
    return pixels._replace(depth_mm=_unrotate(pixels.depth_mm))


def _unrotate(stored: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Millimetres of the stored values; shifts of uint16 drop what leaves the 16 bits."""
    return (stored >> np.uint16(3)) | (stored << np.uint16(13))
