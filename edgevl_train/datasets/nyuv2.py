"""NYU Depth V2, the labelled part: nyu_depth_v2_labeled.mat, an HDF5 file (MATLAB v7.3).

HDF5 has MATLAB's axes in reverse: images (N, 3, W, H) uint8 RGB, depths (N, W, H) float32 metres with the holes filled
in, sceneTypes and scenes (1, N) references to strings of uint16.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevl_core.base.errors import UserError
from edgevl_train.datasets.files import png_pixels
from edgevl_train.datasets.sample import Collection, Pixels, Sample, by_scene
from edgevl_train.datasets.splits import read_names, wanted

FILE = "nyu_depth_v2_labeled.mat"
LAYOUT = f"NYU Depth V2, the file {FILE} or its folder"
ARRAYS = ("images", "depths", "sceneTypes", "scenes")


def fits(source: Path) -> bool:
    """Whether ``source`` is a .mat file or holds the labelled one."""
    return source.suffix == ".mat" or (source / FILE).is_file()


def collect(source: Path, split: str | None) -> Collection:
    """The labelled pairs; the room is the scene type (27 in all), in words.

    Args:
        split: a file that lists image numbers from 1, one a line, as trainNdxs and testNdxs of splits.mat do.

    Raises:
        UserError: h5py is missing, the file is none of HDF5 or lacks an array, or the list is wrong.
    """
    arrays = _open(source / FILE if source.is_dir() else source)
    rooms, scenes = ([_text(arrays, cell) for cell in arrays[name][:].ravel()] for name in ("sceneTypes", "scenes"))
    numbers, notes = [str(number) for number in range(1, len(rooms) + 1)], []
    if split is not None:
        names = read_names(Path(split))
        notes = wanted(names, numbers, split)
        numbers = [number for number in numbers if number in names]
    rows = [int(number) - 1 for number in numbers]
    samples = [Sample(partial(_read, arrays, row), rooms[row].replace("_", " "), scenes[row]) for row in rows]
    return Collection(by_scene(samples), notes=notes)


def _open(path: Path) -> Any:
    """The h5py.File; it closes with the last sample that refers to it."""
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{path} needs h5py, which is not installed: pip install 'edgevl[datasets]'") from error
    try:
        arrays = h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"{path} is no HDF5 file ({error}): give {FILE}, which is MATLAB v7.3") from error
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise UserError(f"{path} has no array {', '.join(missing)}: give {FILE}, the labelled part")
    return arrays


def _text(arrays: Any, cell: Any) -> str:
    return "".join(map(chr, arrays[cell][:].ravel()))


def _read(arrays: Any, row: int) -> Pixels:
    try:
        rgb, depth_m = arrays["images"][row].transpose(2, 1, 0), arrays["depths"][row].T
    except OSError as error:
        raise OSError(f"{arrays.filename}, image {row + 1}: {error}") from error
    return png_pixels(np.ascontiguousarray(rgb), _millimetres(depth_m))


def _millimetres(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    """0 where there is no depth, or none that 16 bits can hold."""
    depth_mm = np.rint(depth_m.astype(np.float64) * 1000.0)
    return np.where((depth_mm > 0) & (depth_mm <= 65535), depth_mm, 0).astype(np.uint16)
